// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The gate outlives the daemon: restarts and reloads leave no gap, and let go of nothing but
//! what the new policy doesn't cover.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use stile::clock;
use stile::history::History;
use stile::ids::{EndpointId, Uid};
use stile::ledger::BootId;
use stile_tests::{ALICE, BOB, Fate, Host, Probe, ROOT, Server, until};

/// The usual policy with these ports, and this name of its rule.
fn policy(ports: &str, rule: &str) -> String {
    format!(
        r#"
[[endpoint]]
name = "db"
hosts = ["{{address}}"]
ports = [{ports}]

[[rule]]
name = "{rule}"
endpoints = ["db"]
users = ["*"]
action = "step-up"
"#
    )
}

#[test]
fn a_stop_leaves_the_gate_closed_and_live_grants_alive() {
    let mut host = Host::start_usual();
    let authenticator = host.enroll(ALICE);
    let mut live = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    host.approve(ALICE, &authenticator);
    live.connected();
    host.stop();
    live.talks();
    let mut second = host.connect(ALICE);
    second.connected();
    second.talks();
    assert_eq!(host.connect(BOB).refused().0, Errno::EPERM);
}

#[test]
fn a_restarted_daemon_adopts_the_gate_and_its_grants() {
    let mut host = Host::start_usual();
    let authenticator = host.enroll(ALICE);
    let mut live = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    host.approve(ALICE, &authenticator);
    live.connected();
    host.restart();
    let records = host.audit().wait_for("daemon-started", 2);
    let adopted: Vec<_> = records
        .of("daemon-started")
        .iter()
        .map(|record| record["adopted"].clone())
        .collect();
    assert_eq!(adopted, [false, true]);
    let grants = host.grants(ALICE);
    assert_eq!(grants.len(), 1);
    assert_eq!(grants[0]["factor"], "adopted");
    live.talks();

    host.stile(ALICE, &["revoke", "--all"]).succeeded();
    assert_eq!(live.say("hello"), Err(Errno::ECONNABORTED));
    let held = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    held.still_waits();
}

#[test]
fn an_idle_connection_under_an_adopted_grant_is_cut_when_that_is_revoked() {
    let mut host = Host::start_usual();
    let authenticator = host.enroll(ALICE);
    let mut live = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    host.approve(ALICE, &authenticator);
    live.connected();
    host.kill9();
    host.start();
    live.listen();
    host.stile(ALICE, &["revoke", "--all"]).succeeded();
    assert_eq!(live.heard(), Err(Errno::ECONNABORTED));
}

#[test]
fn a_connection_that_is_held_during_a_restart_goes_on_with_a_code() {
    let mut host = Host::start_usual();
    let authenticator = host.enroll(ALICE);
    let mut held = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    host.restart();
    host.wait_for_challenge(ALICE);
    host.approve(ALICE, &authenticator);
    held.connected();
    held.talks();
}

