//! The classic BPF programs that let the kernel choose packets: those that begin a handshake, or answer one.
//!
//! Offsets count from the network header, where packets of datagram sockets start, so VLANs and tunnels without a link
//! layer need nothing of their own. A load beyond the packet's end refuses it. Instructions and ancillary loads:
//! <https://www.kernel.org/doc/html/latest/networking/filter.html>, `include/uapi/linux/filter.h`.
//!
//! What decides most packets stands first: of established connections' traffic (IPv4) six instructions are run.

use std::io;

use socket2::{SockFilter, Socket};

const LOAD_BYTE: u16 = 0x30;
const LOAD_HALF: u16 = 0x28;
const LOAD_WORD: u16 = 0x20;
const LOAD_BYTE_FROM_X: u16 = 0x50;
const LOAD_SCRATCH: u16 = 0x60;
const STORE_SCRATCH: u16 = 0x02;
const X_IS: u16 = 0x01;
/// X = 4 * (byte & 15): made for the length of an IPv4 header.
const X_IS_HEADER_LENGTH: u16 = 0xb1;
const X_IS_A: u16 = 0x07;
const AND: u16 = 0x54;
const ADD: u16 = 0x04;
const ADD_X: u16 = 0x0c;
const SHIFT_LEFT: u16 = 0x64;
const IF_EQUAL: u16 = 0x15;
const IF_GREATER: u16 = 0x25;
const IF_AT_LEAST: u16 = 0x35;
const IF_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

/// `SKF_AD_OFF` (-0x1000): loads from here tell what the kernel knows of a packet beside its bytes.
const ANCILLARY: u32 = 0xffff_f000;
/// `SKF_AD_PKTTYPE`: to whom the link layer sent it, by the numbers of `PACKET_HOST` and so on.
const PACKET_TYPE: u32 = ANCILLARY + 4;
/// `SKF_AD_IFINDEX`.
const INTERFACE_INDEX: u32 = ANCILLARY + 8;
/// `SKF_AD_RANDOM`.
const RANDOM: u32 = ANCILLARY + 56;
/// `PACKET_MULTICAST`; host (0) and broadcast (1) are below it, other hosts' packets and this host's own above.
const LAST_RECEIVED_TYPE: u32 = 2;

const TCP: u32 = 6;
const HOP_BY_HOP: u32 = 0;
const DESTINATION_OPTIONS: u32 = 60;

const FIN: u32 = 1;
const SYN: u32 = 2;
const RST: u32 = 4;
const ACK: u32 = 16;

/// Extension headers before TCP that are passed over: as many as sane senders use.
pub(super) const EXTENSION_HEADERS: u8 = 2;
/// Bytes of a packet that are kept. The longest IPv4 and TCP headers have 120; beyond 40 + 20 the rest is for IPv6
/// extension headers: a SYN behind longer ones is counted, and not looked at.
pub(super) const KEPT: u32 = 512;

/// IPv4 or IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

/// Which packets pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// Every SYN without ACK.
    EverySyn,
    /// One in so many of the packets with SYN, SYN-ACKs too.
    OneIn(u32),
    /// None.
    Nothing,
}

/// Where a test leads.
#[derive(Debug, Clone, Copy)]
enum To {
    Next,
    Over(u8),
    Refusal,
}

#[derive(Debug, Clone, Copy)]
struct Instruction {
    code: u16,
    k: u32,
    yes: To,
    no: To,
}

/// A program whose last instruction refuses.
#[derive(Debug)]
pub(super) struct Program(Vec<Instruction>);

impl Program {
    /// Passes packets of that choice which the interface of that index received for this host.
    ///
    /// The index is compared because a socket bound to an interface also sees what its VLANs and macvlans receive,
    /// which are counted there. The packet type leaves out what only a promiscuous interface sees.
    pub(super) fn new(family: Family, choice: Choice, interface: u32) -> Self {
        let mut program = Program(Vec::new());
        match choice {
            Choice::Nothing => {
                program.run(RETURN, 0);
                return program;
            }
            Choice::EverySyn => program.begin(family, SYN | ACK | RST | FIN, interface),
            Choice::OneIn(one_in) => {
                program.begin(family, SYN | RST | FIN, interface);
                if one_in > 1 {
                    program.run(LOAD_WORD, RANDOM);
                    program.refuse_if(IF_AT_LEAST, u32::MAX / one_in);
                }
            }
        }
        program.run(RETURN, KEPT);
        program.run(RETURN, 0);
        program
    }

    /// Replaces a socket's filter, at once and as a whole.
    pub(super) fn attach(&self, to: &Socket) -> io::Result<()> {
        let filter: Vec<SockFilter> =
            self.resolved().map(|(code, yes, no, k)| SockFilter::new(code, yes, no, k)).collect();
        to.attach_filter(&filter)
    }

    /// Instructions as the kernel takes them: code, jumps, operand.
    fn resolved(&self) -> impl Iterator<Item = (u16, u8, u8, u32)> {
        self.0.iter().zip((0..self.0.len()).rev()).map(|(instruction, to_refusal)| {
            let distance = |to| match to {
                To::Next => 0,
                To::Over(count) => count,
                // Counted from the instruction that follows. Programs have some dozens of instructions.
                To::Refusal => u8::try_from(to_refusal.saturating_sub(1)).unwrap_or(u8::MAX),
            };
            (instruction.code, distance(instruction.yes), distance(instruction.no), instruction.k)
        })
    }

