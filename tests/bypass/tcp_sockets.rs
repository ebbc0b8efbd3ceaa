// SPDX-License-Identifier: Apache-2.0 OR MIT
//! TCP sockets with options, and from ports with a past.

use std::fs;
use std::net::SocketAddr;

use nix::errno::Errno;
use stile_tests::{
    ALICE, Fate, Host, Probe, cannot_run, has_mptcp, until, wait_for_retry, wait_for_stuck_data,
};

use crate::connecting::{FAST_OPEN, fast_opens};
use crate::scene::{ALL, PRIVILEGED, SECRET, Scene, Who, ways};
use crate::ways::{any_protocol, arrived_nothing_since};

ways! {
    held v4 SUDO "tcp": a_connect_of_root_in_a_session_is_held
    held v4 SUDO "tcp-nonblocking": a_nonblocking_connect_of_root_in_a_session_is_held
    held v4 SUDO "tcp-dup": what_root_in_a_session_writes_on_a_copy_of_a_held_socket_does_not_arrive
    held v4 SUDO "mptcp": a_connect_of_root_in_a_session_over_mptcp_is_held
    held v6 ALL "tcp": a_connect_over_ipv6_is_held
    held v6 ALL "tcp-nonblocking": a_nonblocking_connect_over_ipv6_is_held
    held v6 ALL "mptcp": a_connect_over_mptcp_and_ipv6_is_held
    held v4 ALL "tcp-device": a_socket_bound_to_the_loopback_device_is_held
    held v6 ALL "tcp-device": an_ipv6_socket_bound_to_the_loopback_device_is_held
    held v4 PRIVILEGED "tcp-mark": a_socket_with_a_mark_is_held
    held v6 PRIVILEGED "tcp-mark": an_ipv6_socket_with_a_mark_is_held
    held v4 PRIVILEGED "tcp-transparent": a_transparent_socket_is_held
    held v4 ALL "tcp-freebind": a_freely_bound_socket_is_held
    held v4 ALL "tcp-late-port": a_socket_with_an_address_and_a_late_port_is_held
    held v4 ALL "tcp-unspec-first": a_socket_that_was_disconnected_before_it_connects_is_held
    held v4 ALL "tcp-fastopen-on-held": what_is_written_by_fast_open_on_a_held_socket_does_not_arrive
    held v6 ALL "tcp-fastopen-on-held": what_is_written_by_fast_open_on_a_held_ipv6_socket_does_not_arrive
}

fn with_fast_open(scene: fn() -> Scene, way: &str) {
    // Counts for servers that start to listen afterwards.
    fs::write("/proc/sys/net/ipv4/tcp_fastopen", FAST_OPEN).expect("a namespace of our own");
    let before = fast_opens();
    if scene().held(ALL, way) {
        assert!(fast_opens() > before, "no SYN carried data");
    }
}

const NO_MPTCP: &str = "the kernel has no MPTCP";

#[test]
fn fast_open_over_mptcp_is_held_with_its_data() {
    if !has_mptcp() {
        return cannot_run(NO_MPTCP);
    }
    with_fast_open(Scene::v4, "mptcp-fastopen");
}

#[test]
fn fast_open_over_mptcp_and_ipv6_is_held_with_its_data() {
    if !has_mptcp() {
        return cannot_run(NO_MPTCP);
    }
    with_fast_open(Scene::v6, "mptcp-fastopen");
}

#[test]
fn fast_open_over_ipv6_is_held_with_its_data() {
    with_fast_open(Scene::v6, "fastopen-sendto");
}

/// The second connect of the socket is a question of its own, and the only one that is left.
#[test]
fn a_held_socket_that_is_disconnected_and_connects_anew_is_held() {
    let mut scene = Scene::v4();
    assert!(scene.leads(Who::Alice, "tcp-unspec-while-held"));
    scene.host.start();
    let before = (scene.server.accepted(), scene.settled());
    let attempt = Probe::start(&mut scene.probe(Who::Alice, "tcp-unspec-while-held"));
    scene.host.wait_for_challenge(ALICE);
    attempt.still_waits();
    scene.deny();
    assert_eq!(attempt.fate(), Fate::Error(Errno::ECONNABORTED));
    arrived_nothing_since(&scene.server, before.1);
    assert_eq!(scene.server.accepted(), before.0);
}

/// A source below those that the kernel gives away (`ip_local_port_range`).
fn port(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 99, 0, 2], port))
}

const FREE: &str = r#"
[[endpoint]]
name = "free"
hosts = ["{address}"]
ports = [7000]

[[endpoint]]
name = "db"
hosts = ["{address}"]
ports = [7001]

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
"#;

#[test]
fn a_connect_from_the_port_of_an_open_approved_connection_is_held() {
    let scene = Scene::v4();
    scene.host.write_policy(FREE);
    let free = scene.host.server().address();
    let scene = scene.with(free).with(port(21001));
    scene.held(&[Who::Alice], "tcp-same-port");
}

