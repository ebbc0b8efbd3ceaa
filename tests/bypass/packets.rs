// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Packets that are made by hand, sent by raw and by packet sockets.

use std::fs;
use std::net::SocketAddr;

use nix::errno::Errno;
use rustix::net::{SocketType, ipproto};
use stile_tests::{Fate, Probe, until};

use crate::connecting::FAST_OPEN;
use crate::ip_options::{by_hop, by_hop6};
use crate::scene::{PRIVILEGED, SECRET, Scene, Who, ways};
use crate::sink::Sink;

ways! {
    refused v4 PRIVILEGED "raw-udp": a_packet_with_its_own_header_is_refused
    refused v6 PRIVILEGED "raw-udp": an_ipv6_packet_with_its_own_header_is_refused
    refused v4 PRIVILEGED "raw-udp-body": a_datagram_of_a_raw_socket_is_refused
    refused v6 PRIVILEGED "raw-udp-body": an_ipv6_datagram_of_a_raw_socket_is_refused
    refused v4 PRIVILEGED "raw-connected": a_datagram_of_a_connected_raw_socket_is_refused
    refused v6 PRIVILEGED "raw-connected": a_datagram_of_a_connected_ipv6_raw_socket_is_refused
    refused v4 PRIVILEGED "raw-fragments": fragments_are_refused
    refused v6 PRIVILEGED "raw-fragments": ipv6_fragments_are_refused
    refused v4 PRIVILEGED "raw-options": a_packet_with_options_is_refused
    refused v6 PRIVILEGED "raw-extension": a_packet_with_an_extension_header_is_refused
    refused v6 PRIVILEGED "raw-extensions": a_packet_with_more_extension_headers_than_are_followed_is_refused
}

/// A packet whose header says something else than what the socket was told.
#[test]
fn a_packet_that_is_sent_elsewhere_than_its_header_says_is_refused() {
    let elsewhere = SocketAddr::from(([127, 0, 0, 78], 0));
    Scene::v4()
        .with(elsewhere)
        .refused(PRIVILEGED, "raw-elsewhere");
}

#[test]
fn a_packet_with_a_loose_source_route_is_refused() {
    if let Some(scene) = by_hop() {
        scene.refused(PRIVILEGED, "raw-routed");
    }
}

#[test]
fn a_packet_with_a_segment_route_is_refused() {
    if let Some(scene) = by_hop6() {
        scene.refused(PRIVILEGED, "raw-routed");
    }
}

/// Servers that take data from a SYN, so that one packet is enough.
fn with_fast_open(scene: fn() -> Scene) -> Scene {
    fs::write("/proc/sys/net/ipv4/tcp_fastopen", FAST_OPEN).expect("a namespace of our own");
    scene()
}

#[test]
fn a_syn_with_its_own_header_is_refused() {
    with_fast_open(Scene::v4).refused(PRIVILEGED, "raw-syn");
}

#[test]
fn an_ipv6_syn_with_its_own_header_is_refused() {
    with_fast_open(Scene::v6).refused(PRIVILEGED, "raw-syn");
}

#[test]
fn a_syn_of_a_raw_socket_is_refused() {
    with_fast_open(Scene::v4).refused(PRIVILEGED, "raw-syn-body");
}

#[test]
fn an_ipv6_syn_of_a_raw_socket_is_refused() {
    with_fast_open(Scene::v6).refused(PRIVILEGED, "raw-syn-body");
}

/// The gate sees no packet of such a socket, which needs CAP_NET_RAW: out of scope. This shows
/// both.
#[test]
fn af_packet_goes_round_the_gate_and_needs_cap_net_raw() {
    for way in ["packet", "packet-ethernet"] {
        let mut scene = Scene::v6();
        let alice = Probe::start(&mut scene.probe(Who::Alice, way));
        assert_eq!(alice.fate(), Fate::Error(Errno::EPERM), "without the gate");
        scene.host.start();
        let before = scene.settled();
        let able = Probe::start(&mut scene.probe(Who::Able, way));
        assert_eq!(able.fate(), Fate::Sent);
        until("the server gets the data", || {
            (scene.server.bytes() == before + SECRET).then_some(())
        });
    }
}

/// The source port of the probe's packets, which is all that is left of a truncated one.
const PORT: u16 = 21010;

/// What ends before its ports might be anything.
#[test]
fn a_packet_that_ends_before_its_ports_is_refused() {
    for scene in [Scene::v4, Scene::v6] {
        let mut scene = scene();
        let sink = Sink::new(scene.server.address(), SocketType::RAW, ipproto::UDP);
        let sink = sink.expect("root may");
        let truncated = |packets: Vec<Vec<u8>>| {
            let ends = |packet: &Vec<u8>| packet.ends_with(&PORT.to_be_bytes());
            packets.iter().filter(|packet| ends(packet)).count()
        };
        for who in PRIVILEGED {
            let probe = Probe::start(&mut scene.probe(*who, "raw-truncated"));
            assert_eq!(probe.fate(), Fate::Sent, "without the gate");
            assert_eq!(truncated(sink.received()), 1, "without the gate");
        }
        scene.host.start();
        for who in PRIVILEGED {
            let probe = Probe::start(&mut scene.probe(*who, "raw-truncated"));
            assert_eq!(probe.fate(), Fate::Error(Errno::EPERM), "{who:?}");
            assert_eq!(truncated(sink.received()), 0, "{who:?}");
        }
    }
}
