// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The ways to connect over TCP.

use std::fs;

use stile_tests::{cannot_run, has_mptcp};

use crate::ways::tcp_way_is_held;

/// What loopback servers of this binary let everybody do: TCP Fast Open on both sides,
/// without a cookie and without a socket option (`tcp_fastopen` of ip-sysctl.rst).
pub(crate) const FAST_OPEN: &str = "1543";

#[test]
fn a_blocking_connect_is_held() {
    tcp_way_is_held("tcp");
}

#[test]
fn a_nonblocking_connect_is_held() {
    tcp_way_is_held("tcp-nonblocking");
}

#[test]
fn what_is_written_on_a_copy_of_a_held_socket_does_not_arrive() {
    tcp_way_is_held("tcp-dup");
}

#[test]
fn a_connect_over_mptcp_is_held() {
    if !has_mptcp() {
        return cannot_run("the kernel has no MPTCP");
    }
    tcp_way_is_held("mptcp");
}

/// How many SYNs with data were accepted in this network (`TCPFastOpenPassive`).
pub(crate) fn fast_opens() -> u64 {
    let text = fs::read_to_string("/proc/net/netstat").expect("procfs");
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, numbers) = (lines.next().expect("names"), lines.next().expect("numbers"));
    let mut counters = names.split(' ').zip(numbers.split(' '));
    let found = counters.find(|(name, _)| *name == "TCPFastOpenPassive");
    found.expect("the counter").1.parse().expect("a number")
}

#[test]
fn fast_open_by_sendto_is_held_with_its_data() {
    fs::write("/proc/sys/net/ipv4/tcp_fastopen", FAST_OPEN).expect("a namespace of our own");
    let before = fast_opens();
    tcp_way_is_held("fastopen-sendto");
    assert!(fast_opens() > before, "no SYN carried data");
}

#[test]
fn fast_open_by_connect_is_held_with_its_data() {
    fs::write("/proc/sys/net/ipv4/tcp_fastopen", FAST_OPEN).expect("a namespace of our own");
    let before = fast_opens();
    tcp_way_is_held("fastopen-connect");
    assert!(fast_opens() > before, "no SYN carried data");
}
