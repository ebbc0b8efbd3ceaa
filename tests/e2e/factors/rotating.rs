// SPDX-License-Identifier: Apache-2.0 OR MIT
//! New keys for all secrets, also while somebody waits and while the daemon is killed.

use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use stile_tests::{ALICE, ROOT, Running, measured, patience};

use crate::scene::{opens, waiting, with_token};

#[test]
fn new_keys_disturb_nobody_who_waits() {
    let (mut host, token) = with_token();
    let key = host.state().join("secrets.key");
    let before = fs::read(&key).unwrap();
    let client = waiting(&host);
    let said = host.stile(ROOT, &["secrets", "rotate", "--json"]);
    assert_eq!(said.succeeded().json()["secrets"], 1);
    client.still_waits();
    host.approve(ALICE, &token);
    client.connected();
    let records = host.audit().records();
    assert_eq!(records.the("keys-replaced")["secrets"], 1);
    assert_eq!(records.the("keys-replaced")["by"], 0);

    assert_ne!(fs::read(&key).unwrap(), before);
    host.stop();
    let after = fs::read(&key).unwrap();
    fs::write(&key, &before).unwrap();
    assert!(host.try_start().unwrap_err().contains("another key"));
    fs::write(&key, after).unwrap();
    host.start();
    host.stile(ALICE, &["revoke"]);
    opens(&host, &token.fresh_code());
}

#[test]
fn new_keys_make_good_for_a_key_that_was_lost_while_the_daemon_runs() {
    let (mut host, token) = with_token();
    fs::remove_file(host.state().join("secrets.key")).unwrap();
    host.stile(ROOT, &["secrets", "rotate"]).succeeded();
    host.restart();
    opens(&host, &token.fresh_code());
}

/// Asks for new keys again and again, as fast as the bus lets it.
const AGAIN_AND_AGAIN: &str = "while dbus-send --system --print-reply --dest=org.stile.Agent1 \
    /org/stile/Agent1 org.stile.Factors1.RotateSecrets; do :; done";

#[test]
fn a_kill_at_any_moment_of_replacing_keys_loses_nothing() {
    let (mut host, token) = with_token();
    let next = host.state().join("secrets.key.new");
    let mut unfinished = 0;
    let mut rounds = Vec::new();
    for _ in 0..15 {
        let mut shell = host.as_user(ROOT, "/bin/sh");
        shell.args(["-c", AGAIN_AND_AGAIN]);
        let rotating = Running::new(shell.stdout(Stdio::null()).stderr(Stdio::null()));
        wait_for(&next);
        let moment = Duration::from_micros(drawn(3000));
        spin(moment);
        host.kill9();
        drop(rotating);
        unfinished += u32::from(next.exists());
        rounds.push(moment.as_micros());
        if let Err(said) = host.try_start() {
            panic!("killed after {rounds:?} µs: {said}");
        }
        host.stile(ROOT, &["ledger", "check"]).succeeded();
    }
    opens(&host, &token.fresh_code());
    measured(&format!(
        "{unfinished} of 15 kills hit while a key took its place"
    ));
}

fn drawn(below: u64) -> u64 {
    RandomState::new().hash_one(below) % below
}

/// It is there for a moment only, so nothing else is done meanwhile.
#[track_caller]
fn wait_for(file: &Path) {
    let begun = Instant::now();
    while !file.exists() {
        assert!(begun.elapsed() < patience(), "no key is replaced");
    }
}

/// Passes a time that is too short to sleep.
fn spin(time: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < time {
        std::hint::spin_loop();
    }
}
