// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sockets that are older than the question: made before, connected before, passed on.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Command;

use stile_tests::{ALICE, Fate, Host, Probe, ROOT, Server, probe_program};

use crate::ways::{LOCALHOST, any_protocol, is_held, open_host};

#[test]
fn a_socket_that_was_connected_elsewhere_is_held_when_it_connects_again() {
    let mut host = open_host();
    let server = Server::start(host.server().address().ip(), 7001);
    let elsewhere = Server::start(LOCALHOST, 0);
    host.write_policy(&any_protocol(r#""{address}""#, "7001"));
    let addresses = [server.address(), elsewhere.address()];
    is_held(&mut host, &server, |host| {
        host.probe(ALICE, "tcp-reconnect", &addresses)
    });
    // Each of the two reached it: its address isn't protected (promise S8).
    assert_eq!(elsewhere.accepted(), 2);
}

/// A probe of alice that connects with a socket which a service of root's has made.
fn with_a_socket_of_roots(host: &Host, to: SocketAddr) -> Command {
    let (ours, theirs) = UnixStream::pair().expect("two ends");
    let mut root = host.in_cgroup("service", ROOT, probe_program());
    root.arg("pass-a-socket").stdin(OwnedFd::from(theirs));
    let giver = Probe::start(&mut root);
    assert_eq!(giver.fate(), Fate::Sent);
    let mut command = host.probe(ALICE, "received-socket", &[to]);
    command.stdin(OwnedFd::from(ours));
    command
}

#[test]
fn a_socket_that_root_made_and_passed_on_is_held() {
    let mut host = open_host();
    let server = Server::start(host.server().address().ip(), 7001);
    host.write_policy(&any_protocol(r#""{address}""#, "7001"));
    let to = server.address();
    is_held(&mut host, &server, |host| with_a_socket_of_roots(host, to));
}
