// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Facts of one socket.
#![expect(
    unsafe_code,
    reason = "nix has no wrapper of SO_COOKIE and SO_NETNS_COOKIE"
)]

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;

use crate::ids::SocketCookie;

/// The kernel's name of a socket (`SO_COOKIE`, socket(7)).
///
/// # Errors
/// If `fd` is no socket.
pub fn cookie_of(fd: &impl AsFd) -> io::Result<SocketCookie> {
    option_of(fd, libc::SO_COOKIE).map(SocketCookie)
}

/// The kernel's name of a socket's network namespace (`SO_NETNS_COOKIE`, Linux 5.14).
///
/// # Errors
/// If `fd` is no socket, or the kernel is older.
pub fn netns_cookie_of(fd: &impl AsFd) -> io::Result<u64> {
    option_of(fd, libc::SO_NETNS_COOKIE)
}

/// An option of [`libc::SOL_SOCKET`] that is a number of 64 bits.
fn option_of(fd: &impl AsFd, option: libc::c_int) -> io::Result<u64> {
    let mut cookie = 0_u64;
    let mut length = libc::socklen_t::try_from(size_of::<u64>()).unwrap_or_default();
    // SAFETY: `cookie` and `length` outlive the call, and `length` says how many bytes of
    // `cookie` the kernel may write. `fd` is borrowed, so it is open.
    let returned = unsafe {
        libc::getsockopt(
            fd.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    Errno::result(returned)?;
    Ok(cookie)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sockets_have_two_cookies_and_a_file_has_none() {
        let first = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let second = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let cookie = cookie_of(&first).unwrap();
        assert_ne!(cookie, SocketCookie(0));
        assert_eq!(cookie, cookie_of(&first).unwrap());
        assert_ne!(cookie, cookie_of(&second).unwrap());
        cookie_of(&tempfile::tempfile().unwrap()).unwrap_err();
    }
}
