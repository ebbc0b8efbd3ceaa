// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A protected IPv4 address behind the well-known prefix of NAT64 (RFC 6052 2.1).

use std::net::{IpAddr, Ipv6Addr};

use stile_tests::Server;

use crate::network::add_address;
use crate::scene::{ALL, Scene, host};
use crate::ways::any_protocol;

/// The host's IPv4 address is protected; a server listens on what NAT64 makes of it, as if the
/// translator were on this host.
fn behind_nat64() -> Scene {
    let host = host();
    let v4 = host.server().address().ip();
    let translated: Ipv6Addr = format!("64:ff9b::{v4}").parse().expect("an address");
    add_address(&format!("{translated}/128"));
    let server = Server::start(IpAddr::V6(translated), 7001);
    host.write_policy(&any_protocol(r#""{address}""#, "7001"));
    Scene::of(host, server)
}

#[test]
fn a_connect_by_nat64_is_held() {
    behind_nat64().held(ALL, "tcp");
}

#[test]
fn a_connect_over_mptcp_by_nat64_is_held() {
    behind_nat64().held(ALL, "mptcp");
}

#[test]
fn a_udp_connect_by_nat64_is_refused() {
    behind_nat64().refused(ALL, "udp-connected");
}

#[test]
fn a_datagram_by_nat64_is_refused() {
    behind_nat64().refused(ALL, "udp-unconnected");
}
