// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sockets whose packets have IPv4 options or IPv6 extension headers. A source-routed packet
//! goes to a hop, which isn't protected; where it goes in the end is in its route.

use std::fs;
use std::net::SocketAddr;

use stile_tests::{ALICE, Fate, Probe, until};

use crate::network::{Wire, add_address};
use crate::scene::{ALL, PRIVILEGED, SECRET, Scene, Who, ways};

/// Addresses of this host that nobody protects.
const HOP: &str = "127.0.0.77:0";
const HOP6: &str = "[fd53:7411::77]:0";

ways! {
    held v4 ALL "tcp-record-route": a_connect_that_records_its_route_is_held
    refused v4 ALL "udp-record-route": a_datagram_that_records_its_route_is_refused
    held v6 PRIVILEGED "tcp-hop-options": a_connect_with_hop_by_hop_options_is_held
    held v6 PRIVILEGED "tcp-destination-options": a_connect_with_destination_options_is_held
    held v6 PRIVILEGED "tcp-both-options": a_connect_with_both_kinds_of_options_is_held
    refused v6 PRIVILEGED "udp-hop-options": a_datagram_with_hop_by_hop_options_is_refused
    refused v6 PRIVILEGED "udp-destination-options": a_datagram_with_destination_options_is_refused
    refused v6 PRIVILEGED "udp-both-options": a_datagram_with_both_kinds_of_options_is_refused
    refused v6 PRIVILEGED "connected-both-options": a_connected_udp_socket_with_both_kinds_of_options_is_refused
}

/// One test for each way by a hop.
macro_rules! routed {
    ($($outcome:ident $by:ident $who:ident $way:literal: $name:ident)*) => {$(
        #[test]
        fn $name() {
            if let Some(scene) = $by() {
                scene.$outcome($who, $way);
            }
        }
    )*};
}

routed! {
    held by_hop PRIVILEGED "tcp-lsrr": a_connect_by_a_loose_source_route_is_held
    held by_hop PRIVILEGED "tcp-ssrr": a_connect_by_a_strict_source_route_is_held
    refused by_hop PRIVILEGED "connected-lsrr": a_udp_connect_by_a_loose_source_route_is_refused
    refused by_hop PRIVILEGED "udp-lsrr": a_datagram_by_a_loose_source_route_is_refused
    refused by_hop PRIVILEGED "udp-ssrr": a_datagram_by_a_strict_source_route_is_refused
    held by_hop6 ALL "tcp-segments": a_connect_by_a_segment_route_is_held
    refused by_hop6 ALL "udp-segments": a_datagram_by_a_segment_route_is_refused
}

/// A host that follows source routes, which by default none does (`accept_source_route` of
/// ip-sysctl.rst), also between loopback addresses.
pub(crate) fn by_hop() -> Option<Scene> {
    for interface in ["all", "lo"] {
        for setting in ["accept_source_route", "route_localnet", "accept_local"] {
            let path = format!("/proc/sys/net/ipv4/conf/{interface}/{setting}");
            fs::write(path, "1").expect("a namespace of our own");
        }
    }
    Some(Scene::v4().with(HOP.parse().expect("an address")))
}

/// A host that follows IPv6 routes of segments (`seg6_enabled` of seg6-sysctl.rst).
pub(crate) fn by_hop6() -> Option<Scene> {
    for interface in ["all", "lo"] {
        let path = format!("/proc/sys/net/ipv6/conf/{interface}");
        fs::write(format!("{path}/accept_source_route"), "1").expect("a namespace of our own");
        if fs::write(format!("{path}/seg6_enabled"), "1").is_err() {
            stile_tests::cannot_run("the kernel routes no segments");
            return None;
        }
    }
    let hop: SocketAddr = HOP6.parse().expect("an address");
    add_address(&format!("{}/128", hop.ip()));
    Some(Scene::v6().with(hop))
}

/// Bytes of an IPv6 header and of each extension header of the probe's.
const HEADER: usize = 40;
const EXTENSION: usize = 8;

/// True for a SYN with hop-by-hop options, destination options and nothing else before it
/// (RFC 8200 4, RFC 9293 3.1).
fn is_syn_with_both(packet: &[u8]) -> bool {
    let tcp = HEADER + 2 * EXTENSION;
    let next = [6, HEADER, HEADER + EXTENSION].map(|at| packet.get(at));
    let flags = packet.get(tcp + 13);
    next == [Some(&0), Some(&60), Some(&6)] && flags == Some(&2)
}

/// The daemon sends the parked SYN itself: with its extension headers.
#[test]
fn an_approved_connect_with_extension_headers_goes_on_with_them() {
    let mut scene = Scene::v6();
    scene.host.start();
    let authenticator = scene.host.enroll(ALICE);
    let wire = Wire::new();
    let attempt = Probe::start(&mut scene.probe(Who::Able, "tcp-both-options"));
    scene.host.wait_for_challenge(ALICE);
    attempt.still_waits();
    let held = wire.packets().iter().any(|packet| is_syn_with_both(packet));
    assert!(!held, "the SYN has left");
    scene.host.approve(ALICE, &authenticator);
    assert_eq!(attempt.fate(), Fate::Sent);
    until("the server gets the data", || {
        (scene.server.bytes() == SECRET).then_some(())
    });
    let sent = wire.packets().iter().any(|packet| is_syn_with_both(packet));
    assert!(sent, "no SYN had both headers");
}
