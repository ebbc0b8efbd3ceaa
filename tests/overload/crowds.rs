// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Thousands of connections that wait for one answer.

use std::time::Duration;

use stile_tests::{
    ALICE, Authenticator, BOB, Crowd, CrowdServer, Footprint, Host, User, measured, until,
};

use super::maps::{granted, held};

/// How many programs share the connections.
const PROGRAMS: u64 = 4;
/// How many connections they have in all.
const CONNECTIONS: u64 = 10_000;
/// How many are begun at once: what the gate reports of them fits into half of its ring.
const BATCH: u64 = 1000;

/// What of a crowd may stay in the daemon's own memory, in KiB: 10,000 connections take twice as
/// much and more. Pages of files, which the kernel takes back at any time, don't count.
const LEFT: usize = 6 * 1024;

#[test]
fn ten_thousand_connections_wait_for_one_answer_and_leave_nothing_behind() {
    let host = Host::builder().max_hold("5m").build();
    let server = CrowdServer::start(host.server().address().ip(), 5432);
    let alice = host.enroll(ALICE);
    let bob = host.enroll(BOB);
    let start = Footprint::of(host.pid());
    crowd_passes(&host, &server, ALICE, &alice);
    let first = everything_is_over(&host, start);
    crowd_passes(&host, &server, BOB, &bob);
    let second = everything_is_over(&host, start);
    measured(&format!("{start:?}, then {first:?} and {second:?}"));
    // What the first crowd leaves is code that had not run before; the second finds it. Half of
    // what 10,000 connections would be if but 800 bytes of each stayed.
    assert!(second.anonymous < first.anonymous + 4 * 1024, "{second:?}");
}

/// Holds a crowd, lets it go on with one answer, and ends it.
fn crowd_passes(host: &Host, server: &CrowdServer, user: User, authenticator: &Authenticator) {
    let before = server.accepted() as u64;
    let mut crowds: Vec<Crowd> = (0..PROGRAMS)
        .map(|_| host.crowd(user, server.address()))
        .collect();
    let mut begun = 0;
    while begun < CONNECTIONS {
        for crowd in &mut crowds {
            begun += crowd.begin(BATCH / PROGRAMS);
        }
        host.wait_for_waiting(user, begun);
    }
    assert_eq!(begun, CONNECTIONS, "some were refused");
    assert_eq!(server.accepted() as u64, before);
    let waiting = Footprint::of(host.pid());
    for crowd in &mut crowds {
        crowd.order("settle");
    }
    host.approve(user, authenticator);
    let settled: Vec<_> = crowds.iter_mut().map(Crowd::settled).collect();
    let connected: u64 = settled.iter().map(|settled| settled.connected).sum();
    assert_eq!(connected, CONNECTIONS);
    let last = settled.iter().map(|settled| settled.at).max().unwrap();
    let took = Duration::from_nanos(last - accepted_at(host));
    measured(&format!(
        "{connected} connected within {took:?}; {waiting:?}"
    ));
    let talked: u64 = crowds.iter_mut().map(Crowd::talk).sum();
    assert_eq!(talked, CONNECTIONS);
    assert_eq!(server.accepted() as u64, before + CONNECTIONS);
    host.stile(user, &["revoke", "--all"]).succeeded();
    for crowd in &mut crowds {
        crowd.leave();
    }
}

/// When the last code was accepted, in nanoseconds since boot.
fn accepted_at(host: &Host) -> u64 {
    let records = host.audit().records();
    let factors = records.of("factor").into_iter();
    let accepted = factors.filter(|record| record["outcome"] == "accepted");
    accepted
        .filter_map(|record| record["boot_ns"].as_u64())
        .max()
        .unwrap()
}

/// Waits until the daemon has given back descriptors and threads, and the kernel's maps are
/// empty. (A socket's own storage in the kernel ends with the socket; nothing lists those.)
fn everything_is_over(host: &Host, start: Footprint) -> Footprint {
    until("descriptors and threads are given back", || {
        let now = Footprint::of(host.pid());
        (now.descriptors <= start.descriptors && now.threads <= start.threads).then_some(())
    });
    until("memory is given back", || {
        (Footprint::of(host.pid()).anonymous < start.anonymous + LEFT).then_some(())
    });
    assert_eq!((held(host), granted(host)), (0, 0));
    for user in [ALICE, BOB] {
        assert!(host.pending(user).is_empty());
        assert!(host.grants(user).is_empty());
    }
    Footprint::of(host.pid())
}

#[test]
fn a_program_that_ends_takes_its_thousands_of_holds_with_it() {
    let host = Host::builder().max_hold("5m").build();
    let server = CrowdServer::start(host.server().address().ip(), 5432);
    let start = Footprint::of(host.pid());
    let mut crowd = host.crowd(ALICE, server.address());
    for begun in [1000, 2000] {
        assert_eq!(crowd.begin(1000), 1000);
        host.wait_for_waiting(ALICE, begun);
    }
    drop(crowd);
    host.wait_for_challenges(ALICE, 0);
    everything_is_over(&host, start);
    let records = host.audit().records();
    assert_eq!(records.the("challenge-ended")["waiting"], 2000);
    assert_eq!(records.of("connection-closed-by-stile").len(), 2000);
    assert_eq!(server.accepted(), 0);
}

#[test]
fn a_crowd_whose_user_says_no_is_ended_at_once() {
    let host = Host::builder().max_hold("5m").build();
    let server = CrowdServer::start(host.server().address().ip(), 5432);
    let start = Footprint::of(host.pid());
    let mut crowd = host.crowd(ALICE, server.address());
    assert_eq!(crowd.begin(1000), 1000);
    host.wait_for_waiting(ALICE, 1000);
    let id = host.wait_for_challenge(ALICE)["id"].to_string();
    host.stile(ALICE, &["deny", &id]).succeeded();
    let settled = crowd.settle();
    assert_eq!((settled.connected, settled.failed), (0, 1000));
    // Dismissed: these aren't even asked for.
    assert_eq!(crowd.begin(1000), 1000);
    assert_eq!(crowd.settle().failed, 2000);
    everything_is_over(&host, start);
    assert_eq!(server.accepted(), 0);
}
