// SPDX-License-Identifier: Apache-2.0 OR MIT
//! TCP sockets with options: marks, devices, source addresses and ports.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::libc;
use rustix::io::Errno;
use rustix::net::{self, SendFlags};

use crate::sys::{set, set_int};
use crate::tcp::{begin, finish, tcp};
use crate::{Done, FAST_OPEN, PAYLOAD, connect_then_send, kept};

/// A source address of this host that nobody else uses.
const SOURCE: &str = "127.99.0.1:0";

pub(crate) fn try_way(way: &str, addresses: &[SocketAddr]) -> Option<Done> {
    let done = match (way, addresses) {
        ("tcp-mark", &[to]) => with(to, libc::SOL_SOCKET, libc::SO_MARK),
        ("tcp-device", &[to]) => through_loopback(to),
        ("tcp-transparent", &[to]) => from_source(to, libc::IP_TRANSPARENT),
        ("tcp-freebind", &[to]) => from_source(to, libc::IP_FREEBIND),
        ("tcp-late-port", &[to]) => from_source(to, libc::IP_BIND_ADDRESS_NO_PORT),
        ("tcp-unspec-first", &[to]) => unspec_first(to),
        ("tcp-unspec-while-held", &[to]) => unspec_while_held(to),
        ("tcp-fastopen-on-held", &[to]) => fast_open_on_held(to),
        ("tcp-self", &[to]) => to_itself(to),
        ("tcp-same-port", &[to, first, from]) => same_port_at_once(to, first, from),
        ("tcp-port-again", &[to, from]) => same_port_again(to, from),
        ("tcp-connect-again", &[to]) => same_socket_again(to),
        ("tcp-from", &[to, from]) => from_port(from).and_then(|own| connect_then_send(&own, to)),
        ("listen-then-send", &[at]) => {
            listen(at, |peer| net::send(peer, PAYLOAD, SendFlags::NOSIGNAL))
        }
        ("listen-then-hear", &[at]) => listen(at, |peer| {
            net::recv(peer, &mut [0; 64], net::RecvFlags::empty()).map(|(length, _)| length)
        }),
        ("tcp-repair", &[to, from]) => repair(to, from),
        ("tcp-flow", &[to]) => flow(to),
        _ => return None,
    };
    Some(done)
}

fn with(to: SocketAddr, level: i32, name: i32) -> Done {
    let socket = tcp(to)?;
    set_int(&socket, level, name, 1)?;
    connect_then_send(&socket, to)
}

fn through_loopback(to: SocketAddr) -> Done {
    let socket = tcp(to)?;
    set(&socket, libc::SOL_SOCKET, libc::SO_BINDTODEVICE, b"lo")?;
    connect_then_send(&socket, to)
}

fn from_source(to: SocketAddr, option: i32) -> Done {
    let socket = tcp(to)?;
    set_int(&socket, libc::IPPROTO_IP, option, 1)?;
    net::bind(&socket, &parsed(SOURCE)?)?;
    connect_then_send(&socket, to)
}

fn parsed(address: &str) -> Result<SocketAddr, Errno> {
    address.parse().map_err(|_| Errno::INVAL)
}

/// Takes a fresh socket apart before it is put together.
fn unspec_first(to: SocketAddr) -> Done {
    let socket = tcp(to)?;
    net::connect_unspec(&socket)?;
    connect_then_send(&socket, to)
}

/// Gives up a connect and begins it anew with the same socket.
fn unspec_while_held(to: SocketAddr) -> Done {
    let socket = begin(to)?;
    net::connect_unspec(&socket)?;
    match net::connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => finish(socket),
        Err(error) => Err(error),
    }
}

/// Writes with `MSG_FASTOPEN` on a socket that is in its connect, before anything else.
fn fast_open_on_held(to: SocketAddr) -> Done {
    let socket = begin(to)?;
    match net::sendto(&socket, PAYLOAD, FAST_OPEN, &to) {
        Ok(_) => kept(socket),
        // Connected, or in its connect: it has nothing more to open.
        Err(Errno::ISCONN | Errno::ALREADY | Errno::INPROGRESS) => finish(socket),
        Err(error) => Err(error),
    }
}

/// A connect whose source is its destination: the SYN meets its own socket, which is a
/// simultaneous open (RFC 9293 3.5).
fn to_itself(to: SocketAddr) -> Done {
    let socket = tcp(to)?;
    net::bind(&socket, &to)?;
    connect_then_send(&socket, to)
}

