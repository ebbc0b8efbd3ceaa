// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Other transport protocols with ports: UDP-Lite, SCTP, DCCP.

use nix::errno::Errno;
use rustix::net::{Protocol, SocketType, ipproto};
use stile_tests::{Fate, Probe, ROOT, cannot_run, until};

use crate::scene::{ALL, Scene, Who};
use crate::sink::Sink;

/// `IPPROTO_UDPLITE` (RFC 3828).
const UDP_LITE: u32 = 136;
/// `SOCK_DCCP` of the kernel's include/linux/net.h.
const DCCP: SocketType = SocketType::from_raw(6);

#[track_caller]
fn lite_is_refused(scene: fn() -> Scene) {
    let protocol = Protocol::from_raw(std::num::NonZeroU32::new(UDP_LITE).expect("not 0"));
    for way in ["udplite-connected", "udplite-unconnected"] {
        let mut scene = scene();
        let sink = match Sink::new(scene.server.address(), SocketType::DGRAM, protocol) {
            Ok(sink) => sink,
            Err(error) => return cannot_run(&format!("no UDP-Lite: {error}")),
        };
        for who in ALL {
            let probe = Probe::start(&mut scene.probe(*who, way));
            assert_eq!(probe.fate(), Fate::Sent, "without the gate");
            assert_eq!(sink.received().len(), 1, "without the gate");
        }
        scene.host.start();
        for who in ALL {
            let probe = Probe::start(&mut scene.probe(*who, way));
            assert_eq!(probe.fate(), Fate::Error(Errno::EPERM), "{way} {who:?}");
            assert_eq!(sink.received().len(), 0, "{way} {who:?}");
        }
    }
}

#[test]
fn datagrams_of_udp_lite_are_refused() {
    lite_is_refused(Scene::v4);
}

#[test]
fn ipv6_datagrams_of_udp_lite_are_refused() {
    lite_is_refused(Scene::v6);
}

/// Without the gate a connect of this protocol is accepted; with it none is.
#[track_caller]
fn connects_are_dropped(way: &str, kind: SocketType, protocol: Protocol) {
    let mut scene = Scene::v4();
    let sink = match Sink::new(scene.server.address(), kind, protocol) {
        Ok(sink) => sink,
        Err(error) => return cannot_run(&format!("the kernel has no {way}: {error}")),
    };
    sink.listen();
    let probe = Probe::start(&mut scene.probe(Who::Alice, way));
    assert_eq!(probe.fate(), Fate::Sent, "without the gate");
    until("it is accepted without the gate", || {
        sink.accepts().then_some(())
    });
    scene.host.start();
    let _attempt = Probe::start(&mut scene.probe(Who::Alice, way));
    until("the gate drops what it sends", || {
        let status = scene.host.stile(ROOT, &["status", "--json"]).json();
        let faults = status["faults"].as_array()?;
        faults.iter().find(|fault| fault[0] == "unseen-socket")?;
        Some(())
    });
    assert!(!sink.accepts());
}

#[test]
fn a_connect_over_sctp_is_dropped() {
    connects_are_dropped("sctp", SocketType::STREAM, ipproto::SCTP);
}

#[test]
fn a_connect_over_dccp_is_dropped() {
    connects_are_dropped("dccp", DCCP, ipproto::DCCP);
}
