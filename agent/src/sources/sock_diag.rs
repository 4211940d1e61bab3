//! Walks of the kernel's TCP socket table by `sock_diag`. Not a source itself: two sources walk.
//!
//! The request is the older one, `TCPDIAG_GETSOCK` with `struct inet_diag_req` (`net/ipv4/inet_diag.c`,
//! `inet_diag_dump_compat`): it walks the table once for IPv4 and IPv6 together, where the newer one walks it once a
//! family. The states asked for decide what is walked: LISTEN alone walks only the small listening table.
//! Needs no capability.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use netlink_packet_core::{NetlinkBuffer, NlasIterator, Parseable};
use netlink_packet_sock_diag::inet::{InetResponseHeader, Timer};
use netlink_sys::{Socket, protocols::NETLINK_SOCK_DIAG};

/// Every state but ESTABLISHED and TIME_WAIT, as bits `1 << state`.
pub const ALL_BUT_ESTABLISHED_AND_TIME_WAIT: u32 = 0xfbc;
/// Every state.
pub const ALL_STATES: u32 = 0xffe;
/// Listening sockets.
pub const LISTEN: u32 = 1 << 10;

const TCPDIAG_GETSOCK: u16 = 18;
const NLM_F_REQUEST_DUMP: u16 = 0x301;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// `INET_DIAG_SKMEMINFO`, asked for as bit 6 of the request's extensions; its ninth word counts drops.
const INET_DIAG_SKMEMINFO: u16 = 7;
const SK_MEMINFO_DROPS: usize = 8;
/// `INET_DIAG_CGROUP_ID`, which comes unasked (Linux 5.8 and later).
const INET_DIAG_CGROUP_ID: u16 = 21;
const MESSAGE_HEADER: usize = 16;
const RESPONSE_HEADER: usize = 72;
/// The kernel fills at most 32 KiB a message (`netlink_dump` in `net/netlink/af_netlink.c`).
const BUFFER: usize = 32 * 1024;

/// A socket as a walk shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiagSocket {
    /// State by the kernel's number, see [`crate::model::snapshot::TcpStates::by_number`].
    pub state: u8,
    /// Whether it is one of the kernel's small time-wait sockets: TIME_WAIT, or FIN_WAIT2 that no process holds.
    pub time_wait_bucket: bool,
    /// When a segment is sent again that has been sent once so far; nothing if it was sent again already, or none waits.
    pub(super) retransmit_in: Option<Duration>,
    /// Local address; a v4-mapped one as IPv4.
    pub address: IpAddr,
    /// Local port.
    pub port: u16,
    /// LISTEN: length of the accept queue.
    pub recv_queue: u32,
    /// LISTEN: limit of the accept queue.
    pub send_queue: u32,
    /// Tells this socket from every other that this kernel ever had.
    pub cookie: u64,
    /// The cgroup of the process that opened it.
    pub cgroup: Option<u64>,
    /// Packets it dropped; wraps at 32 bits. For LISTEN, its part of `ListenDrops`.
    pub drops: Option<u32>,
}

/// A netlink socket to walk with, opened when first used and anew after an error.
#[derive(Default)]
pub struct SockDiag {
    socket: Option<Socket>,
    sequence: u32,
    buffer: Vec<u8>,
}

impl SockDiag {
    /// Shows every socket in one of `states`, IPv4 and IPv6.
    ///
    /// `ENOENT` means that the kernel has no `inet_diag` (module `tcp_diag`).
    pub fn walk(&mut self, states: u32, mut show: impl FnMut(DiagSocket)) -> io::Result<()> {
        let walked = self.ask(states).and_then(|socket| self.receive(&socket, &mut show).map(|()| socket));
        // After an error, answers of this walk may still be queued: another socket starts clean.
        walked.map(|socket| self.socket = Some(socket))
    }

    fn ask(&mut self, states: u32) -> io::Result<Socket> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => Socket::new(NETLINK_SOCK_DIAG)?,
        };
        self.sequence = self.sequence.wrapping_add(1);
        socket.send(&request(states, self.sequence), 0)?;
        Ok(socket)
    }

    fn receive(&mut self, socket: &Socket, show: &mut impl FnMut(DiagSocket)) -> io::Result<()> {
        loop {
            self.buffer.clear();
            self.buffer.reserve(BUFFER);
            match socket.recv(&mut self.buffer, 0) {
                Ok(0) => return Err(invalid("an empty answer")),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            if read_messages(&self.buffer, self.sequence, show)? {
                return Ok(());
            }
        }
    }
}

