// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Ways over TCP.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};
use rustix::io::Errno;
use rustix::net::{self, Protocol, SendFlags, SocketFlags, SocketType, ipproto};

use crate::{Done, FAST_OPEN, PAYLOAD, connect_then_send, family, kept, socket};

pub(crate) fn try_way(way: &str, addresses: &[SocketAddr]) -> Option<Done> {
    let done = match (way, addresses) {
        ("tcp", &[to]) => plain(to),
        ("tcp-nonblocking", &[to]) => nonblocking(to),
        ("tcp-dup", &[to]) => write_on_dup(to),
        ("tcp-reconnect", &[to, first]) => reconnect(to, first),
        ("mptcp", &[to]) => mptcp(to),
        ("mptcp-fastopen", &[to]) => mptcp_fast_open(to),
        ("fastopen-sendto", &[to]) => fast_open_by_sendto(to),
        ("fastopen-connect", &[to]) => fast_open_by_connect(to),
        ("sctp", &[to]) => other(to, SocketType::STREAM, ipproto::SCTP),
        ("dccp", &[to]) => other(to, DCCP, ipproto::DCCP),
        _ => return None,
    };
    Some(done)
}

pub(crate) fn tcp(to: SocketAddr) -> Result<OwnedFd, Errno> {
    socket(family(to), SocketType::STREAM, Some(ipproto::TCP))
}

/// `SOCK_DCCP` of the kernel's include/linux/net.h.
const DCCP: SocketType = SocketType::from_raw(6);

fn other(to: SocketAddr, kind: SocketType, protocol: Protocol) -> Done {
    connect_then_send(&socket(family(to), kind, Some(protocol))?, to)
}

fn plain(to: SocketAddr) -> Done {
    connect_then_send(&tcp(to)?, to)
}

fn mptcp(to: SocketAddr) -> Done {
    let socket = socket(family(to), SocketType::STREAM, Some(ipproto::MPTCP))?;
    connect_then_send(&socket, to)
}

fn mptcp_fast_open(to: SocketAddr) -> Done {
    let socket = socket(family(to), SocketType::STREAM, Some(ipproto::MPTCP))?;
    net::sendto(&socket, PAYLOAD, FAST_OPEN, &to)?;
    kept(socket)
}

fn fast_open_by_sendto(to: SocketAddr) -> Done {
    let socket = tcp(to)?;
    net::sendto(&socket, PAYLOAD, FAST_OPEN, &to)?;
    kept(socket)
}

fn fast_open_by_connect(to: SocketAddr) -> Done {
    let socket = tcp(to)?;
    setsockopt(&socket, sockopt::TcpFastOpenConnect, &true)
        .map_err(|error| Errno::from_raw_os_error(error as i32))?;
    connect_then_send(&socket, to)
}

fn reconnect(to: SocketAddr, first: SocketAddr) -> Done {
    let socket = tcp(to)?;
    net::connect(&socket, &first)?;
    net::connect_unspec(&socket)?;
    connect_then_send(&socket, to)
}

/// Connects without waiting; returns once the connect has begun.
pub(crate) fn begin(to: SocketAddr) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = net::socket_with(family(to), SocketType::STREAM, flags, Some(ipproto::TCP))?;
    match net::connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error),
    }
}

/// Waits for the end of a connect, and sends.
pub(crate) fn finish(socket: OwnedFd) -> Done {
    let mut wanted = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
    poll(&mut wanted, PollTimeout::NONE).map_err(|error| Errno::from_raw_os_error(error as i32))?;
    net::sockopt::socket_error(&socket)??;
    net::send(&socket, PAYLOAD, SendFlags::NOSIGNAL)?;
    kept(socket)
}

fn nonblocking(to: SocketAddr) -> Done {
    finish(begin(to)?)
}

/// Writes on a copy of a socket that is in its connect, before anything else.
fn write_on_dup(to: SocketAddr) -> Done {
    let socket = begin(to)?;
    let copy = rustix::io::dup(&socket)?;
    match net::send(&copy, PAYLOAD, SendFlags::NOSIGNAL) {
        Ok(_) => return kept(socket),
        // Not connected yet: what the kernel says to a write in SYN_SENT.
        Err(Errno::AGAIN) => {}
        Err(error) => return Err(error),
    }
    drop(socket);
    finish(copy)
}
