// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the kernel says of the TCP sockets of this network, from /proc/net/tcp.

use std::fs;
use std::net::{IpAddr, SocketAddr};

use crate::wait::until;

/// States of the kernel's include/net/tcp_states.h, as the table writes them.
const SYN_SENT: &str = "02";
const LISTEN: &str = "0A";

/// Waits until somebody listens at this IPv4 address. It neither connects nor tries to bind: a
/// listener of the test's own, if only for a moment, would keep the other from listening.
#[track_caller]
pub fn wait_for_listener(at: SocketAddr) {
    let at = word(at);
    until("somebody listens", || {
        let listens = |socket: &Row| socket.local == at && socket.state == LISTEN;
        table().iter().any(listens).then_some(())
    });
}

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
    local: String,
    remote: String,
    state: String,
    queues: String,
    /// Retransmissions, and probes of what could not be sent at all.
    retries: u64,
}

/// The sockets that go to this address.
#[track_caller]
fn rows(to: SocketAddr) -> Vec<Row> {
    let to = word(to);
    let mut rows = table();
    rows.retain(|row| row.remote == to);
    rows
}

/// An IPv4 address and port as the table writes them: proc(5), the address as a hexadecimal
/// word in memory order.
#[track_caller]
fn word(address: SocketAddr) -> String {
    let IpAddr::V4(v4) = address.ip() else {
        panic!("{address} is not IPv4")
    };
    let word = u32::from_ne_bytes(v4.octets());
    format!("{word:08X}:{:04X}", address.port())
}

fn table() -> Vec<Row> {
    let number = |field: &str| u64::from_str_radix(field, 16).ok();
    let row = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let text = |at: usize| Some((*fields.get(at)?).to_owned());
        Some(Row {
            local: text(1)?,
            remote: text(2)?,
            state: text(3)?,
            queues: text(4)?,
            retries: number(fields.get(6)?)? + number(fields.get(8)?)?,
        })
    };
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().filter_map(row).collect()
}
