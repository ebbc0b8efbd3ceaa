// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Traffic to unprotected addresses (S8), whatever the daemon does.

use std::net::{IpAddr, Ipv4Addr};

use nix::sys::signal::Signal;
use stile_tests::{ALICE, Client, Host, Server};

/// Alice reaches another address, and another port of the protected one, over TCP and UDP.
fn unprotected_destinations_pass(host: &Host) {
    let elsewhere = Server::start(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    let other_port = Server::start(host.server().address().ip(), 0);
    for server in [elsewhere, other_port] {
        for protocol in ["tcp", "udp"] {
            let mut client = Client::start(&mut host.client(ALICE, protocol, server.address()));
            client.connected();
            client.talks();
        }
    }
}

#[test]
fn unprotected_destinations_pass_while_the_daemon_runs() {
    let host = Host::start_usual();
    unprotected_destinations_pass(&host);
    assert!(host.audit().records().of("attempt").is_empty());
}

#[test]
fn unprotected_destinations_pass_while_the_daemon_is_frozen() {
    let host = Host::start_usual();
    host.signal(Signal::SIGSTOP);
    unprotected_destinations_pass(&host);
}

#[test]
fn unprotected_destinations_pass_when_the_daemon_is_killed() {
    let mut host = Host::start_usual();
    host.kill9();
    unprotected_destinations_pass(&host);
}

#[test]
fn unprotected_destinations_pass_where_no_daemon_ever_was() {
    let host = Host::builder().stopped().build();
    unprotected_destinations_pass(&host);
}
