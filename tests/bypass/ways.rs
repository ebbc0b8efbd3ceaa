// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the tests have in common: a way is shown to lead to a server without the gate, then
//! tried with it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;

use nix::errno::Errno;
use stile_tests::{ALICE, Fate, Host, Probe, Server, until};

pub(crate) const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

pub(crate) fn any_protocol(hosts: &str, ports: &str) -> String {
    format!(
        r#"
[[endpoint]]
name = "db"
hosts = [{hosts}]
ports = [{ports}]
protocol = "any"

[[rule]]
name = "step-up"
endpoints = ["db"]
users = ["*"]
action = "step-up"
"#
    )
}

/// A host without the gate, which will protect its servers for every protocol.
pub(crate) fn open_host() -> Host {
    let hosts = r#""{address}", "::1""#;
    Host::builder()
        .policy(&any_protocol(hosts, "{port}, {port6}"))
        .stopped()
        .build()
}

/// Shows that a way leads to the server while nothing is in it.
#[track_caller]
pub(crate) fn leads_to(server: &Server, command: &mut Command) {
    let probe = Probe::start(command);
    assert_eq!(probe.fate(), Fate::Sent, "without the gate");
    until("the server gets the data without the gate", || {
        (server.bytes() > 0).then_some(())
    });
}

/// Tries a way that is a TCP connect: without the gate it leads to the server, with it the
/// connect is held, and nothing has arrived when its user has said no to it.
#[track_caller]
pub(crate) fn is_held(host: &mut Host, server: &Server, probe: impl Fn(&Host) -> Command) {
    leads_to(server, &mut probe(host));
    host.start();
    let before = (server.accepted(), server.bytes());
    let attempt = Probe::start(&mut probe(host));
    let challenge = host.wait_for_challenge(ALICE);
    attempt.still_waits();
    assert_eq!((server.accepted(), server.bytes()), before, "while held");
    let id = challenge["id"].to_string();
    host.stile(ALICE, &["deny", &id]).succeeded();
    assert_eq!(attempt.fate(), Fate::Error(Errno::ECONNABORTED));
    assert_eq!((server.accepted(), server.bytes()), before, "afterwards");
}

/// Tries a way that no packet may take: without the gate it leads to the server, with it the
/// kernel says EPERM and nothing has arrived.
#[track_caller]
pub(crate) fn is_refused(host: &mut Host, server: &Server, probe: impl Fn(&Host) -> Command) {
    leads_to(server, &mut probe(host));
    host.start();
    let before = server.bytes();
    let attempt = Probe::start(&mut probe(host));
    assert_eq!(attempt.fate(), Fate::Error(Errno::EPERM));
    arrived_nothing_since(server, before);
}

/// The kernel delivers over loopback before the sender's call returns; a datagram of root's,
/// which comes after all others, shows that the server has read what there was.
#[track_caller]
pub(crate) fn arrived_nothing_since(server: &Server, before: usize) {
    let local = if server.address().is_ipv4() {
        "127.0.0.1:0"
    } else {
        "[::1]:0"
    };
    // Longer than all that the probe could have sent.
    let marker = [0; 1000];
    let socket = std::net::UdpSocket::bind(local).expect("a socket");
    socket.send_to(&marker, server.address()).expect("root may");
    until("the server reads the marker", || {
        (server.bytes() >= before + marker.len()).then_some(())
    });
    assert_eq!(server.bytes(), before + marker.len(), "it got data");
}

pub(crate) fn alice(way: &'static str, to: SocketAddr) -> impl Fn(&Host) -> Command {
    move |host| host.probe(ALICE, way, &[to])
}

/// Every TCP way to the host's own server.
#[track_caller]
pub(crate) fn tcp_way_is_held(way: &'static str) {
    let mut host = open_host();
    let server = Server::start(host.server().address().ip(), 7001);
    host.write_policy(&any_protocol(r#""{address}""#, "7001"));
    let to = server.address();
    is_held(&mut host, &server, alice(way, to));
}

/// Every UDP way to an address that is given.
#[track_caller]
pub(crate) fn udp_way_is_refused(way: &'static str) {
    let mut host = open_host();
    let server = Server::start(host.server().address().ip(), 7001);
    host.write_policy(&any_protocol(r#""{address}""#, "7001"));
    let to = server.address();
    is_refused(&mut host, &server, alice(way, to));
}