    /// TCP, whose flags under `mask` are SYN alone, and received here. SYN with FIN or RST begins nothing: the kernel
    /// discards it (`tcp_rcv_state_process`).
    fn begin(&mut self, family: Family, mask: u32, interface: u32) {
        match family {
            Family::V4 => self.tcp_in_v4(),
            Family::V6 => self.tcp_in_v6(),
        }
        self.run(LOAD_BYTE_FROM_X, 13);
        self.run(AND, mask);
        self.refuse_unless(IF_EQUAL, SYN);
        if family == Family::V4 {
            // Version 4 with a header of at least five words, and no later fragment.
            self.run(LOAD_BYTE, 0);
            self.refuse_unless(IF_AT_LEAST, 0x45);
            self.refuse_if(IF_GREATER, 0x4f);
            self.run(LOAD_HALF, 6);
            self.refuse_if(IF_ANY_BIT, 0x1fff);
        }
        // A TCP header of at least five words, all there.
        self.run(LOAD_BYTE_FROM_X, 12);
        self.refuse_unless(IF_AT_LEAST, 0x50);
        self.run(LOAD_BYTE_FROM_X, 19);
        self.run(LOAD_WORD, PACKET_TYPE);
        self.refuse_if(IF_GREATER, LAST_RECEIVED_TYPE);
        self.run(LOAD_WORD, INTERFACE_INDEX);
        self.refuse_unless(IF_EQUAL, interface);
    }

    /// X becomes the offset of the TCP header.
    fn tcp_in_v4(&mut self) {
        self.run(LOAD_BYTE, 9);
        self.refuse_unless(IF_EQUAL, TCP);
        self.run(X_IS_HEADER_LENGTH, 0);
    }

    /// X becomes the offset of the TCP header, behind a few extension headers if need be.
    fn tcp_in_v6(&mut self) {
        /// Instructions that pass over one extension header.
        const EACH: u8 = 11;
        self.run(LOAD_BYTE, 0);
        self.run(AND, 0xf0);
        self.refuse_unless(IF_EQUAL, 0x60);
        self.run(X_IS, 40);
        self.run(LOAD_BYTE, 6);
        for left in (1..=EXTENSION_HEADERS).rev() {
            self.keep(To::Over(left * EACH), To::Next, IF_EQUAL, TCP);
            self.keep(To::Over(1), To::Next, IF_EQUAL, HOP_BY_HOP);
            self.refuse_unless(IF_EQUAL, DESTINATION_OPTIONS);
            self.run(LOAD_BYTE_FROM_X, 0);
            self.run(STORE_SCRATCH, 0);
            self.run(LOAD_BYTE_FROM_X, 1);
            self.run(ADD, 1); // its length is in units of eight bytes, without the first
            self.run(SHIFT_LEFT, 3);
            self.run(ADD_X, 0);
            self.run(X_IS_A, 0);
            self.run(LOAD_SCRATCH, 0);
        }
        self.refuse_unless(IF_EQUAL, TCP);
    }

    fn run(&mut self, code: u16, k: u32) {
        self.keep(To::Next, To::Next, code, k);
    }

    fn refuse_if(&mut self, code: u16, k: u32) {
        self.keep(To::Refusal, To::Next, code, k);
    }

    fn refuse_unless(&mut self, code: u16, k: u32) {
        self.keep(To::Next, To::Refusal, code, k);
    }

    fn keep(&mut self, yes: To, no: To, code: u16, k: u32) {
        self.0.push(Instruction { code, k, yes, no });
    }
}

#[cfg(test)]
pub(super) mod interpreter {
    //! The kernel's reading of a program, as far as ours go.
    use super::*;

    /// What the kernel knows of a packet beside its bytes.
    #[derive(Clone, Copy)]
    pub(crate) struct Ancillary {
        pub packet_type: u32,
        pub interface: u32,
        pub random: u32,
    }

    fn load(packet: &[u8], at: u32, bytes: u32) -> Option<u32> {
        let at = usize::try_from(at).unwrap();
        let bytes = packet.get(at..at.checked_add(bytes as usize)?)?;
        Some(bytes.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)))
    }

    /// Whether the program passes the packet.
    pub(crate) fn passes(program: &Program, packet: &[u8], known: Ancillary) -> bool {
        run(program, packet, known).unwrap_or(0) > 0
    }

    fn run(program: &Program, packet: &[u8], known: Ancillary) -> Option<u32> {
        let code: Vec<_> = program.resolved().collect();
        let (mut a, mut x, mut scratch, mut at) = (0u32, 0u32, 0u32, 0);
        loop {
            let (operation, yes, no, k) = code[at];
            at += 1;
            let mut test = |holds: bool| at += usize::from(if holds { yes } else { no });
            match operation {
                LOAD_BYTE => a = load(packet, k, 1)?,
                LOAD_HALF => a = load(packet, k, 2)?,
                LOAD_WORD => {
                    a = match k {
                        PACKET_TYPE => known.packet_type,
                        INTERFACE_INDEX => known.interface,
                        RANDOM => known.random,
                        other => load(packet, other, 4)?,
                    }
                }
                LOAD_BYTE_FROM_X => a = load(packet, x.checked_add(k)?, 1)?,
                LOAD_SCRATCH => a = scratch,
                STORE_SCRATCH => scratch = a,
                X_IS => x = k,
                X_IS_HEADER_LENGTH => x = 4 * (load(packet, k, 1)? & 15),
                X_IS_A => x = a,
                AND => a &= k,
                ADD => a += k,
                ADD_X => a += x,
                SHIFT_LEFT => a <<= k,
                IF_EQUAL => test(a == k),
                IF_GREATER => test(a > k),
                IF_AT_LEAST => test(a >= k),
                IF_ANY_BIT => test(a & k != 0),
                RETURN => return Some(k),
                other => panic!("an unknown instruction: {other:#x}"),
            }
        }
    }
}
