// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The ways to send datagrams.

use nix::errno::Errno;
use stile_tests::{ALICE, Fate, Host, Probe, Server, until};

use crate::ways::{arrived_nothing_since, leads_to, udp_way_is_refused};

#[test]
fn a_connected_udp_socket_is_refused() {
    udp_way_is_refused("udp-connected");
}

#[test]
fn a_datagram_of_an_unconnected_socket_is_refused() {
    udp_way_is_refused("udp-unconnected");
}

#[test]
fn an_ipv4_address_on_a_connected_ipv6_socket_is_refused() {
    udp_way_is_refused("udp-connected-v4-on-v6");
}

#[test]
fn an_ipv4_address_on_an_unconnected_ipv6_socket_is_refused() {
    udp_way_is_refused("udp-unconnected-v4-on-v6");
}

/// A host where everybody may reach one port, and needs a step-up for another.
fn host_with_an_allowed_port(allowed: u16, asked: u16) -> Host {
    let policy = format!(
        r#"
[[endpoint]]
name = "free"
hosts = ["{{address}}"]
ports = [{allowed}]
protocol = "any"

[[endpoint]]
name = "db"
hosts = ["{{address}}"]
ports = [{asked}]
protocol = "any"

[[rule]]
name = "free for all"
endpoints = ["free"]
users = ["*"]
action = "allow"
ttl = "15m"

[[rule]]
name = "step-up"
endpoints = ["db"]
users = ["*"]
action = "step-up"
"#
    );
    Host::builder().policy(&policy).stopped().build()
}

/// Has a UDP socket that is allowed to reach one port try another.
#[track_caller]
fn an_allowed_socket_does_not_get_elsewhere(way: &'static str) {
    let mut host = host_with_an_allowed_port(7001, 7002);
    let ip = host.server().address().ip();
    let (allowed, asked) = (Server::start(ip, 7001), Server::start(ip, 7002));
    let addresses = [asked.address(), allowed.address()];
    leads_to(&asked, &mut host.probe(ALICE, way, &addresses));
    host.start();
    // The first datagram is refused while the daemon grants it: it needs a rule's grant.
    until("the allowed port is granted", || {
        let command = &mut host.probe(ALICE, "udp-connected", &[allowed.address()]);
        (Probe::start(command).fate() == Fate::Sent).then_some(())
    });
    let (before, allowed_before) = (asked.bytes(), allowed.bytes());
    let attempt = Probe::start(&mut host.probe(ALICE, way, &addresses));
    assert_eq!(attempt.fate(), Fate::Error(Errno::EPERM));
    until("the allowed port gets its datagram", || {
        (allowed.bytes() > allowed_before).then_some(())
    });
    arrived_nothing_since(&asked, before);
}

#[test]
fn an_allowed_udp_socket_does_not_reach_another_port_by_a_second_connect() {
    an_allowed_socket_does_not_get_elsewhere("udp-reconnect");
}

#[test]
fn an_allowed_udp_socket_does_not_reach_another_port_by_sendto() {
    an_allowed_socket_does_not_get_elsewhere("udp-connected-elsewhere");
}
