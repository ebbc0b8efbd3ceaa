// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The calls that nix and rustix don't offer with any option and any address.

#![expect(
    unsafe_code,
    reason = "the two calls have no safe wrapper that takes bytes"
)]

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};

use nix::libc;
use rustix::io::Errno;

use crate::Done;

/// Sets a socket option to these bytes.
pub(crate) fn set(socket: impl AsFd, level: i32, name: i32, value: &[u8]) -> Done {
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: the kernel reads as many bytes as the slice has.
    let result = unsafe {
        let length = libc::socklen_t::try_from(value.len()).unwrap_or(0);
        libc::setsockopt(fd, level, name, value.as_ptr().cast(), length)
    };
    done(result as isize)
}

/// Sets a socket option that is an int.
pub(crate) fn set_int(socket: impl AsFd, level: i32, name: i32, value: i32) -> Done {
    set(socket, level, name, &value.to_ne_bytes())
}

/// Sends to an address that is given as the kernel wants it.
pub(crate) fn send_to(socket: impl AsFd, data: &[u8], flags: i32, address: &[u8]) -> Done {
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: the kernel reads as many bytes as the slices have.
    let result = unsafe {
        let length = libc::socklen_t::try_from(address.len()).unwrap_or(0);
        let (data, size, address) = (data.as_ptr(), data.len(), address.as_ptr());
        libc::sendto(fd, data.cast(), size, flags, address.cast(), length)
    };
    done(result)
}

fn done(result: isize) -> Done {
    if result >= 0 {
        return Ok(());
    }
    let error = std::io::Error::last_os_error();
    Err(error
        .raw_os_error()
        .map_or(Errno::IO, Errno::from_raw_os_error))
}

/// `struct sockaddr_in` or `struct sockaddr_in6` (ip(7), ipv6(7)).
pub(crate) fn address(to: SocketAddr) -> Vec<u8> {
    match to {
        SocketAddr::V4(v4) => [
            &(libc::AF_INET as u16).to_ne_bytes()[..],
            &v4.port().to_be_bytes(),
            &v4.ip().octets(),
            &[0; 8],
        ]
        .concat(),
        SocketAddr::V6(v6) => [
            &(libc::AF_INET6 as u16).to_ne_bytes()[..],
            &v6.port().to_be_bytes(),
            &v6.flowinfo().to_be_bytes(),
            &v6.ip().octets(),
            &v6.scope_id().to_ne_bytes(),
        ]
        .concat(),
    }
}

/// Reads a socket option that is one word.
pub(crate) fn get_word(socket: impl AsFd, level: i32, name: i32) -> Result<u32, Errno> {
    let fd = socket.as_fd().as_raw_fd();
    let mut word = 0_u32;
    let mut length = libc::socklen_t::try_from(size_of::<u32>()).unwrap_or(0);
    // SAFETY: the kernel writes at most as many bytes as the word has.
    let result = unsafe {
        let word = (&raw mut word).cast();
        libc::getsockopt(fd, level, name, word, &raw mut length)
    };
    done(result as isize)?;
    Ok(word)
}
