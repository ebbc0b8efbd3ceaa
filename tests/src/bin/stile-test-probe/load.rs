// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Many connects, and connects that nobody waits for.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::process::ExitCode;

use nix::poll::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net;

use crate::Done;
use crate::tcp::begin;

/// Connects of a flood: more than the kernel's ring holds, and than one user may make.
const FLOOD: usize = 5000;

pub(crate) fn try_way(way: &str, addresses: &[SocketAddr]) -> Option<Done> {
    let done = match (way, addresses) {
        ("tcp-given-up", &[to]) => give_up(to),
        ("tcp-flood", &[to]) => flood(to),
        _ => return None,
    };
    Some(done)
}

/// Closes a socket while it is in its connect; its process lives on.
fn give_up(to: SocketAddr) -> Done {
    drop(begin(to)?);
    Err(Errno::TIMEDOUT)
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
pub(crate) fn tcp_loop(to: SocketAddr) -> ExitCode {
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

/// Connects, for at most 400 ms: long for a busy machine, and less than the second after which a
/// SYN that was dropped comes again.
fn try_once(to: SocketAddr) -> Done {
    let socket = begin(to)?;
    let mut wanted = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
    if poll(&mut wanted, 400_u16) != Ok(1) {
        return Err(Errno::TIMEDOUT);
    }
    net::sockopt::socket_error(&socket)??;
    // Closes with a reset, which leaves no port behind.
    net::sockopt::set_socket_linger(&socket, Some(std::time::Duration::ZERO))
}

/// Begins a connect, leaves the socket to a child and ends.
pub(crate) fn orphan(to: SocketAddr) -> ExitCode {
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
