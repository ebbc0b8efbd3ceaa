// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Tries one way to get data to an address, as a program might that knows all of them.
//!
//! `stile-test-probe WAY ADDRESS:PORT [FIRST:PORT]` prints `sent` once the kernel has taken
//! [`PAYLOAD`] for the address, or `error ERRNO`. Some ways use another address first.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};
use rustix::io::Errno;
use rustix::net::{
    self, AddressFamily, Protocol, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, ipproto,
};

/// What must not arrive.
const PAYLOAD: &[u8] = b"secret";
/// Connects of a flood: more than the kernel's ring holds, and than one user may make.
const FLOOD: usize = 5000;
/// `MSG_FASTOPEN` of tcp(7).
const FAST_OPEN: SendFlags = SendFlags::from_bits_retain(0x2000_0000);
/// The protocol number of UDP (IANA).
const UDP: u8 = 17;

type Done = Result<(), Errno>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((way, addresses)) = arguments.split_first() else {
        return usage();
    };
    let Ok(addresses) = addresses.iter().map(|text| text.parse()).collect() else {
        return usage();
    };
    let addresses: Vec<SocketAddr> = addresses;
    let done = match (way.as_str(), addresses.as_slice()) {
        ("pass-a-socket", []) => pass_a_socket(),
        ("tcp-loop", &[to]) => return tcp_loop(to),
        ("tcp-orphan", &[to]) => return orphan(to),
        (way, &[to]) => try_way(way, to),
        (way, &[to, first]) => try_way_after(way, to, first),
        _ => return usage(),
    };
    match done {
        Ok(()) => println!("sent"),
        Err(Errno::NOTSUP) => return usage(),
        Err(error) => println!("error {}", error.raw_os_error()),
    }
    // The socket lives until somebody says so.
    let _ = io::stdin().read_line(&mut String::new());
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("usage: stile-test-probe WAY ADDRESS:PORT [FIRST:PORT]");
    ExitCode::from(2)
}

fn try_way(way: &str, to: SocketAddr) -> Done {
    match way {
        "tcp" => connect_then_send(&tcp(to)?, to),
        "tcp-nonblocking" => nonblocking(to, PAYLOAD),
        "tcp-dup" => write_on_dup(to),
        "mptcp" => {
            let socket = socket(family(to), SocketType::STREAM, Some(ipproto::MPTCP))?;
            connect_then_send(&socket, to)
        }
        "fastopen-sendto" => {
            let socket = tcp(to)?;
            net::sendto(&socket, PAYLOAD, FAST_OPEN, &to)?;
            kept(socket)
        }
        "fastopen-connect" => {
            let socket = tcp(to)?;
            setsockopt(&socket, sockopt::TcpFastOpenConnect, &true)
                .map_err(|error| Errno::from_raw_os_error(error as i32))?;
            connect_then_send(&socket, to)
        }
        "udp-connected" => connect_then_send(&udp(family(to))?, to),
        "udp-unconnected" => send_to(udp(family(to))?, to),
        "udp-connected-v4-on-v6" => connect_then_send(&udp(AddressFamily::INET6)?, to),
        "udp-unconnected-v4-on-v6" => send_to(udp(AddressFamily::INET6)?, to),
        "raw-udp" => raw_udp(to),
        "tcp-given-up" => {
            // Closed while it is in its connect, by a process that lives on.
            drop(begin(to)?);
            Err(Errno::TIMEDOUT)
        }
        "tcp-flood" => flood(to),
        "received-socket" => connect_then_send(&receive_a_socket()?, to),
        _ => Err(Errno::NOTSUP),
    }
}

fn try_way_after(way: &str, to: SocketAddr, first: SocketAddr) -> Done {
    match way {
        "tcp-reconnect" => {
            let socket = tcp(to)?;
            net::connect(&socket, &first)?;
            net::connect_unspec(&socket)?;
            connect_then_send(&socket, to)
        }
        "udp-reconnect" => {
            let socket = udp(family(to))?;
            connect_then_send(&socket, first)?;
            connect_then_send(&socket, to)
        }
        "udp-connected-elsewhere" => {
            let socket = udp(family(to))?;
            connect_then_send(&socket, first)?;
            send_to(socket, to)
        }
        _ => Err(Errno::NOTSUP),
    }
}

fn socket(
    family: AddressFamily,
    kind: SocketType,
    protocol: Option<Protocol>,
) -> Result<OwnedFd, Errno> {
    net::socket_with(family, kind, SocketFlags::CLOEXEC, protocol)
}

fn tcp(to: SocketAddr) -> Result<OwnedFd, Errno> {
    socket(family(to), SocketType::STREAM, Some(ipproto::TCP))
}

fn udp(family: AddressFamily) -> Result<OwnedFd, Errno> {
    socket(family, SocketType::DGRAM, Some(ipproto::UDP))
}

fn family(to: SocketAddr) -> AddressFamily {
    match to {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    }
}

/// Leaves a socket open until the process ends.
fn kept(socket: OwnedFd) -> Done {
    std::mem::forget(socket);
    Ok(())
}

fn connect_then_send(socket: &OwnedFd, to: SocketAddr) -> Done {
    net::connect(socket, &to)?;
    net::send(socket, PAYLOAD, SendFlags::NOSIGNAL)?;
    kept(rustix::io::dup(socket)?)
}

