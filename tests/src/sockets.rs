// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the kernel says of the TCP sockets of this network, from /proc/net/tcp.

use std::fs;
use std::net::{IpAddr, SocketAddr};

use crate::wait::until;

/// `TCP_SYN_SENT` of the kernel's include/net/tcp_states.h, as the table writes it.
const SYN_SENT: &str = "02";

/// Waits until a socket to this IPv4 address has data that nobody has acknowledged: its
/// client has written, and the packets don't arrive.
#[track_caller]
pub fn wait_for_stuck_data(to: SocketAddr) {
    let stuck = |socket: &Row| !socket.queues.starts_with("00000000:");
    until("what was written stays in the socket", || {
        rows(to).iter().any(stuck).then_some(())
    });
}

/// Waits until no socket is in its connect to this IPv4 address.
#[track_caller]
pub fn wait_for_no_connect(to: SocketAddr) {
    until("no socket is in its connect", || {
        let mut rows = rows(to).into_iter();
        rows.all(|socket| socket.state != SYN_SENT).then_some(())
    });
}

/// Waits until a socket to this IPv4 address has tried once more to send what nobody has
/// acknowledged.
#[track_caller]
pub fn wait_for_retry(to: SocketAddr) {
    until("what was not acknowledged is sent again", || {
        rows(to)
            .iter()
            .any(|socket| socket.retries > 0)
            .then_some(())
    });
}

struct Row {
    state: String,
    queues: String,
    /// Retransmissions, and probes of what could not be sent at all.
    retries: u64,
}

/// The sockets that go to this address.
#[track_caller]
fn rows(to: SocketAddr) -> Vec<Row> {
    let IpAddr::V4(v4) = to.ip() else {
        panic!("{to} is not IPv4")
    };
    // proc(5): the address as a hexadecimal word in memory order.
    let word = u32::from_ne_bytes(v4.octets());
    let remote = format!("{word:08X}:{:04X}", to.port());
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let row = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (state, queues) = (fields.get(3)?, fields.get(4)?);
        let number = |field: &str| u64::from_str_radix(field, 16).ok();
        let retries = number(fields.get(6)?)? + number(fields.get(8)?)?;
        (*fields.get(2)? == remote).then(|| Row {
            state: (*state).to_owned(),
            queues: (*queues).to_owned(),
            retries,
        })
    };
    table.lines().filter_map(row).collect()
}
