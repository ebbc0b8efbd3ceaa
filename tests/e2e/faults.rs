// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Promise S4: any fault means deny. And none of them ends more than it has to.

use std::process::Command;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;
use stile_tests::{
    ALICE, BOB, Client, Fate, Host, Probe, ROOT, Server, until, wait_for_stuck_data,
};

/// What "at once" means here: well below any patience and any hold, far above what it takes.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Asserts that a connect is refused at once.
#[track_caller]
fn refused_at_once(client: &Client) {
    let (error, elapsed) = client.refused();
    assert_eq!(error, Errno::EPERM);
    assert!(elapsed < AT_ONCE, "{elapsed:?}");
}

#[test]
fn while_the_daemon_is_dead_attempts_are_refused_at_once() {
    let mut host = Host::start_usual();
    let held = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    host.kill9();
    refused_at_once(&host.connect(ALICE));
    refused_at_once(&host.connect(BOB));
    held.still_waits();
    assert_eq!(host.server().accepted(), 0);
}

#[test]
fn a_held_client_gets_an_error_soon_though_the_daemon_is_dead() {
    let mut host = Host::builder().max_hold("3s").build();
    let held = host.connect(ALICE);
    let _ = host.audit().wait_for("challenge", 1);
    host.kill9();
    let (error, elapsed) = held.refused();
    assert_eq!(error, Errno::ETIMEDOUT);
    assert!(elapsed < Duration::from_secs(12), "{elapsed:?}");
    assert_eq!(host.server().accepted(), 0);
}

#[test]
fn a_daemon_that_comes_back_adopts_the_hold_of_the_one_that_was_killed() {
    let mut host = Host::start_usual();
    let authenticator = host.enroll(ALICE);
    let mut held = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    host.kill9();
    host.start();
    host.wait_for_challenge(ALICE);
    held.still_waits();
    host.approve(ALICE, &authenticator);
    held.connected();
    held.talks();
}

#[test]
fn a_hold_that_was_adopted_ends_when_its_user_says_no() {
    let mut host = Host::start_usual();
    let held = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    host.kill9();
    host.start();
    let challenge = host.wait_for_challenge(ALICE);
    host.stile(ALICE, &["deny", &challenge["id"].to_string()])
        .succeeded();
    assert_eq!(held.refused().0, Errno::ECONNABORTED);
    assert_eq!(host.server().accepted(), 0);
}

#[test]
fn a_grant_outlives_the_daemon_but_never_its_own_expiry() {
    let ttl = Duration::from_secs(6);
    let mut host = Host::builder().ttl("6s").build();
    let authenticator = host.enroll(ALICE);
    let mut live = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    let earliest = Instant::now();
    host.approve(ALICE, &authenticator);
    let latest = Instant::now();
    live.connected();
    host.kill9();
    let mut second = host.connect(ALICE);
    second.connected();
    second.talks();
    live.talks();

    until("the grant is over", || {
        let began = Instant::now();
        let outcome = host.connect(ALICE).outcome();
        if outcome.result.is_ok() {
            assert!(began < latest + ttl, "{:?} too late", began - latest);
            return None;
        }
        assert_eq!(outcome.result, Err(Errno::EPERM));
        Some(())
    });
    assert!(earliest.elapsed() >= ttl, "too early");
    let before = host.server().bytes();
    live.write("hello");
    wait_for_stuck_data(host.server().address());
    assert_eq!(
        host.server().bytes(),
        before,
        "a dead grant let data through"
    );

    host.start();
    assert_eq!(live.heard(), Err(Errno::ECONNABORTED));
}

#[test]
fn a_daemon_that_hangs_is_taken_for_dead_after_its_patience_and_recovers() {
    let host = Host::start_usual();
    let authenticator = host.enroll(ALICE);
    host.signal(Signal::SIGSTOP);
    let mut held = vec![host.connect(ALICE)];
    let began = Instant::now();
    let mut last = began;
    until("attempts are refused", || {
        if last.elapsed() > Duration::from_millis(200) {
            last = Instant::now();
            held.push(host.connect(ALICE));
        }
        let outcome = held.last().and_then(Client::try_outcome)?;
        assert_eq!(outcome.result, Err(Errno::EPERM));
        assert!(outcome.elapsed < AT_ONCE, "{:?}", outcome.elapsed);
        Some(())
    });
    assert!(began.elapsed() > Duration::from_secs(1), "too impatient");
    held.pop();
    refused_at_once(&host.connect(BOB));
    host.signal(Signal::SIGCONT);
    host.wait_for_waiting(ALICE, held.len() as u64);
    host.approve(ALICE, &authenticator);
    for client in &mut held {
        client.connected();
        client.talks();
    }
    let silent = host.audit().wait_for("events-lost", 1);
    assert_eq!(silent.of("events-lost")[0]["kind"], "daemon-silent");
}