fn request(states: u32, sequence: u32) -> Vec<u8> {
    const LENGTH: usize = MESSAGE_HEADER + 60;
    let mut bytes = Vec::with_capacity(LENGTH);
    bytes.extend(u32::try_from(LENGTH).unwrap_or_default().to_ne_bytes());
    bytes.extend(TCPDIAG_GETSOCK.to_ne_bytes());
    bytes.extend(NLM_F_REQUEST_DUMP.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend(0u32.to_ne_bytes()); // port: the kernel fills in ours
    bytes.extend([0, 0, 0, 1 << (INET_DIAG_SKMEMINFO - 1)]); // family, prefix lengths, extensions
    bytes.extend([0; 40]); // any ports, addresses and interface ...
    bytes.extend([0xff; 8]); // ... and no cookie
    bytes.extend(states.to_ne_bytes());
    bytes.extend(0u32.to_ne_bytes());
    bytes
}

/// Reads the messages of one answer; true once the walk is complete. Public for fuzzing.
pub fn read_messages(mut bytes: &[u8], sequence: u32, show: &mut impl FnMut(DiagSocket)) -> io::Result<bool> {
    while !bytes.is_empty() {
        let message = NetlinkBuffer::new_checked(bytes).map_err(|error| invalid(&error.to_string()))?;
        let length = message.length() as usize;
        let payload =
            bytes.get(MESSAGE_HEADER..length).ok_or_else(|| invalid("a message longer than the answer"))?;
        if message.sequence_number() == sequence {
            match message.message_type() {
                NLMSG_DONE => return error_of(payload).map_or(Ok(true), Err),
                NLMSG_ERROR => {
                    return Err(error_of(payload).unwrap_or_else(|| invalid("an error without a number")));
                }
                _ => show(read_socket(payload)?),
            }
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

fn read_socket(payload: &[u8]) -> io::Result<DiagSocket> {
    let header = InetResponseHeader::parse(payload).map_err(|error| invalid(&error.to_string()))?;
    let mut socket = DiagSocket {
        state: header.state,
        time_wait_bucket: header.timer == Some(Timer::TimeWait),
        retransmit_in: match header.timer {
            Some(Timer::Retransmit(left, 0)) => Some(left),
            _ => None,
        },
        address: header.socket_id.source_address.to_canonical(),
        port: header.socket_id.source_port,
        recv_queue: header.recv_queue,
        send_queue: header.send_queue,
        cookie: u64::from_ne_bytes(header.socket_id.cookie),
        cgroup: None,
        drops: None,
    };
    for attribute in NlasIterator::new(payload.get(RESPONSE_HEADER..).unwrap_or_default()) {
        let attribute = attribute.map_err(|error| invalid(&error.to_string()))?;
        match attribute.kind() {
            INET_DIAG_CGROUP_ID => socket.cgroup = attribute.value().try_into().ok().map(u64::from_ne_bytes),
            INET_DIAG_SKMEMINFO => {
                socket.drops = attribute
                    .value()
                    .as_chunks()
                    .0
                    .get(SK_MEMINFO_DROPS)
                    .map(|drops| u32::from_ne_bytes(*drops));
            }
            _ => {}
        }
    }
    Ok(socket)
}

/// The error that an `NLMSG_ERROR` or `NLMSG_DONE` carries: a negative error number.
fn error_of(payload: &[u8]) -> Option<io::Error> {
    let number = i32::from_ne_bytes(payload.get(..4)?.try_into().ok()?);
    (number < 0).then(|| io::Error::from_raw_os_error(number.saturating_neg()))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("sock_diag gave {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(kind: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(MESSAGE_HEADER + payload.len()).unwrap().to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 2]);
        bytes.extend(7u32.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(payload);
        bytes
    }

    /// A SYN_RECV of a v4-mapped address, as Linux 6.18 answers, with its attributes.
    fn syn_recv() -> Vec<u8> {
        let mut payload = vec![10, 3, 1, 0];
        payload.extend([0, 80, 0xc3, 0x50]);
        payload.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 9, 0, 2]);
        payload.extend([0; 16 + 4]);
        payload.extend([1, 0, 0, 0, 0, 0, 0, 0]);
        payload.extend([0; 20]);
        payload.extend(12u16.to_ne_bytes());
        payload.extend(INET_DIAG_CGROUP_ID.to_ne_bytes());
        payload.extend(42u64.to_ne_bytes());
        payload
    }

    fn read(bytes: &[u8]) -> (io::Result<bool>, Vec<DiagSocket>) {
        let mut sockets = Vec::new();
        let done = read_messages(bytes, 7, &mut |socket| sockets.push(socket));
        (done, sockets)
    }

    #[test]
    fn a_v4_client_of_a_v6_listener_is_v4() {
        let (done, sockets) = read(&message(20, &syn_recv()));
        assert!(!done.unwrap());
        assert_eq!(sockets.len(), 1);
        assert_eq!(sockets[0].address, IpAddr::from([10, 9, 0, 2]));
        assert_eq!((sockets[0].state, sockets[0].port, sockets[0].cgroup), (3, 80, Some(42)));
        assert!(!sockets[0].time_wait_bucket);
    }

    #[test]
    fn errors_and_ends() {
        assert!(read(&message(NLMSG_DONE, &0i32.to_ne_bytes())).0.unwrap());
        let error = read(&message(NLMSG_ERROR, &(-2i32).to_ne_bytes())).0.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(read(&message(20, &[0; 10])).0.is_err());
        assert!(read(&[1, 2, 3]).0.is_err());
    }

    proptest! {
        #[test]
        fn hostile_answers_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..100, at in 0usize..84, with: u8) {
            let _ = read(&bytes);
            let mut payload = syn_recv();
            payload[at] = with;
            let whole = message(20, &payload);
            let _ = read(&whole[..cut.min(whole.len())]);
            let _ = read(&whole);
        }
    }
}
