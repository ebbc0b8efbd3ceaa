// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Nobody is asked for a connection that nobody wants any more.

use nix::errno::Errno;
use stile_tests::{ALICE, BOB, Fate, Host, Probe, has_mptcp};

/// A host whose challenges outlive any test.
fn host() -> Host {
    Host::builder().max_hold("5m").build()
}

#[test]
fn a_question_ends_soon_after_its_program_has_closed_the_socket_and_lives() {
    let host = host();
    let mut crowd = host.crowd(ALICE, host.server().address());
    assert_eq!(crowd.begin(3), 3);
    host.wait_for_waiting(ALICE, 3);
    crowd.leave();
    host.wait_for_challenges(ALICE, 0);
    let records = host.audit().records();
    let ended = records.the("challenge-ended");
    assert_eq!(ended["outcome"], "withdrawn");
    assert_eq!(ended["waiting"], 3);
    let closed = records.of("connection-closed-by-stile");
    assert_eq!(closed.len(), 3);
    assert!(closed.iter().all(|record| record["reason"] == "withdrawn"));
    // The program asks anew, as any other.
    assert_eq!(crowd.begin(1), 1);
    host.wait_for_waiting(ALICE, 1);
    assert_eq!(host.server().accepted(), 0);
}

#[test]
fn a_question_stands_as_long_as_one_of_its_connections_is_wanted() {
    let host = host();
    let authenticator = host.enroll(ALICE);
    let mut wanted = host.connect(ALICE);
    let mut unwanted = host.crowd(ALICE, host.server().address());
    host.wait_for_waiting(ALICE, 1);
    assert_eq!(unwanted.begin(2), 2);
    host.wait_for_waiting(ALICE, 3);
    unwanted.leave();
    host.wait_for_waiting(ALICE, 1);
    let answer = host.approve(ALICE, &authenticator);
    assert_eq!(answer["released"], 1);
    wanted.connected();
    wanted.talks();
}

#[test]
fn no_way_to_connect_is_taken_for_a_closed_socket() {
    let host = host();
    let to = [host.server().address()];
    let mut ways = vec!["tcp", "tcp-nonblocking", "fastopen-sendto", "tcp-left"];
    if has_mptcp() {
        ways.extend(["mptcp", "mptcp-fastopen"]);
    }
    let probe = |way: &&str| Probe::start(&mut host.probe(ALICE, way, &to));
    let waiting: Vec<_> = ways.iter().map(probe).collect();
    let count = ways.len() as u64;
    host.wait_for_waiting(ALICE, count);
    // What bob gives up shows that the agent has looked, and how a socket looks that has not even
    // sent a SYN is told after two seconds.
    for _ in 0..4 {
        let mut other = host.crowd(BOB, to[0]);
        assert_eq!(other.begin(1), 1);
        host.wait_for_waiting(BOB, 1);
        other.leave();
        host.wait_for_challenges(BOB, 0);
    }
    host.wait_for_waiting(ALICE, count);
    host.stile(ALICE, &["deny"]).succeeded();
    for (probe, way) in waiting.iter().zip(ways) {
        assert_eq!(probe.fate(), Fate::Error(Errno::ECONNABORTED), "{way}");
    }
}
