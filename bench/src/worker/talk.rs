// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Blocks of data on one connection.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Instant;

use anyhow::{Context, Result};
use rustix::net::{SendFlags, SocketType, connect, send, sockopt};

use super::PING;
use super::connect::{receive, socket};
use crate::server::{BULK, ECHO, MIB};

/// How many round trips are not counted.
const WARM_UP: usize = 100;

/// How much is given to the kernel at once.
const CHUNK: usize = 128 << 10;

/// A connection to a server, which sends each piece at once.
pub(super) fn open(to: SocketAddr) -> Result<OwnedFd> {
    let socket = socket(&to, SocketType::STREAM)?;
    connect(&socket, &to).with_context(|| format!("connect to {to}"))?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    Ok(socket)
}

/// Times round trips of [`PING`] bytes.
pub(super) fn ping_pong(socket: &OwnedFd, count: usize, times: &mut Vec<f64>) -> Result<()> {
    let mut buffer = [ECHO; PING];
    for turn in 0..WARM_UP + count {
        let start = Instant::now();
        send(socket, &buffer, SendFlags::NOSIGNAL).context("send")?;
        receive(socket, &mut buffer)?;
        let elapsed = start.elapsed();
        if turn >= WARM_UP {
            times.push(elapsed.as_nanos() as f64);
        }
    }
    Ok(())
}

/// Sends so many MiB, and waits for the server's byte for each; nanoseconds for one.
pub(super) fn bulk(socket: &OwnedFd, mebibytes: usize) -> Result<f64> {
    static DATA: [u8; CHUNK] = [BULK; CHUNK];
    let mut acknowledged = vec![0; mebibytes];
    let start = Instant::now();
    let mut left = mebibytes * MIB;
    while left > 0 {
        let chunk = &DATA[..left.min(CHUNK)];
        left -= send(socket, chunk, SendFlags::NOSIGNAL).context("send")?;
    }
    receive(socket, &mut acknowledged)?;
    Ok(start.elapsed().as_nanos() as f64 / mebibytes as f64)
}
