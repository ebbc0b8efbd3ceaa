// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Wrong answers, until nothing but an administrator helps.

use std::fs;

use stile::clock::{BootTime, boot_id};
use stile::ids::Uid;
use stile::ledger::{BootId, Ledger};
use stile::policy::Factor;
use stile_tests::{ALICE, Authenticator, BOB, Host, ROOT};

use crate::scene::{alarms, gives_up, import, is_wrong, opens, outcomes, recovery_codes, waiting};

const LOCKED: &str = "you are locked out";

/// Alice with so many wrong answers, so long ago that none of them makes her wait.
fn failed(host: &mut Host, times: u32) {
    host.stop();
    let boot = BootId::from(boot_id().unwrap());
    let ledger = Ledger::open(&host.state()).unwrap();
    for _ in 0..times {
        ledger
            .record_failure(Uid(ALICE.uid), &Factor::Totp, BootTime(0), &boot)
            .unwrap();
    }
    drop(ledger);
    host.start();
}

/// A host on which alice has one more try.
fn nearly_locked() -> (Host, Authenticator) {
    let mut host = Host::builder().settings("lock_after = 5").build();
    let token = import(&host, "token");
    failed(&mut host, 4);
    (host, token)
}

#[test]
fn one_wrong_answer_too_many_locks_out_until_an_administrator_helps() {
    let (mut host, token) = nearly_locked();
    is_wrong(&host, &token.wrong_code());
    assert_eq!(alarms(&host), ["locked-out"]);
    let code = token.fresh_code();
    for _ in 0..2 {
        let client = waiting(&host);
        host.answer(ALICE, None, &code).failed(1, LOCKED);
        gives_up(&host, client);
        host.restart();
    }
    assert_eq!(host.factors(ALICE)[0]["locked"], true);
    assert_eq!(outcomes(&host), ["wrong", "locked", "locked"]);

    for user in [ALICE, BOB] {
        host.stile(user, &["unlock", "alice"])
            .failed(1, "only an administrator may do this");
    }
    host.stile(ROOT, &["unlock", "alice"]).succeeded();
    host.stile(ROOT, &["unlock", "alice"])
        .failed(3, "no wrong answers");
    opens(&host, &code);
    let records = host.audit().records();
    assert_eq!(records.the("unlocked")["user"], "alice");
    assert_eq!(records.the("unlocked")["by"], 0);
    assert_eq!(alarms(&host), ["locked-out"]);
}

#[test]
fn a_right_answer_forgets_the_wrong_ones() {
    let (host, token) = nearly_locked();
    opens(&host, &token.fresh_code());
    assert_eq!(host.factors(ALICE)[0]["failures"], 0);
    is_wrong(&host, &token.wrong_code());
    assert!(alarms(&host).is_empty());
}

#[test]
fn a_new_device_is_no_way_out() {
    let (host, token) = nearly_locked();
    is_wrong(&host, &token.wrong_code());
    let replacing = host.begin_replacing(ALICE);
    let first = replacing.authenticator.fresh_code();
    replacing.confirm(&first).0.failed(1, "alice is locked out");
    // One that counts at once doesn't help either.
    host.stile(ROOT, &["factor", "remove", "--user", "alice", "1"])
        .succeeded();
    let token = import(&host, "another");
    let client = waiting(&host);
    let code = token.fresh_code();
    host.answer(ALICE, None, &code).failed(1, LOCKED);
    // Whoever answers for her reads whom it is about.
    let id = format!("uint64:{}", host.pending(ALICE)[0]["id"]);
    let code = format!("string:{code}");
    host.call(ROOT, "Answer", &[&id, &code])
        .failed(1, "`stile unlock alice` ends that");
    client.still_waits();
}

#[test]
fn wrong_codes_of_a_new_device_count_as_well_and_raise_the_alarm() {
    let (host, _) = nearly_locked();
    let add = ["factor", "add", "--user", "alice", "--json"];
    let adding = host.enrolling(ROOT, &add, None).unwrap();
    let wrong = adding.authenticator.wrong_code();
    adding.confirm(&wrong).0.failed(1, "wrong code");
    assert_eq!(alarms(&host), ["locked-out"]);
    assert_eq!(outcomes(&host), ["wrong"]);
}

#[test]
fn codes_that_only_a_test_recognizes_count_as_well_and_raise_the_alarm() {
    let (host, token) = nearly_locked();
    let test = ["factor", "test", "--stdin"];
    let said = host.stile_typing(ALICE, &test, &token.code_at(-4));
    assert_eq!(said.code, 1, "{said:?}");
    assert_eq!(alarms(&host), ["locked-out"]);
    host.stile_typing(ALICE, &test, &token.fresh_code())
        .failed(1, LOCKED);
}

#[test]
fn a_recovery_code_still_opens() {
    let (host, token) = nearly_locked();
    let codes = recovery_codes(&host);
    is_wrong(&host, &token.wrong_code());
    opens(&host, &codes[0]);
    // It is worth no more than the codes that were guessed, so it ends no lock-out.
    assert_eq!(host.factors(ALICE)[0]["locked"], true);
}

#[test]
fn fewer_are_let_pass_from_a_reload_on() {
    let mut host = Host::start_usual();
    let token = import(&host, "token");
    failed(&mut host, 6);
    fs::write(host.settings(), "lock_after = 6").unwrap();
    host.reload();
    let client = waiting(&host);
    host.answer(ALICE, None, &token.fresh_code())
        .failed(1, LOCKED);
    client.still_waits();
}

#[test]
fn no_settings_let_more_than_100_pass() {
    let mut host = Host::builder()
        .settings("lock_after = 101")
        .stopped()
        .build();
    let said = host.try_start().unwrap_err();
    assert!(said.contains("5..=100"), "{said}");
    fs::write(host.settings(), "lock_after = 100").unwrap();
    host.start();
}
