// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Full rings, and a daemon that doesn't keep up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use stile_tests::{ALICE, BOB, CrowdServer, Host, measured, until};

/// What the gate counts where it refuses what it could not report.
const REFUSED: [&str; 4] = ["ring-full", "daemon-silent", "held-map-full", "throttled"];
/// More than the ring of attempts has room for, each with its SYN.
const FLOOD: u64 = 6000;

/// Waits until the audit log has counted so much of these kinds.
#[track_caller]
fn wait_for_lost(host: &Host, kinds: &[&str], count: u64) {
    until("the log has counted what was lost", || {
        let lost = host.audit().records().lost(kinds);
        assert!(lost <= count, "{lost} of {kinds:?}, not {count}");
        (lost == count).then_some(())
    });
}

#[test]
fn what_a_full_ring_has_no_room_for_is_refused_and_counted() {
    let host = Host::builder().max_hold("5m").build();
    let authenticator = host.enroll(ALICE);
    let server = CrowdServer::start(host.server().address().ip(), 5432);
    let mut crowd = host.crowd(ALICE, server.address());
    host.signal(Signal::SIGSTOP);
    let begun = crowd.begin(FLOOD);
    assert!((1..FLOOD).contains(&begun), "{begun} were begun");
    assert_eq!(server.accepted(), 0);
    host.signal(Signal::SIGCONT);
    host.wait_for_waiting(ALICE, begun);
    wait_for_lost(&host, &REFUSED, FLOOD - begun);
    assert_eq!(host.faults(&REFUSED), FLOOD - begun);
    measured(&format!(
        "{begun} attempts were read within {:?}",
        reading(&host)
    ));
    assert_eq!(server.accepted(), 0);
    host.approve(ALICE, &authenticator);
    assert_eq!(crowd.settle().connected, begun);
    assert_eq!(crowd.talk(), begun);
    assert_eq!(server.accepted() as u64, begun);
}

/// From the first to the last attempt that is written down.
fn reading(host: &Host) -> Duration {
    let records = host.audit().records();
    let attempts = records.of("attempt").into_iter();
    let times = attempts.filter_map(|record| record["boot_ns"].as_u64());
    let times: Vec<u64> = times.collect();
    Duration::from_nanos(times.last().unwrap() - times.first().unwrap())
}

#[test]
fn connections_that_are_too_many_to_be_written_one_by_one_are_counted() {
    let host = Host::start_usual();
    let authenticator = host.enroll(ALICE);
    let server = CrowdServer::start(host.server().address().ip(), 5432);
    let mut crowd = host.crowd(ALICE, server.address());
    crowd.begin(1);
    host.wait_for_challenge(ALICE);
    host.approve(ALICE, &authenticator);
    assert_eq!(crowd.settle().connected, 1);

    host.signal(Signal::SIGSTOP);
    assert_eq!(crowd.begin(FLOOD), FLOOD, "a live grant lets them through");
    assert_eq!(crowd.settle().connected, FLOOD + 1);
    host.signal(Signal::SIGCONT);
    let lost = host.faults(&["connection-not-recorded"]);
    assert!((1..FLOOD).contains(&lost), "{lost} were lost");
    wait_for_lost(&host, &["connection-not-recorded"], lost);
    until(
        "the others are written down, one by one or as a number",
        || {
            let (written, counted) = of_passed(&host);
            assert!(written + counted + lost <= FLOOD);
            (written + counted + lost == FLOOD).then_some(())
        },
    );
    let records = host.audit().records();
    assert!(!records.of("connections").is_empty());
    for record in records.of("connections") {
        assert_eq!(record["subject"]["user"], "alice");
        assert_eq!(record["endpoint"], "db");
        assert!(record["first_boot_ns"].as_u64() < record["last_boot_ns"].as_u64());
    }
    measured(&format!("{:?} one by one and as numbers", of_passed(&host)));
    assert_eq!(crowd.talk(), FLOOD + 1);
}

/// How many connections that passed under a grant have a record each, and how many others are
/// counted.
fn of_passed(host: &Host) -> (u64, u64) {
    let records = host.audit().records();
    let written = records.of("connection").into_iter();
    let written = written.filter(|record| record["passage"] == "passed");
    let counted = records.of("connections").into_iter();
    let counted = counted.map(|record| record["count"].as_u64().unwrap());
    (written.count() as u64, counted.sum())
}

#[test]
fn a_daemon_that_stutters_lets_nothing_through_and_loses_no_hold() {
    let host = Host::builder().max_hold("5m").build();
    let authenticator = host.enroll(ALICE);
    let server = CrowdServer::start(host.server().address().ip(), 5432);
    let mut crowd = host.crowd(ALICE, server.address());
    let mut begun = 0;
    for _ in 0..10 {
        host.signal(Signal::SIGSTOP);
        begun += crowd.begin(50);
        host.signal(Signal::SIGCONT);
        begun += crowd.begin(50);
        assert_eq!(server.accepted(), 0);
    }
    assert_eq!(begun, 1000);
    host.wait_for_waiting(ALICE, begun);
    host.approve(ALICE, &authenticator);
    assert_eq!(crowd.settle().connected, begun);
    assert_eq!(crowd.talk(), begun);
}

/// Ends a flood, also when its test panics.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

#[test]
fn while_one_user_floods_another_connects_as_ever() {
    let host = Host::builder().max_hold("5m").build();
    let authenticator = host.enroll(ALICE);
    let server = CrowdServer::start(host.server().address().ip(), 5432);
    let mut flood = host.crowd(BOB, server.address());
    let (on, flooding) = (AtomicBool::new(true), AtomicBool::new(false));
    let made = std::thread::scope(|scope| {
        let over = Over(&on);
        let flood = scope.spawn(|| {
            let mut made = 0;
            while on.load(Ordering::SeqCst) {
                made += flood.begin(FLOOD);
                flood.leave();
                flooding.store(true, Ordering::SeqCst);
            }
            made
        });
        until("the flood has begun", || {
            flooding.load(Ordering::SeqCst).then_some(())
        });
        let mut client = host.connect(ALICE);
        host.wait_for_challenge(ALICE);
        host.approve(ALICE, &authenticator);
        let took = client.connected();
        client.talks();
        drop(over);
        measured(&format!("connected, with the answer, after {took:?}"));
        flood.join().unwrap()
    });
    assert!(made > 0);
    assert_eq!((server.accepted(), host.server().accepted()), (0, 1));
    assert!(host.faults(&REFUSED) > 0);
}
