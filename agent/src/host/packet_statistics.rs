//! `PACKET_STATISTICS`: how many packets passed a packet socket's filter. Beside [`super::ethtool`] the one module with
//! `unsafe`: no kept crate wraps this option, and it is the kernel's exact count of packets that nobody has to read.
//!
//! `packet(7)`; layout: `struct tpacket_stats` in the kernel's `include/uapi/linux/if_packet.h`.
#![expect(
    unsafe_code,
    reason = "getsockopt(PACKET_STATISTICS) has no safe wrapper; the block says why it is sound"
)]

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd};

/// What a packet socket saw since it was asked before: the kernel sets both to zero when they are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PacketStatistics {
    /// Packets that passed the filter, dropped ones too.
    pub passed: u32,
    /// Those of them that found the receive buffer full.
    pub dropped: u32,
}

impl PacketStatistics {
    /// Reads them, and so sets them to zero.
    pub fn take(socket: &impl AsFd) -> io::Result<Self> {
        let mut statistics = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
        let Ok(mut length) = libc::socklen_t::try_from(size_of::<libc::tpacket_stats>()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        // SAFETY: the kernel (`packet_getsockopt`) writes at most `length` bytes, the size of the structure that is
        // pointed to, whose two integers may hold any bits; a descriptor of another kind gets an error. Structure and
        // length live until the call returns.
        let answer = unsafe {
            libc::getsockopt(
                socket.as_fd().as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                std::ptr::from_mut(&mut statistics).cast(),
                &raw mut length,
            )
        };
        if answer < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(PacketStatistics { passed: statistics.tp_packets, dropped: statistics.tp_drops })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_kind_of_socket_is_an_error() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(PacketStatistics::take(&socket).is_err());
    }
}
