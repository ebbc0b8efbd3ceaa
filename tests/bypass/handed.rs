// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sockets that are older than their protection, and sockets that come from somebody else.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Command;

use stile_tests::{
    ALICE, BOB, Fate, Host, Probe, ROOT, Server, User, probe_program, until, wait_for_stuck_data,
};

use crate::places::{
    SERVICE, SESSION, both_steps_lead_to, is_held_as, protected_host, second_step_is_held_as,
    second_step_is_refused, seen, through,
};
use crate::ways::{LOCALHOST, any_protocol, arrived_nothing_since, is_refused};

/// A host that runs with a policy that doesn't protect the server.
fn host_that_will_protect() -> (Host, Server) {
    let host = Host::builder().cgroup(SESSION).stopped().build();
    let server = Server::start(host.server().address().ip(), 7001);
    (host, server)
}

fn protect(host: &mut Host) {
    host.write_policy(&any_protocol(r#""{address}""#, "7001"));
    host.reload();
}

#[test]
fn a_socket_made_before_its_address_was_protected_is_held() {
    let (mut host, server) = host_that_will_protect();
    host.start();
    let to = [server.address()];
    let probe = |host: &Host| host.probe(ALICE, "tcp-later", &to);
    second_step_is_held_as(ALICE, (&mut host, &server), probe, |host, _| protect(host));
}

#[test]
fn a_datagram_of_a_socket_made_before_its_address_was_protected_is_refused() {
    for way in ["udp-later", "udp-send-later"] {
        let (mut host, server) = host_that_will_protect();
        host.start();
        let to = [server.address()];
        let probe = |host: &Host| host.probe(ALICE, way, &to);
        second_step_is_refused((&mut host, &server), probe, |host, _| protect(host));
    }
}

#[test]
fn a_connection_made_before_its_address_was_protected_carries_nothing_more() {
    let (mut host, server) = host_that_will_protect();
    host.start();
    let to = [server.address()];
    both_steps_lead_to(&server, &mut host.probe(ALICE, "tcp-send-later", &to));
    let mut attempt = Probe::start(&mut host.probe(ALICE, "tcp-send-later", &to));
    assert_eq!(attempt.fate(), Fate::Sent);
    protect(&mut host);
    let before = server.bytes();
    attempt.go_on();
    // Whether it is ended or only silenced is another question.
    if attempt.fate() == Fate::Sent {
        wait_for_stuck_data(server.address());
    }
    arrived_nothing_since(&server, before);
}

#[test]
fn a_socket_older_than_the_agent_is_held() {
    let (mut host, server) = protected_host();
    let to = [server.address()];
    let probe = |host: &Host| host.probe(ALICE, "tcp-later", &to);
    second_step_is_held_as(ALICE, (&mut host, &server), probe, |host, _| host.start());
}

#[test]
fn a_datagram_of_a_socket_older_than_the_agent_is_refused() {
    for way in ["udp-later", "udp-send-later"] {
        let (mut host, server) = protected_host();
        let to = [server.address()];
        let probe = |host: &Host| host.probe(ALICE, way, &to);
        second_step_is_refused((&mut host, &server), probe, |host, _| host.start());
    }
}

/// The socket says who made it: root in alice's session, which makes it hers.
#[test]
fn a_datagram_of_a_socket_of_alices_session_older_than_the_agent_is_refused() {
    for way in ["udp-later", "udp-send-later"] {
        let (mut host, server) = protected_host();
        let to = [server.address()];
        let probe = |host: &Host| through(host, (SESSION, ROOT), &[], way, &to);
        second_step_is_refused((&mut host, &server), probe, |host, _| host.start());
    }
}

#[test]
fn a_socket_that_alice_takes_from_another_process_of_hers_is_held() {
    let (mut host, server) = protected_host();
    let to = [server.address()];
    is_held_as(ALICE, &mut host, &server, |host| {
        let owner = Probe::start(&mut through(host, (SERVICE, ALICE), &[], "tcp-later", &to));
        assert_eq!(owner.fate(), Fate::Sent);
        let way = format!("tcp-taken-from:{}", owner.pid());
        let command = host.probe(ALICE, &way, &to);
        // Whoever takes the socket wants its owner to be there. The host ends it.
        std::mem::forget(owner);
        command
    });
}

/// The probe of alice's that takes a socket which another process has made, connected perhaps
/// and sent to it.
#[track_caller]
fn taking(
    host: &Host,
    (cgroup, giver): (&str, User),
    gives: (&str, &[SocketAddr]),
    takes: (&str, &[SocketAddr]),
) -> Command {
    let (ours, theirs) = UnixStream::pair().expect("two ends");
    let mut command = host.in_cgroup(cgroup, giver, probe_program());
    command
        .arg(gives.0)
        .args(gives.1.iter().map(SocketAddr::to_string))
        .stdin(OwnedFd::from(theirs));
    let giver = Probe::start(&mut command);
    assert_eq!(giver.fate(), Fate::Sent);
    let mut command = host.probe(ALICE, takes.0, takes.1);
    command.stdin(OwnedFd::from(ours));
    command
}

#[test]
fn a_socket_that_root_connected_elsewhere_is_held_when_alice_connects_it_again() {
    let (mut host, server) = protected_host();
    let elsewhere = Server::start(LOCALHOST, 0);
    let gives: (_, &[_]) = ("pass-a-connected-socket", &[elsewhere.address()]);
    let takes: (_, &[_]) = ("received-socket-reconnect", &[server.address()]);
    is_held_as(ALICE, &mut host, &server, |host| {
        taking(host, (SERVICE, ROOT), gives, takes)
    });
    assert_eq!(elsewhere.accepted(), 2);
}

#[test]
fn a_datagram_on_a_socket_that_root_made_and_passed_on_is_refused() {
    let (mut host, server) = protected_host();
    let takes: (_, &[_]) = ("received-socket-sendto", &[server.address()]);
    is_refused(&mut host, &server, |host| {
        taking(host, (SERVICE, ROOT), ("pass-a-udp-socket", &[]), takes)
    });
}

/// Who connects a socket has the connection, and may give it away: what root hands to alice
/// was let through for root.
#[test]
fn what_root_connected_and_passed_on_counts_as_roots() {
    for gives in ["pass-a-connected-socket", "pass-a-connected-udp-socket"] {
        let (mut host, server) = protected_host();
        host.start();
        let gives: (_, &[_]) = (gives, &[server.address()]);
        let takes: (_, &[_]) = ("received-socket-send", &[]);
        let before = server.bytes();
        let command = &mut taking(&host, (SERVICE, ROOT), gives, takes);
        assert_eq!(Probe::start(command).fate(), Fate::Sent);
        until("the server gets the data", || {
            (server.bytes() > before).then_some(())
        });
        assert!(host.pending(ALICE).is_empty());
    }
}

/// A host on which bob has a grant.
fn host_with_a_grant_of_bobs() -> (Host, Server) {
    let (mut host, server) = protected_host();
    host.start();
    let authenticator = host.enroll(BOB);
    let client = host.connect_to(BOB, server.address());
    host.wait_for_challenge(BOB);
    host.approve(BOB, &authenticator);
    client.connected();
    (host, server)
}

#[test]
fn a_socket_of_bobs_that_alice_connects_is_held_though_bob_has_a_grant() {
    let (host, server) = host_with_a_grant_of_bobs();
    let takes: (_, &[_]) = ("received-socket", &[server.address()]);
    let before = seen(&server);
    let command = &mut taking(&host, ("session", BOB), ("pass-a-socket", &[]), takes);
    let attempt = Probe::start(command);
    crate::places::ends_with_a_no(ALICE, &host, &server, before, &attempt);
}

#[test]
fn a_datagram_of_alices_on_a_socket_of_bobs_is_refused_though_bob_has_a_grant() {
    let (host, server) = host_with_a_grant_of_bobs();
    let takes: (_, &[_]) = ("received-socket-sendto", &[server.address()]);
    let before = server.bytes();
    let command = &mut taking(&host, ("session", BOB), ("pass-a-udp-socket", &[]), takes);
    let attempt = Probe::start(command);
    assert_eq!(attempt.fate(), Fate::Error(nix::errno::Errno::EPERM));
    arrived_nothing_since(&server, before);
}

/// It was let through under bob's grant, and ends with it.
#[test]
fn a_connection_that_bob_hands_to_alice_ends_with_bobs_grant() {
    let (host, server) = host_with_a_grant_of_bobs();
    let gives: (_, &[_]) = ("pass-a-connected-socket", &[server.address()]);
    let takes: (_, &[_]) = ("received-socket-send", &[]);
    let before = server.bytes();
    let while_it_lives = Probe::start(&mut taking(&host, ("session", BOB), gives, takes));
    assert_eq!(while_it_lives.fate(), Fate::Sent);
    until("the server gets the data", || {
        (server.bytes() > before).then_some(())
    });
    let mut later = taking(&host, ("session", BOB), gives, takes);
    let before = server.bytes();
    host.stile(BOB, &["revoke", "--all"]).succeeded();
    let attempt = Probe::start(&mut later);
    assert!(matches!(attempt.fate(), Fate::Error(_)));
    arrived_nothing_since(&server, before);
}
