// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Blocks of connects. Each begins with some that are not counted.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, accept_with,
    connect as to_connect, recv, send, socket_with, sockopt,
};

use super::inside::Addresses;
use super::job::Protocol;

/// How many are not counted.
const WARM_UP: usize = 50;

/// What is sent for a first reply.
const HELLO: &[u8; 16] = b"is anybody here?";

/// Times connect() alone.
pub(super) fn connect(
    protocol: Protocol,
    to: &mut Addresses,
    listeners: &[OwnedFd; 2],
    count: usize,
    times: &mut Vec<f64>,
) -> Result<()> {
    match protocol {
        Protocol::Tcp => tcp(to, listeners, count, times),
        Protocol::Udp => udp(to, count, times),
    }
}

fn tcp(
    to: &mut Addresses,
    [v4, v6]: &[OwnedFd; 2],
    count: usize,
    times: &mut Vec<f64>,
) -> Result<()> {
    for turn in 0..WARM_UP + count {
        let address = to.turn();
        let socket = socket(&address, SocketType::STREAM)?;
        let start = Instant::now();
        let connected = to_connect(&socket, &address);
        let elapsed = start.elapsed();
        connected.with_context(|| format!("connect to {address}"))?;
        let listener = if address.is_ipv4() { v4 } else { v6 };
        let accepted = accept_with(listener, SocketFlags::CLOEXEC).context("accept")?;
        // Resets the connection: neither end keeps its port.
        abort(socket)?;
        drop(accepted);
        note(WARM_UP, turn, elapsed, times);
    }
    Ok(())
}

fn udp(to: &mut Addresses, count: usize, times: &mut Vec<f64>) -> Result<()> {
    let socket = socket(&to.turn(), SocketType::DGRAM)?;
    for turn in 0..WARM_UP + count {
        let address = to.turn();
        let start = Instant::now();
        let connected = to_connect(&socket, &address);
        let elapsed = start.elapsed();
        connected.with_context(|| format!("connect over UDP to {address}"))?;
        note(WARM_UP, turn, elapsed, times);
    }
    Ok(())
}

/// Times connect() that fails with this error. Nothing goes before that isn't counted: each may
/// cost its user something.
pub(super) fn refused(
    to: &mut Addresses,
    errno: i32,
    count: usize,
    times: &mut Vec<f64>,
) -> Result<()> {
    let expected = Errno::from_raw_os_error(errno);
    for turn in 0..count {
        let address = to.turn();
        let socket = socket(&address, SocketType::STREAM)?;
        let start = Instant::now();
        let connected = to_connect(&socket, &address);
        let elapsed = start.elapsed();
        if connected != Err(expected) {
            bail!("connect to {address} ended with {connected:?} instead of {expected}");
        }
        note(0, turn, elapsed, times);
    }
    Ok(())
}

/// Times connect, send, and what comes back.
pub(super) fn reply(to: &mut Addresses, count: usize, times: &mut Vec<f64>) -> Result<()> {
    let mut answer = [0; HELLO.len()];
    for turn in 0..WARM_UP + count {
        let address = to.turn();
        let start = Instant::now();
        let socket = socket(&address, SocketType::STREAM)?;
        to_connect(&socket, &address).with_context(|| format!("connect to {address}"))?;
        send(&socket, HELLO, SendFlags::NOSIGNAL).context("send")?;
        receive(&socket, &mut answer)?;
        let elapsed = start.elapsed();
        if answer != *HELLO {
            bail!("{address} doesn't send back what it gets");
        }
        abort(socket)?;
        note(WARM_UP, turn, elapsed, times);
    }
    Ok(())
}

/// A socket for this address.
pub(super) fn socket(address: &SocketAddr, kind: SocketType) -> Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    socket_with(family, kind, SocketFlags::CLOEXEC, None).context("no socket")
}

/// Fills the buffer.
pub(super) fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        match recv(socket, &mut buffer[filled..], RecvFlags::empty()) {
            Ok((0, _)) => bail!("the server has ended the connection"),
            Ok((length, _)) => filled += length,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("receive"),
        }
    }
    Ok(())
}

/// Closes with a reset, which leaves no port behind.
fn abort(socket: OwnedFd) -> Result<()> {
    sockopt::set_socket_linger(&socket, Some(Duration::ZERO)).context("no linger")
}

fn note(first: usize, turn: usize, elapsed: Duration, times: &mut Vec<f64>) {
    if turn >= first {
        times.push(elapsed.as_nanos() as f64);
    }
}
