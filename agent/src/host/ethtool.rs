//! The ethtool ioctls: a driver's name and its statistics. Beside [`super::packet_statistics`] the one module with
//! `unsafe`: no kept crate wraps these two requests (the netlink form of ethtool has no driver statistics), and they need
//! no capability.
//!
//! Layouts: the kernel's `include/uapi/linux/ethtool.h` and `include/uapi/linux/if.h`.
#![expect(unsafe_code, reason = "ioctl(SIOCETHTOOL) has no safe wrapper; each block says why it is sound")]

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

/// `ETHTOOL_GDRVINFO`: who drives this interface, and how many statistics there are.
const GET_DRIVER_INFO: u32 = 0x03;
/// `ETHTOOL_GSTRINGS`: names of a string set.
const GET_STRINGS: u32 = 0x1b;
/// `ETHTOOL_GSTATS`: values of the statistics.
const GET_STATISTICS: u32 = 0x1d;
/// `ETH_SS_STATS`: the string set of statistics' names.
const STATISTICS_NAMES: u32 = 1;
/// `ETH_GSTRING_LEN`.
const NAME_LENGTH: usize = 32;
/// Statistics we are ready to read of one driver. ENA on the largest instances has about 1,500.
const MAX_STATISTICS: u32 = 16_384;

/// Room beyond what the driver said, should it be given more queues between two calls. The kernel tells how many it
/// wrote, so that a change is noticed.
const SLACK: usize = 4096;

/// `struct ethtool_drvinfo`.
#[repr(C)]
struct DriverInfo {
    command: u32,
    driver: [u8; 32],
    _version: [u8; 32],
    _firmware_version: [u8; 32],
    _bus_info: [u8; 32],
    _rom_version: [u8; 32],
    _reserved: [u8; 12],
    _private_flags: u32,
    statistics: u32,
    _test_info: u32,
    _eeprom_dump: u32,
    _register_dump: u32,
}

/// A socket to ask drivers through.
#[derive(Debug)]
pub struct Ethtool {
    socket: UdpSocket,
}

/// Who drives an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Driver {
    name: String,
    /// As the driver told: buffers are sized by it, so nobody else may set it.
    statistics: u32,
}

impl Driver {
    /// The driver's name: `ena`, `veth`, `virtio_net`.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Ethtool {
    /// Opens a socket of this network namespace.
    pub fn open() -> io::Result<Self> {
        // Any socket of the namespace carries interface ioctls; an unbound port of loopback receives nothing.
        Ok(Ethtool {
            socket: UdpSocket::bind("127.0.0.1:0")
                .or_else(|_| UdpSocket::bind("[::1]:0"))
                .or_else(|_| UdpSocket::bind("0.0.0.0:0"))?,
        })
    }

    /// Who drives `interface`.
    pub fn driver(&self, interface: &str) -> io::Result<Driver> {
        let mut info = DriverInfo {
            command: GET_DRIVER_INFO,
            driver: [0; 32],
            _version: [0; 32],
            _firmware_version: [0; 32],
            _bus_info: [0; 32],
            _rom_version: [0; 32],
            _reserved: [0; 12],
            _private_flags: 0,
            statistics: 0,
            _test_info: 0,
            _eeprom_dump: 0,
            _register_dump: 0,
        };
        // SAFETY: the kernel writes one `struct ethtool_drvinfo`, whose layout `DriverInfo` has, and nothing more.
        unsafe { self.ask(interface, std::ptr::from_mut(&mut info).cast())? };
        if info.statistics > MAX_STATISTICS {
            return Err(io::Error::other(format!("a driver with {} statistics", info.statistics)));
        }
        Ok(Driver { name: text(&info.driver), statistics: info.statistics })
    }

    /// Names of the driver's statistics, in the order of [`Ethtool::statistics`].
    pub fn names(&self, interface: &str, driver: &Driver) -> io::Result<Vec<String>> {
        // struct ethtool_gstrings: command, string set, number, then 32 bytes a name. As u32 for its alignment.
        let mut words = vec![0u32; 3 + (driver.statistics as usize + SLACK) * NAME_LENGTH / 4];
        if let [command, set, count, ..] = words.as_mut_slice() {
            (*command, *set, *count) = (GET_STRINGS, STATISTICS_NAMES, driver.statistics);
        }
        // SAFETY: the kernel (`ethtool_get_strings`) writes 32 bytes for each name that the driver has now: as many
        // as `driver` said (only this module makes a `Driver`), unless it was given more queues since; then the slack,
        // more statistics than most drivers have at all, holds those too.
        unsafe { self.ask(interface, words.as_mut_ptr().cast())? };
        if words.get(2) != Some(&driver.statistics) {
            return Err(reconfigured());
        }
        let bytes: Vec<u8> = words.iter().skip(3).flat_map(|word| word.to_ne_bytes()).collect();
        Ok(bytes.chunks_exact(NAME_LENGTH).take(driver.statistics as usize).map(text).collect())
    }

    /// Values of the driver's statistics.
    pub fn statistics(&self, interface: &str, driver: &Driver) -> io::Result<Vec<u64>> {
        // struct ethtool_stats: command and number as u32, then a u64 a statistic.
        let mut words = vec![0u64; 1 + driver.statistics as usize + SLACK];
        if let Some(head) = words.first_mut() {
            *head = pair(GET_STATISTICS, driver.statistics);
        }
        // SAFETY: as in `names`, with 8 bytes for each statistic (`ethtool_get_stats`).
        unsafe { self.ask(interface, words.as_mut_ptr().cast())? };
        if words.first() != Some(&pair(GET_STATISTICS, driver.statistics)) {
            return Err(reconfigured());
        }
        Ok(words.into_iter().skip(1).take(driver.statistics as usize).collect())
    }

    /// # Safety
    /// `data` must point to the structure of the command it begins with, large enough for what the kernel writes.
    unsafe fn ask(&self, interface: &str, data: *mut libc::c_char) -> io::Result<()> {
        // SAFETY: ifreq is plain data for which all zeroes is a value.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        if interface.len() >= request.ifr_name.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "interface name too long"));
        }
        for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
            *to = libc::c_char::from_ne_bytes([from]);
        }
        request.ifr_ifru.ifru_data = data;
        // SAFETY: SIOCETHTOOL takes an ifreq with a terminated name (checked above) and a pointer, which the caller
        // vouches for; both live until the call returns.
        let answer = unsafe { libc::ioctl(self.socket.as_raw_fd(), libc::SIOCETHTOOL as _, &mut request) };
        if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// Two u32 that lie beside each other, as one u64.
fn pair(first: u32, second: u32) -> u64 {
    let (first, second) = (u64::from(first), u64::from(second));
    if cfg!(target_endian = "little") { first | second << 32 } else { first << 32 | second }
}

fn reconfigured() -> io::Error {
    io::Error::other("the driver was reconfigured while it was read")
}

/// The text before the first NUL.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}
