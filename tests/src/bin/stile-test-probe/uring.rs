// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What io_uring does for a process, in the process or in a thread of the kernel's.
//!
//! `error 38` (ENOSYS) says that the kernel lacks the ring or the operation.

#![expect(
    unsafe_code,
    reason = "the kernel reads memory that the ring's entries point to"
)]

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use io_uring::types::{DestinationSlot, Fd, Fixed};
use io_uring::{IoUring, Probe, cqueue, opcode, squeue};
use nix::libc;
use rustix::io::Errno;
use rustix::net::AddressFamily;

use crate::tcp::{begin, tcp};
use crate::udp::udp;
use crate::{Done, PAYLOAD, family, kept, sys};

/// Entries of a ring.
const ENTRIES: u32 = 8;
/// How long the kernel's thread stays awake, in milliseconds.
const AWAKE: u32 = 100;

pub(crate) fn try_way(way: &str, addresses: &[SocketAddr]) -> Option<Done> {
    let done = match (way, addresses) {
        ("uring-connect", &[to]) => connect_then_send(ring(), tcp(to), to),
        ("uring-sqpoll", &[to]) => connect_then_send(polled(), tcp(to), to),
        ("uring-linked", &[to]) => linked(ring(), to),
        ("uring-sqpoll-linked", &[to]) => linked(polled(), to),
        ("uring-registered", &[to]) => registered(to),
        ("uring-direct", &[to]) => direct(to),
        ("uring-send-on-held", &[to]) => send_on_held(to),
        ("uring-udp-connect", &[to]) => connect_then_send(ring(), udp(family(to)), to),
        ("uring-udp-send", &[to]) => datagram(ring(), to, send),
        ("uring-udp-sqpoll", &[to]) => datagram(polled(), to, send),
        ("uring-udp-send-zc", &[to]) => datagram(ring(), to, send_zc),
        ("uring-udp-sendmsg", &[to]) => datagram(ring(), to, send_message),
        ("uring-udp-sendmsg-zc", &[to]) => datagram(ring(), to, send_message_zc),
        _ => return None,
    };
    Some(done)
}

fn failed(error: &std::io::Error) -> Errno {
    error
        .raw_os_error()
        .map_or(Errno::IO, Errno::from_raw_os_error)
}

fn ring() -> Result<IoUring, Errno> {
    IoUring::new(ENTRIES).map_err(|error| failed(&error))
}

/// A ring whose entries a thread of the kernel's takes up.
fn polled() -> Result<IoUring, Errno> {
    let mut builder = IoUring::builder();
    builder.setup_sqpoll(AWAKE);
    builder.build(ENTRIES).map_err(|error| failed(&error))
}

/// Runs entries to their ends; the error of the first that failed.
fn run(ring: &mut IoUring, codes: &[u8], entries: Vec<squeue::Entry>) -> Done {
    let mut known = Probe::new();
    ring.submitter()
        .register_probe(&mut known)
        .map_err(|error| failed(&error))?;
    if !codes.iter().all(|code| known.is_supported(*code)) {
        return Err(Errno::NOSYS);
    }
    let mut open = entries.len();
    let mut results = vec![0; open];
    for (number, entry) in entries.into_iter().enumerate() {
        // SAFETY: what the entries of this module point to lives as long as the process.
        let pushed = unsafe { ring.submission().push(&entry.user_data(number as u64)) };
        pushed.map_err(|_| Errno::NOBUFS)?;
    }
    while open > 0 {
        ring.submit_and_wait(1).map_err(|error| failed(&error))?;
        for entry in ring.completion() {
            // A send without a copy says a second time that it has let the buffer go.
            if !cqueue::notif(entry.flags()) {
                open -= 1;
                if let Some(result) = results.get_mut(entry.user_data() as usize) {
                    *result = entry.result();
                }
            }
        }
    }
    match results.into_iter().find(|result| *result < 0) {
        Some(error) => Err(Errno::from_raw_os_error(-error)),
        None => Ok(()),
    }
}

/// An address that lives as long as the process.
fn address(to: SocketAddr) -> (*const libc::sockaddr, libc::socklen_t) {
    let address = sys::address(to).leak();
    let length = libc::socklen_t::try_from(address.len()).unwrap_or(0);
    (address.as_ptr().cast(), length)
}

fn length() -> u32 {
    u32::try_from(PAYLOAD.len()).unwrap_or(0)
}

fn connect(socket: Fd, to: SocketAddr) -> squeue::Entry {
    let (address, length) = address(to);
    opcode::Connect::new(socket, address, length).build()
}

const CONNECT_AND_SEND: [u8; 2] = [opcode::Connect::CODE, opcode::Send::CODE];

fn connect_then_send(
    ring: Result<IoUring, Errno>,
    socket: Result<OwnedFd, Errno>,
    to: SocketAddr,
) -> Done {
    let (mut ring, socket) = (ring?, socket?);
    let fd = Fd(socket.as_raw_fd());
    run(&mut ring, &CONNECT_AND_SEND, vec![connect(fd, to)])?;
    let send = opcode::Send::new(fd, PAYLOAD.as_ptr(), length()).build();
    run(&mut ring, &CONNECT_AND_SEND, vec![send])?;
    kept(socket)
}