#[test]
fn the_challenge_of_a_client_that_is_killed_is_withdrawn_at_once() {
    let host = Host::start_usual();
    let client = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    let began = Instant::now();
    client.kill();
    host.wait_for_challenges(ALICE, 0);
    assert!(began.elapsed() < AT_ONCE * 5, "{:?}", began.elapsed());
    let records = host.audit().wait_for("challenge-ended", 1);
    assert_eq!(records.the("challenge-ended")["outcome"], "withdrawn");
}

#[test]
fn a_connection_that_its_client_gave_up_does_not_come_to_life_by_the_answer() {
    let host = Host::start_usual();
    let authenticator = host.enroll(ALICE);
    let address = host.server().address();
    let probe = Probe::start(&mut host.probe(ALICE, "tcp-given-up", &[address]));
    assert_eq!(probe.fate(), Fate::Error(Errno::ETIMEDOUT));
    host.wait_for_challenge(ALICE);
    host.approve(ALICE, &authenticator);
    // The next one shows that the server has seen everything that came before.
    let mut next = host.connect(ALICE);
    next.connected();
    next.talks();
    assert_eq!(host.server().accepted(), 1);
}

/// Asserts that `stile status` fails, and returns what it says is broken.
#[track_caller]
fn broken(host: &Host) -> String {
    let status = host.stile(ROOT, &["status", "--json"]);
    assert_eq!(status.code, 1, "{status:?}");
    let status = status.json();
    assert_eq!(status["state"], "enforcing, granting nothing");
    status["problems"].to_string()
}

/// Lets bob try until the daemon finds that it can't write any more: the last page of its
/// file may have room left.
#[track_caller]
fn until_the_daemon_notices(host: &Host) {
    until("the daemon notices the full disk", || {
        let client = host.connect(BOB);
        client.try_outcome();
        (host.stile(ROOT, &["status"]).code == 1).then_some(())
    });
}

#[test]
fn a_right_code_grants_nothing_while_the_audit_log_cannot_be_written() {
    let host = Host::builder().small_disks().build();
    let authenticator = host.enroll(ALICE);
    let held = host.connect(ALICE);
    let id = host.wait_for_challenge(ALICE)["id"].as_u64();
    host.disks().audit.fill();
    until_the_daemon_notices(&host);
    host.answer(ALICE, id, &authenticator.fresh_code())
        .failed(1, "nothing can be granted now");
    assert_eq!(held.refused().0, Errno::ECONNABORTED);
    assert!(host.grants(ALICE).is_empty());
    assert!(broken(&host).contains("audit.jsonl"));
    // Not even asked: nobody could write down what came of it.
    assert_eq!(host.connect(ALICE).refused().0, Errno::ECONNABORTED);
    assert_eq!(host.server().accepted(), 0);
}

#[test]
fn a_right_code_grants_nothing_while_the_ledger_cannot_be_written() {
    let host = Host::builder().small_disks().build();
    let authenticator = host.enroll(ALICE);
    let held = host.connect(ALICE);
    let id = host.wait_for_challenge(ALICE)["id"].as_u64();
    host.disks().ledger.fill();
    host.answer(ALICE, id, &authenticator.fresh_code())
        .failed(1, "nothing can be granted now");
    held.still_waits();
    assert!(host.grants(ALICE).is_empty());
    assert!(broken(&host).contains("ledger"));
    assert_eq!(host.server().accepted(), 0);
}

