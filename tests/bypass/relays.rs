// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Relays: a connection is whose process makes it, whoever asked for it.

use std::net::SocketAddr;
use std::process::Command;

use stile_tests::{
    ALICE, BOB, Fate, Host, Probe, ROOT, Running, Server, User, cannot_run, until,
    wait_for_listener, wait_for_no_connect,
};

use crate::places::{SERVICE, SESSION, protected_host, say_no, seen, through};

/// Whether a program is in PATH.
pub(crate) fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Where a relay listens, besides the server.
pub(crate) fn door(server: &Server) -> SocketAddr {
    SocketAddr::new(server.address().ip(), 7100)
}

/// A relay that connects to the server for whoever comes to its door.
fn socat(host: &Host, cgroup: &str, user: User, server: &Server) -> Running {
    let door = door(server);
    let mut command = host.in_cgroup(cgroup, user, "socat");
    command
        .arg(format!(
            "TCP-LISTEN:{},bind={},fork,reuseaddr",
            door.port(),
            door.ip()
        ))
        .arg(format!("TCP:{}", server.address()));
    let relay = Running::start(&mut command);
    wait_for_listener(door);
    relay
}

/// Has bob's program use a relay. Without the gate the server gets its data; with it, this
/// user is asked, and says no.
#[track_caller]
pub(crate) fn relay_is_held_as(
    asked: User,
    (host, server): (&mut Host, &Server),
    comes: impl Fn(&Host) -> Command,
) {
    let control = Probe::start(&mut comes(host));
    until("the server gets the data without the gate", || {
        (server.bytes() > 0).then_some(())
    });
    drop(control);
    host.start();
    let before = seen(server);
    let _attempt = Probe::start(&mut comes(host));
    host.wait_for_challenge(asked);
    assert_eq!(seen(server), before, "while held");
    say_no(asked, host);
    wait_for_no_connect(server.address());
    assert_eq!(seen(server), before, "afterwards");
}

#[track_caller]
fn socat_counts_as(asked: User, (cgroup, runs): (&str, User), comes: User) {
    if !is_there("socat") {
        return cannot_run("socat is not installed");
    }
    let (mut host, server) = protected_host();
    let _relay = socat(&host, cgroup, runs, &server);
    let door = door(&server);
    relay_is_held_as(asked, (&mut host, &server), |host| {
        host.probe(comes, "tcp", &[door])
    });
}

#[test]
fn what_a_relay_of_alices_connects_for_bob_is_alices() {
    socat_counts_as(ALICE, ("session", ALICE), BOB);
}

#[test]
fn what_a_relay_of_bobs_connects_for_alice_is_bobs() {
    socat_counts_as(BOB, ("session", BOB), ALICE);
}

#[test]
fn what_a_relay_of_roots_in_alices_session_connects_for_bob_is_alices() {
    socat_counts_as(ALICE, (SESSION, ROOT), BOB);
}

/// A limit: the gate doesn't know for whom a service connects. Give the service a policy of
/// its own, or don't run it.
#[test]
fn what_a_relay_of_roots_outside_of_sessions_connects_for_alice_passes() {
    if !is_there("socat") {
        return cannot_run("socat is not installed");
    }
    let (mut host, server) = protected_host();
    host.start();
    let _relay = socat(&host, SERVICE, ROOT, &server);
    let command = &mut through(&host, (SESSION, ALICE), &[], "tcp", &[door(&server)]);
    assert_eq!(Probe::start(command).fate(), Fate::Sent);
    until("the server gets the data", || {
        (server.bytes() > 0).then_some(())
    });
    assert!(host.pending(ALICE).is_empty());
}