fn from_port(from: SocketAddr) -> Result<OwnedFd, Errno> {
    let socket = tcp(from)?;
    net::sockopt::set_socket_reuseaddr(&socket, true)?;
    net::sockopt::set_socket_reuseport(&socket, true)?;
    net::bind(&socket, &from)?;
    Ok(socket)
}

/// Connects from the port of a connection that is open to another address.
fn same_port_at_once(to: SocketAddr, first: SocketAddr, from: SocketAddr) -> Done {
    let approved = from_port(from)?;
    net::connect(&approved, &first)?;
    let socket = from_port(from)?;
    kept(approved)?;
    connect_then_send(&socket, to)
}

/// Connects, closes, and connects from the same port with another socket.
fn same_port_again(to: SocketAddr, from: SocketAddr) -> Done {
    let approved = from_port(from)?;
    net::connect(&approved, &to)?;
    // A reset leaves nothing of the connection behind.
    net::sockopt::set_socket_linger(&approved, Some(Duration::ZERO))?;
    drop(approved);
    connect_then_send(&from_port(from)?, to)
}

/// Connects, disconnects, and connects once more with the same socket.
fn same_socket_again(to: SocketAddr) -> Done {
    let socket = tcp(to)?;
    net::connect(&socket, &to)?;
    net::connect_unspec(&socket)?;
    connect_then_send(&socket, to)
}

/// Says `sent` when it listens, and goes on when somebody has connected.
fn listen(at: SocketAddr, act: impl Fn(&OwnedFd) -> Result<usize, Errno>) -> Done {
    let listener = from_port(at)?;
    net::listen(&listener, 1)?;
    println!("sent");
    let peer = net::accept(&listener)?;
    if act(&peer)? == 0 {
        return Err(Errno::NODATA);
    }
    kept(peer)
}

/// `TCP_REPAIR`, `TCP_REPAIR_QUEUE`, `TCP_QUEUE_SEQ` and the two queues of the kernel's
/// include/uapi/linux/tcp.h.
const REPAIR: i32 = 19;
const REPAIR_QUEUE: i32 = 20;
const QUEUE_SEQ: i32 = 21;
const RECEIVED: i32 = 1;
const SENT: i32 = 2;

/// Takes over a connection as checkpoint and restore does: a second socket gets the first
/// one's numbers and is connected without a handshake. Says `sent` when the first one is
/// connected, and goes on at the next line of stdin.
fn repair(to: SocketAddr, from: SocketAddr) -> Done {
    let old = from_port(from)?;
    net::connect(&old, &to)?;
    println!("sent");
    let _ = io::stdin().read_line(&mut String::new());
    set_int(&old, libc::IPPROTO_TCP, REPAIR, 1)?;
    let numbers = [RECEIVED, SENT].map(|queue| number_of(&old, queue));
    // Closed in repair mode, it says nothing to its peer.
    drop(old);
    let new = tcp(to)?;
    net::sockopt::set_socket_reuseaddr(&new, true)?;
    set_int(&new, libc::IPPROTO_TCP, REPAIR, 1)?;
    net::bind(&new, &from)?;
    for (queue, number) in [RECEIVED, SENT].into_iter().zip(numbers) {
        set_int(&new, libc::IPPROTO_TCP, REPAIR_QUEUE, queue)?;
        set(&new, libc::IPPROTO_TCP, QUEUE_SEQ, &number?.to_ne_bytes())?;
    }
    net::connect(&new, &to)?;
    set_int(&new, libc::IPPROTO_TCP, REPAIR, 0)?;
    net::send(&new, PAYLOAD, SendFlags::NOSIGNAL)?;
    kept(new)
}

fn number_of(socket: &OwnedFd, queue: i32) -> Result<u32, Errno> {
    set_int(socket, libc::IPPROTO_TCP, REPAIR_QUEUE, queue)?;
    crate::sys::get_word(socket, libc::IPPROTO_TCP, QUEUE_SEQ)
}

/// Sends without a pause until it can't. Says `sent` when it has begun.
fn flow(to: SocketAddr) -> Done {
    let socket = tcp(to)?;
    connect_then_send(&socket, to)?;
    println!("sent");
    let much = [b'x'; 4096];
    let mut answer = [0; 65536];
    loop {
        net::send(&socket, &much, SendFlags::NOSIGNAL)?;
        // The server sends everything back: what isn't read would stop it.
        match net::recv(&socket, &mut answer, net::RecvFlags::DONTWAIT) {
            Ok(_) | Err(Errno::AGAIN) => {}
            Err(error) => return Err(error),
        }
    }
}
