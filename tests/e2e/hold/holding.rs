// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Connections that wait.

use std::time::Duration;

use nix::errno::Errno;
use stile_tests::{ALICE, Client, Host, Terminal};

/// S1, S2.
#[test]
fn a_held_connection_goes_on_when_its_user_gives_a_code() {
    let host = Host::start_usual();
    let authenticator = host.enroll(ALICE);
    let mut client = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    client.still_waits();
    assert_eq!(host.server().accepted(), 0);
    assert_eq!(host.approve(ALICE, &authenticator)["released"], 1);
    client.connected();
    client.talks();
    assert_eq!(host.server().accepted(), 1);
}

/// S1: the replay is the same over IPv6, which has no header checksum and other raw sockets.
#[test]
fn a_held_ipv6_connection_goes_on_when_its_user_gives_a_code() {
    let host = Host::start_usual();
    let authenticator = host.enroll(ALICE);
    let mut client = host.connect_to(ALICE, host.server6().address());
    let challenge = host.wait_for_challenge(ALICE);
    let destination = host.server6().address().to_string();
    assert_eq!(challenge["destination"], destination.as_str());
    client.still_waits();
    host.approve(ALICE, &authenticator);
    client.connected();
    client.talks();
    assert_eq!(host.server6().accepted(), 1);
}

/// The replay, not the client's next retransmission, makes a connection go on: that would be
/// seconds later.
#[test]
fn an_approved_connection_goes_on_within_a_fraction_of_a_second() {
    let host = Host::start_usual();
    let authenticator = host.enroll(ALICE);
    let client = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    host.approve(ALICE, &authenticator);
    let waited = client.connected();
    let latency = host.audit().wait_for("connection", 1);
    let latency = latency.the("connection")["latency_us"].as_u64().unwrap();
    let after = waited.saturating_sub(Duration::from_micros(latency));
    assert!(after < Duration::from_millis(500), "{after:?}");
}

/// One question for however many connections of the same user and rule.
#[test]
fn twenty_connections_wait_for_one_answer_that_releases_them_all() {
    let host = Host::start_usual();
    let authenticator = host.enroll(ALICE);
    // One after the other: what a daemon on a slow machine leaves unread for two seconds is
    // refused (promise S4).
    let mut clients: Vec<Client> = Vec::new();
    for waiting in 1..=20 {
        clients.push(host.connect(ALICE));
        host.wait_for_waiting(ALICE, waiting);
    }
    assert_eq!(host.approve(ALICE, &authenticator)["released"], 20);
    for mut client in clients {
        client.connected();
        client.talks();
    }
    let records = host.audit().wait_for("connection", 20);
    assert_eq!(records.of("attempt").len(), 20);
    assert_eq!(records.of("challenge").len(), 1);
    assert_eq!(records.of("grant").len(), 1);
    assert_eq!(records.the("challenge-ended")["waiting"], 20);
}

#[test]
fn a_hold_that_nobody_answers_ends_and_the_terminal_says_why() {
    let host = Host::builder().max_hold("2s").build();
    let mut terminal = Terminal::of(ALICE);
    let client = Client::start(&mut host.client_on(&terminal, ALICE));
    terminal.shows("needs approval. Run: stile approve 1 ");
    let (error, waited) = client.refused();
    assert_eq!(error, Errno::ECONNABORTED);
    assert!(waited >= Duration::from_secs(2), "{waited:?}");
    assert!(waited < Duration::from_secs(4), "{waited:?}");
    terminal.shows("denied: nobody answered within 2s");
    let records = host.audit().wait_for("connection-closed-by-stile", 1);
    assert_eq!(records.the("challenge-ended")["outcome"], "timed-out");
    assert!(host.pending(ALICE).is_empty());
    assert_eq!(host.server().accepted(), 0);
}

#[test]
fn a_challenge_ends_with_the_process_that_waited() {
    let host = Host::start_usual();
    let client = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    client.kill();
    let records = host.audit().wait_for("challenge-ended", 1);
    assert_eq!(records.the("challenge-ended")["outcome"], "withdrawn");
    assert!(host.pending(ALICE).is_empty());
}