#[test]
fn without_a_bus_holds_end_in_time_and_the_agent_joins_when_there_is_one() {
    let mut host = Host::builder().max_hold("3s").without_bus().build();
    let (error, elapsed) = host.connect(ALICE).refused();
    assert_eq!(error, Errno::ECONNABORTED);
    let [least, most] = [3, 10].map(Duration::from_secs);
    assert!((least..most).contains(&elapsed), "{elapsed:?}");
    let log = host.log();
    assert!(
        log.contains("nobody can answer a challenge: no D-Bus system bus at"),
        "{log}"
    );
    host.stile(ROOT, &["status"])
        .failed(4, "no D-Bus system bus at");

    host.start_bus();
    host.wait_for_bus();
    host.stile(ROOT, &["status"]).succeeded();
}

#[test]
fn a_hold_outlives_the_bus_and_is_answered_on_the_next_one() {
    let mut host = Host::start_usual();
    let authenticator = host.enroll(ALICE);
    let mut held = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    host.stop_bus();
    host.stile(ALICE, &["pending"])
        .failed(4, "no D-Bus system bus at");
    held.still_waits();
    host.start_bus();
    host.wait_for_bus();
    host.approve(ALICE, &authenticator);
    held.connected();
    held.talks();
}

/// A server on the host's address, and a client of alice's that connects to it, both in a
/// network namespace of their own.
fn in_another_network(host: &Host) -> (Server, Client) {
    let there = std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("root may");
            let up = Command::new("ip")
                .args(["link", "set", "lo", "up"])
                .status();
            assert!(up.expect("iproute2").success());
            let address = host.server().address();
            let server = Server::start(address.ip(), address.port());
            (server, host.connect(ALICE))
        });
        inside.join()
    });
    there.expect("a thread in another network")
}

#[test]
fn a_connection_in_another_network_namespace_is_held_and_let_go_on_there() {
    let host = Host::start_usual();
    let authenticator = host.enroll(ALICE);
    let (server, mut client) = in_another_network(&host);
    host.wait_for_challenge(ALICE);
    client.still_waits();
    host.approve(ALICE, &authenticator);
    client.connected();
    client.talks();
    assert_eq!((server.accepted(), host.server().accepted()), (1, 0));
    assert!(!host.log().contains("replayed"), "{}", host.log());

    client.listen();
    host.stile(ALICE, &["revoke", "--all"]).succeeded();
    assert_eq!(client.heard(), Err(Errno::ECONNABORTED));
}

#[test]
fn a_connection_in_another_network_namespace_ends_when_its_user_says_no() {
    let host = Host::start_usual();
    let (server, client) = in_another_network(&host);
    let challenge = host.wait_for_challenge(ALICE);
    host.stile(ALICE, &["deny", &challenge["id"].to_string()])
        .succeeded();
    assert_eq!(client.refused().0, Errno::ECONNABORTED);
    assert_eq!(server.accepted(), 0);
}

#[test]
fn a_flood_of_one_user_is_counted_and_keeps_nobody_else_from_being_asked() {
    let host = Host::start_usual();
    let address = host.server().address();
    let flood = Probe::start(&mut host.probe(BOB, "tcp-flood", &[address]));
    assert_eq!(flood.fate(), Fate::Sent);
    let held = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    held.still_waits();
    until("every attempt is written down or counted", || {
        let records = host.audit().records();
        let written = records.of("attempt").into_iter().filter(|record| {
            let uid = &record["process"]["uid"];
            uid == BOB.uid
        });
        let kinds = [
            "attempts-of-uid-42002",
            "ring-full",
            "daemon-silent",
            "held-map-full",
        ];
        let lost = records.of("events-lost").into_iter();
        let counted: u64 = lost
            .filter(|record| kinds.iter().any(|kind| record["kind"] == *kind))
            .filter_map(|record| record["count"].as_u64())
            .sum();
        // A daemon that is busy with this, too, writes the counts down.
        host.stile(ROOT, &["status"]);
        (written.count() as u64 + counted == 5000).then_some(())
    });
    assert_eq!(host.server().accepted(), 0);
}

/// A client that lives on keeps nothing of the daemon's: each hold gives its descriptors back.
#[test]
fn holds_that_are_over_leave_no_descriptors_behind() {
    let host = Host::builder().max_hold("1s").build();
    let open = || {
        let folder = std::fs::read_dir(format!("/proc/{}/fd", host.pid()));
        folder.expect("the daemon runs").count()
    };
    let mut client = host.connect(ALICE);
    client.refused();
    let before = open();
    for _ in 0..3 {
        client.again();
        client.refused();
    }
    until("the holds are over", || (open() <= before).then_some(()));
}
