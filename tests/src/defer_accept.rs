//! `TCP_DEFER_ACCEPT`, which neither the standard library nor socket2 can set.
#![expect(unsafe_code, reason = "setsockopt(TCP_DEFER_ACCEPT) has no safe wrapper in a kept crate")]

use std::os::fd::{AsFd, AsRawFd};

/// Has the kernel hold completed handshakes back until the client has sent something, for about so many seconds.
pub fn defer_accept(socket: &impl AsFd, seconds: i32) -> std::io::Result<()> {
    let value: libc::c_int = seconds;
    let length = libc::socklen_t::try_from(size_of_val(&value)).map_err(std::io::Error::other)?;
    // SAFETY: the descriptor is open as long as it is borrowed, and the kernel reads `length` bytes of `value`, which
    // lives until the call is over.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_DEFER_ACCEPT,
            (&raw const value).cast(),
            length,
        )
    };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}