fn send_to(socket: OwnedFd, to: SocketAddr) -> Done {
    net::sendto(&socket, PAYLOAD, SendFlags::NOSIGNAL, &to)?;
    kept(socket)
}

/// Connects without waiting; returns once the connect has begun.
fn begin(to: SocketAddr) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = net::socket_with(family(to), SocketType::STREAM, flags, Some(ipproto::TCP))?;
    match net::connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error),
    }
}

/// Waits for the end of a connect, and sends.
fn finish(socket: OwnedFd, payload: &[u8]) -> Done {
    let mut wanted = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
    poll(&mut wanted, PollTimeout::NONE).map_err(|error| Errno::from_raw_os_error(error as i32))?;
    net::sockopt::socket_error(&socket)??;
    net::send(&socket, payload, SendFlags::NOSIGNAL)?;
    kept(socket)
}

fn nonblocking(to: SocketAddr, payload: &[u8]) -> Done {
    finish(begin(to)?, payload)
}

/// Begins [`FLOOD`] connects as fast as it can, and gives each one up.
fn flood(to: SocketAddr) -> Done {
    for _ in 0..FLOOD {
        match begin(to) {
            Ok(_) | Err(Errno::PERM) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Connects again and again until its stdin ends, then prints `connected N failed N`.
fn tcp_loop(to: SocketAddr) -> ExitCode {
    let (mut connected, mut failed) = (0, 0);
    println!("sent");
    loop {
        // Gives way to others, and looks whether to stop.
        let stdin = io::stdin();
        let mut wanted = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        if poll(&mut wanted, 1_u8) != Ok(0) {
            break;
        }
        match try_once(to) {
            Ok(()) => connected += 1,
            Err(_) => failed += 1,
        }
    }
    println!("connected {connected} failed {failed}");
    ExitCode::SUCCESS
}

/// Connects, for at most 50 ms, which over loopback is a thousand times what it takes.
fn try_once(to: SocketAddr) -> Done {
    let socket = begin(to)?;
    let mut wanted = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
    if poll(&mut wanted, 50_u8) != Ok(1) {
        return Err(Errno::TIMEDOUT);
    }
    net::sockopt::socket_error(&socket)??;
    // Closes with a reset, which leaves no port behind.
    net::sockopt::set_socket_linger(&socket, Some(std::time::Duration::ZERO))
}

/// Begins a connect, leaves the socket to a child and ends.
fn orphan(to: SocketAddr) -> ExitCode {
    let begun = begin(to).and_then(|socket| {
        let child = std::process::Command::new("sleep")
            .arg("infinity")
            .stdin(socket)
            .spawn();
        child.map_err(|_| Errno::CHILD)
    });
    match begun {
        Ok(_) => println!("sent"),
        Err(error) => println!("error {}", error.raw_os_error()),
    }
    ExitCode::SUCCESS
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
    finish(copy, PAYLOAD)
}

/// A whole IPv4 packet with a UDP datagram in it, made by hand (RFC 791, RFC 768).
fn raw_udp(to: SocketAddr) -> Done {
    let SocketAddr::V4(v4) = to else {
        return Err(Errno::NOTSUP);
    };
    let socket = socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::RAW))?;
    // The port of a raw socket's destination means nothing.
    let there = SocketAddr::new(IpAddr::V4(*v4.ip()), 0);
    net::sendto(&socket, &datagram(v4), SendFlags::empty(), &there)?;
    kept(socket)
}

fn datagram(to: SocketAddrV4) -> Vec<u8> {
    let length = u16::try_from(8 + PAYLOAD.len()).unwrap_or(u16::MAX);
    // The kernel fills in total length, identification, checksum and source (raw(7)).
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, UDP, 0, 0, 0, 0, 0, 0];
    packet.extend(to.ip().octets());
    packet.extend(40_000_u16.to_be_bytes());
    packet.extend(to.port().to_be_bytes());
    packet.extend(length.to_be_bytes());
    // No checksum (RFC 768).
    packet.extend([0, 0]);
    packet.extend(PAYLOAD);
    packet
}

/// Makes a TCP socket and sends it to whoever has the other end of stdin.
fn pass_a_socket() -> Done {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, Some(ipproto::TCP))?;
    let sockets = [socket.as_fd()];
    let mut space = [const { std::mem::MaybeUninit::uninit() }; rustix::cmsg_space!(ScmRights(1))];
    let mut message = SendAncillaryBuffer::new(&mut space);
    if !message.push(SendAncillaryMessage::ScmRights(&sockets)) {
        return Err(Errno::NOBUFS);
    }
    let byte = [io::IoSlice::new(b"x")];
    net::sendmsg(io::stdin(), &byte, &mut message, SendFlags::empty())?;
    Ok(())
}

/// Takes the socket that [`pass_a_socket`] sends.
fn receive_a_socket() -> Result<OwnedFd, Errno> {
    let mut space = [const { std::mem::MaybeUninit::uninit() }; rustix::cmsg_space!(ScmRights(1))];
    let mut message = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut bytes = [io::IoSliceMut::new(&mut byte)];
    net::recvmsg(io::stdin(), &mut bytes, &mut message, RecvFlags::empty())?;
    for received in message.drain() {
        if let RecvAncillaryMessage::ScmRights(mut sockets) = received
            && let Some(socket) = sockets.next()
        {
            return Ok(socket);
        }
    }
    Err(Errno::BADMSG)
}