/// A host where each connection is asked for by itself.
fn each_by_itself() -> Scene {
    let scene = Scene::v4();
    let policy = any_protocol(r#""{address}""#, "7001").replace("\"any\"", "\"tcp\"");
    scene.host.write_policy(&(policy + "scope = \"socket\"\n"));
    scene
}

/// What was granted to a connection is nothing to the next one.
#[track_caller]
fn is_asked_for_again(mut scene: Scene, way: &str) {
    assert!(scene.leads(Who::Alice, way));
    scene.host.start();
    let authenticator = scene.host.enroll(ALICE);
    let before = (scene.server.accepted(), scene.settled());
    let attempt = Probe::start(&mut scene.probe(Who::Alice, way));
    scene.host.wait_for_challenge(ALICE);
    scene.host.approve(ALICE, &authenticator);
    // It goes on by itself: the next connect is a question, or has passed.
    let asked = until("the next connect is asked for, or passes", || {
        let passed = scene.server.bytes() > before.1;
        let asked = !scene.host.pending(ALICE).is_empty();
        (passed || asked).then_some(!passed)
    });
    assert!(asked, "its data has arrived");
    attempt.still_waits();
    scene.deny();
    assert_eq!(attempt.fate(), Fate::Error(Errno::ECONNABORTED));
    arrived_nothing_since(&scene.server, before.1);
    assert_eq!(scene.server.accepted(), before.0 + 1);
}

#[test]
fn a_connect_from_the_port_of_a_closed_approved_connection_is_asked_for_by_itself() {
    is_asked_for_again(each_by_itself().with(port(21002)), "tcp-port-again");
}

#[test]
fn a_second_connect_of_an_approved_socket_is_asked_for_by_itself() {
    is_asked_for_again(each_by_itself(), "tcp-connect-again");
}

/// The SYN meets the SYN of the other side, here its own: nobody listens.
#[test]
fn a_simultaneous_open_is_held() {
    let mut scene = Scene::v4();
    let to = scene.host.server().address();
    let nobody = SocketAddr::new(to.ip(), 7003);
    scene
        .host
        .write_policy(&any_protocol(r#""{address}""#, "7003"));
    let probe = |host: &Host| host.probe(ALICE, "tcp-self", &[nobody]);
    let without = Probe::start(&mut probe(&scene.host));
    assert_eq!(without.fate(), Fate::Sent, "without the gate");
    drop(without);
    scene.host.start();
    let attempt = Probe::start(&mut probe(&scene.host));
    scene.host.wait_for_challenge(ALICE);
    attempt.still_waits();
    scene.deny();
    assert_eq!(attempt.fate(), Fate::Error(Errno::ECONNABORTED));
}

/// `TCP_REPAIR` makes a connection out of numbers, without a SYN that could be held.
#[test]
fn a_connection_made_without_a_handshake_carries_nothing() {
    for (who, own) in PRIVILEGED.iter().zip([21003, 21005]) {
        let mut scene = Scene::v4().with(port(own));
        // Without the gate.
        let mut probe = Probe::start(&mut scene.probe(*who, "tcp-repair"));
        match probe.fate() {
            Fate::Sent => {}
            Fate::Error(error) => return cannot_run(&format!("TCP_REPAIR: {error}")),
        }
        probe.go_on();
        assert_eq!(probe.fate(), Fate::Sent, "without the gate");
        until("the server gets the data without the gate", || {
            (scene.server.bytes() == SECRET).then_some(())
        });
        drop(probe);
        // With it, and from another port; the connection that is taken over is older.
        scene = scene.with_only(port(own + 1));
        let mut probe = Probe::start(&mut scene.probe(*who, "tcp-repair"));
        assert_eq!(probe.fate(), Fate::Sent);
        scene.host.start();
        let before = scene.settled();
        probe.go_on();
        // Whether the kernel takes the data or not.
        let fate = probe.fate();
        if fate == Fate::Sent {
            wait_for_stuck_data(scene.server.address());
        }
        arrived_nothing_since(&scene.server, before);
    }
}

/// The gate's own clock ends it: nobody is there who could.
#[test]
fn a_transfer_stops_at_the_end_of_its_grant_without_a_daemon() {
    let mut scene = Scene::v4();
    let policy = any_protocol(r#""{address}""#, "7001") + "ttl = \"2s\"\n";
    scene.host.write_policy(&policy);
    scene.host.start();
    let authenticator = scene.host.enroll(ALICE);
    let transfer = Probe::start(&mut scene.probe(Who::Alice, "tcp-flow"));
    scene.host.wait_for_challenge(ALICE);
    scene.host.approve(ALICE, &authenticator);
    assert_eq!(transfer.fate(), Fate::Sent);
    scene.host.kill9();
    let some = scene.server.bytes();
    until("the transfer goes on", || {
        (scene.server.bytes() > some).then_some(())
    });
    let to = scene.server.address();
    until("new connections are refused", || {
        let another = scene.host.connect_to(ALICE, to).outcome();
        (another.result == Err(Errno::EPERM)).then_some(())
    });
    // What the server has been sent it has read when it sends no more back.
    wait_for_retry(to);
    let before = scene.settled();
    wait_for_stuck_data(to);
    arrived_nothing_since(&scene.server, before);
    drop(transfer);
}