/// Both at once: the kernel sends as soon as it is connected.
fn linked(ring: Result<IoUring, Errno>, to: SocketAddr) -> Done {
    let socket = tcp(to)?;
    let fd = Fd(socket.as_raw_fd());
    let connect = connect(fd, to).flags(squeue::Flags::IO_LINK);
    let send = opcode::Send::new(fd, PAYLOAD.as_ptr(), length()).build();
    run(&mut ring?, &CONNECT_AND_SEND, vec![connect, send])?;
    kept(socket)
}

/// By a socket that only the ring has any more.
fn registered(to: SocketAddr) -> Done {
    let mut ring = ring()?;
    let socket = tcp(to)?;
    let registered = ring.submitter().register_files(&[socket.as_raw_fd()]);
    registered.map_err(|error| failed(&error))?;
    drop(socket);
    by_slot(&mut ring, to)?;
    keep_ring(ring)
}

/// By a socket that was made in the ring and never had a number.
fn direct(to: SocketAddr) -> Done {
    let mut ring = ring()?;
    let made = ring.submitter().register_files_sparse(1);
    made.map_err(|_| Errno::NOSYS)?;
    let domain = if to.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    let slot = DestinationSlot::try_from_slot_target(0).map_err(|_| Errno::INVAL)?;
    let socket = opcode::Socket::new(domain, libc::SOCK_STREAM, libc::IPPROTO_TCP)
        .file_index(Some(slot))
        .build();
    run(&mut ring, &[opcode::Socket::CODE], vec![socket])?;
    by_slot(&mut ring, to)?;
    keep_ring(ring)
}

fn by_slot(ring: &mut IoUring, to: SocketAddr) -> Done {
    let (address, size) = address(to);
    let connect = opcode::Connect::new(Fixed(0), address, size).build();
    run(ring, &CONNECT_AND_SEND, vec![connect])?;
    let send = opcode::Send::new(Fixed(0), PAYLOAD.as_ptr(), length()).build();
    run(ring, &CONNECT_AND_SEND, vec![send])
}

/// Leaves a ring open until the process ends, with the sockets in it.
fn keep_ring(ring: IoUring) -> Done {
    std::mem::forget(ring);
    Ok(())
}

/// A send that waits in the ring for a connect which has begun outside of it.
fn send_on_held(to: SocketAddr) -> Done {
    let socket = begin(to)?;
    let send = opcode::Send::new(Fd(socket.as_raw_fd()), PAYLOAD.as_ptr(), length());
    run(&mut ring()?, &CONNECT_AND_SEND, vec![send.build()])?;
    kept(socket)
}

fn datagram(
    ring: Result<IoUring, Errno>,
    to: SocketAddr,
    entry: fn(Fd, SocketAddr) -> (u8, squeue::Entry),
) -> Done {
    let socket = udp(if to.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    })?;
    let (code, entry) = entry(Fd(socket.as_raw_fd()), to);
    run(&mut ring?, &[code], vec![entry])?;
    kept(socket)
}

fn send(socket: Fd, to: SocketAddr) -> (u8, squeue::Entry) {
    let (address, size) = address(to);
    let send = opcode::Send::new(socket, PAYLOAD.as_ptr(), length());
    // The kernel has known addresses here since it knows sends without a copy.
    let send = send.dest_addr(address).dest_addr_len(size).build();
    (opcode::SendZc::CODE, send)
}

fn send_zc(socket: Fd, to: SocketAddr) -> (u8, squeue::Entry) {
    let (address, size) = address(to);
    let send = opcode::SendZc::new(socket, PAYLOAD.as_ptr(), length());
    let send = send.dest_addr(address).dest_addr_len(size).build();
    (opcode::SendZc::CODE, send)
}

fn send_message(socket: Fd, to: SocketAddr) -> (u8, squeue::Entry) {
    let send = opcode::SendMsg::new(socket, message(to)).build();
    (opcode::SendMsg::CODE, send)
}

fn send_message_zc(socket: Fd, to: SocketAddr) -> (u8, squeue::Entry) {
    let send = opcode::SendMsgZc::new(socket, message(to)).build();
    (opcode::SendMsgZc::CODE, send)
}

/// A message that lives as long as the process.
fn message(to: SocketAddr) -> *const libc::msghdr {
    let (address, length) = address(to);
    let piece = Box::leak(Box::new(libc::iovec {
        iov_base: PAYLOAD.as_ptr().cast_mut().cast(),
        iov_len: PAYLOAD.len(),
    }));
    // SAFETY: all its fields are integers and pointers, for which zero is a value.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = address.cast_mut().cast();
    message.msg_namelen = length;
    message.msg_iov = piece;
    message.msg_iovlen = 1;
    Box::leak(Box::new(message))
}