#[test]
fn fifty_restarts_let_nobody_through_and_stop_nothing_else() {
    let mut host = Host::start_usual();
    let authenticator = host.enroll(ALICE);
    let client = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    host.approve(ALICE, &authenticator);
    client.connected();
    let elsewhere = Server::start(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    let protected = [host.server().address()];
    let to_protected = Probe::start(&mut host.probe(BOB, "tcp-loop", &protected));
    let open = [elsewhere.address()];
    let to_open = Probe::start(&mut host.probe(BOB, "tcp-loop", &open));
    let granted = Probe::start(&mut host.probe(ALICE, "tcp-loop", &protected));
    let fates = [to_protected.fate(), to_open.fate(), granted.fate()];
    assert_eq!(fates, [Fate::Sent; 3]);
    for restart in 0..50 {
        // Both loops go on between two restarts.
        let before = elsewhere.accepted();
        until("connects go on", || {
            (elsewhere.accepted() > before).then_some(())
        });
        if restart % 2 == 0 {
            host.restart();
        } else {
            host.kill9();
            host.start();
        }
    }
    let (through, refused) = to_protected.end_loop();
    assert_eq!(through, 0, "a leak");
    assert!(refused >= 50, "{refused}");
    for (name, probe) in [("unprotected", to_open), ("under a grant", granted)] {
        let (through, failed) = probe.end_loop();
        assert_eq!(failed, 0, "wrongly refused: {name}");
        assert!(through >= 50, "{name}: {through}");
    }
}

#[test]
fn a_new_endpoint_is_protected_when_the_reload_is_over() {
    let mut host = Host::builder().policy(&policy("{port}", "step-up")).build();
    let server = Server::start(host.server().address().ip(), 7001);
    host.connect_to(ALICE, server.address()).connected();
    host.write_policy(&policy("{port}, 7001", "step-up"));
    host.reload();
    let held = host.connect_to(ALICE, server.address());
    host.wait_for_challenge(ALICE);
    held.still_waits();
    assert_eq!(server.accepted(), 1);
}

#[test]
fn an_endpoint_that_is_removed_is_open_also_to_what_waits() {
    let mut host = Host::builder().policy(&policy("{port}", "step-up")).build();
    let held = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    host.write_policy(&policy("7001", "step-up").replace("db", "another"));
    host.reload();
    // What waited goes on, the next one isn't asked.
    held.connected();
    assert!(host.pending(ALICE).is_empty());
    let mut client = host.connect(ALICE);
    client.connected();
    client.talks();
}

#[test]
fn a_grant_whose_rule_is_gone_is_revoked_and_its_connection_cut() {
    let mut host = Host::builder().policy(&policy("{port}", "step-up")).build();
    let authenticator = host.enroll(ALICE);
    let mut live = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    host.approve(ALICE, &authenticator);
    live.connected();
    live.listen();
    host.write_policy(&policy("{port}", "another rule"));
    host.reload();
    assert_eq!(live.heard(), Err(Errno::ECONNABORTED));
    assert!(host.grants(ALICE).is_empty());
    assert_eq!(host.audit().records().the("grant-revoked")["by"], 0);
    let held = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    held.still_waits();
}

#[test]
fn a_grant_whose_rule_stays_survives_a_reload() {
    let mut host = Host::builder().policy(&policy("{port}", "step-up")).build();
    let authenticator = host.enroll(ALICE);
    let mut live = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    host.approve(ALICE, &authenticator);
    live.connected();
    host.write_policy(&policy("{port}, 7001", "step-up"));
    host.reload();
    live.talks();
    assert_eq!(host.grants(ALICE).len(), 1);
    host.connect(ALICE).connected();
}

#[test]
fn a_broken_policy_keeps_the_running_one_and_shows_in_the_status() {
    let mut host = Host::builder().policy(&policy("{port}", "step-up")).build();
    host.write_policy("[[endpoint]]\nname = \"db\"\nports = [0]\n");
    host.reload();
    let status = host.stile(ROOT, &["status"]);
    assert_eq!(status.code, 1, "{status:?}");
    let place = format!("{}:3:10", host.policy().join("10-test.toml").display());
    assert!(status.stdout.contains(&place), "{}", status.stdout);
    assert!(!status.stdout.contains("\\u{a}"), "{}", status.stdout);
    let _ = host.audit().wait_for("policy-refused", 1);
    let held = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    held.still_waits();

    host.write_policy(&policy("{port}", "step-up"));
    host.reload();
    host.stile(ROOT, &["status"]).succeeded();
    held.still_waits();
}

#[test]
fn who_got_through_is_remembered_and_who_only_tried_is_counted() {
    let mut host = Host::builder().policy(&policy("{port}", "step-up")).build();
    let authenticator = host.enroll(ALICE);
    let client = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    host.approve(ALICE, &authenticator);
    client.connected();
    let _waits = host.connect(BOB);
    host.wait_for_challenge(BOB);
    host.stop();

    let boot = BootId::from(clock::boot_id().unwrap());
    let history = History::open(&host.state(), &boot, clock::now());
    let (alice, bob, db) = (Uid(ALICE.uid), Uid(BOB.uid), EndpointId::from_name("db"));
    assert_eq!(history.is_destination_new(alice, db), Ok(false));
    assert_eq!(history.is_destination_new(bob, db), Ok(true));
    let tried =
        |user| history.connections_within(user, db, Duration::from_secs(3600), clock::now());
    assert_eq!((tried(alice), tried(bob)), (Ok(1), Ok(1)));
}

/// What users did before is lost then, and conditions on it can't be judged. Nothing else is.
#[test]
fn a_broken_history_shows_in_the_status_and_stops_nothing_else() {
    let mut host = Host::start_usual();
    let authenticator = host.enroll(ALICE);
    host.stop();
    let history = host.state().join("history.redb");
    assert_eq!(fs::metadata(&history).unwrap().mode() & 0o777, 0o600);
    fs::write(&history, "garbage").unwrap();
    host.start();
    let status = host.stile(ROOT, &["status"]);
    assert_eq!(status.code, 1, "{status:?}");
    let path = history.display().to_string();
    assert!(status.stdout.contains(&path), "{}", status.stdout);
    let client = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    host.approve(ALICE, &authenticator);
    client.connected();

    host.stop();
    fs::remove_file(&history).unwrap();
    host.start();
    host.stile(ROOT, &["status"]).succeeded();
}

#[test]
fn detach_leaves_nothing_and_opens_everything() {
    let mut host = Host::start_usual();
    host.stop();
    assert_eq!(host.connect(BOB).refused().0, Errno::EPERM);
    let pins = host.pins().to_str().expect("UTF-8").to_owned();
    let detached = host.stile(ROOT, &["detach", "--bpffs", &pins]);
    detached.succeeded();
    assert!(detached.stdout.contains("the gate is down"), "{detached:?}");
    assert!(!host.pins().exists());
    let mut client = host.connect(BOB);
    client.connected();
    client.talks();
    assert_eq!(host.stile(ROOT, &["detach", "--bpffs", &pins]).code, 3);
}

#[test]
fn a_gate_with_another_map_layout_is_replaced_without_a_gap() {
    let mut host = Host::start_usual();
    let authenticator = host.enroll(ALICE);
    let mut live = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    host.approve(ALICE, &authenticator);
    live.connected();
    let protected = [host.server().address()];
    let through = host.server().accepted();
    let to_protected = Probe::start(&mut host.probe(BOB, "tcp-loop", &protected));
    assert_eq!(to_protected.fate(), Fate::Sent);
    host.stop();
    // The very same gate, as one of another version would be called.
    let own = fs::read_dir(host.pins()).expect("pins").flatten();
    let own: Vec<_> = own.map(|entry| entry.path()).collect();
    assert_eq!(own.len(), 1);
    fs::rename(&own[0], host.pins().join("v1")).expect("a bpffs");
    host.start();
    let left = fs::read_dir(host.pins()).expect("pins").flatten();
    let left: Vec<_> = left.map(|entry| entry.path()).collect();
    assert_eq!(left, own);
    let (passed, refused) = to_protected.end_loop();
    assert_eq!((passed, host.server().accepted()), (0, through));
    assert!(refused > 0);
    let records = host.audit().wait_for("daemon-started", 2);
    assert_eq!(records.of("daemon-started")[1]["adopted"], true);
    // Its grants go on, and what was held by it is refused.
    live.talks();
    host.connect(ALICE).connected();
    let held = host.connect(BOB);
    host.wait_for_challenge(BOB);
    held.still_waits();
}

#[test]
fn what_is_no_gate_among_the_pins_is_refused_with_the_remedy() {
    let mut host = Host::builder().stopped().build();
    fs::create_dir_all(host.pins().join("something")).expect("a bpffs");
    let said = host.try_start().expect_err("it has started");
    assert!(said.contains("is no gate of stile's; remove it"), "{said}");
    host.connect(BOB).connected();
    fs::remove_dir(host.pins().join("something")).expect("it is there");
    host.start();
    let held = host.connect(BOB);
    host.wait_for_challenge(BOB);
    held.still_waits();
}

#[test]
fn an_interrupt_stops_the_daemon_as_a_termination_does() {
    let mut host = Host::start_usual();
    host.signal(Signal::SIGINT);
    let _ = host.audit().wait_for("daemon-stopped", 1);
    // What begins from here on doesn't wait for a daemon that is about to go.
    assert_eq!(host.connect(BOB).refused().0, Errno::EPERM);
    host.start();
}
