// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How a secret comes to count.

use stile_tests::{ALICE, BOB, Host};

fn is_enrolled(host: &Host) -> bool {
    let status = host.stile(ALICE, &["status", "--json"]);
    status.succeeded().json()["enrolled"] == true
}

#[test]
fn a_secret_counts_once_its_first_code_was_right() {
    let host = Host::start_usual();
    assert!(!is_enrolled(&host));
    let _ = host.enroll(ALICE);
    assert!(is_enrolled(&host));
    let records = host.audit().records();
    assert_eq!(records.the("enrolled")["user"], "alice");
    assert_eq!(records.the("enrolled")["by"], ALICE.uid);
}

#[test]
fn a_wrong_first_code_keeps_nothing() {
    let host = Host::start_usual();
    let enrolling = host.begin_enrolling(ALICE);
    let wrong = enrolling.authenticator.wrong_code();
    let (said, authenticator) = enrolling.confirm(&wrong);
    said.failed(1, "wrong code");
    assert!(!is_enrolled(&host));
    assert!(host.audit().records().of("enrolled").is_empty());

    let client = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    host.answer(ALICE, None, &authenticator.fresh_code())
        .failed(1, "run `stile enroll`");
    client.still_waits();
}

#[test]
fn the_first_code_is_used_up_by_enrolling() {
    let host = Host::start_usual();
    let enrolling = host.begin_enrolling(ALICE);
    let code = enrolling.authenticator.fresh_code();
    let (said, _) = enrolling.confirm(&code);
    said.succeeded();
    let client = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    host.answer(ALICE, None, &code).failed(1, "wrong code");
    client.still_waits();
}

/// What is there already is replaced by root only: malware can't swap a factor for its own.
#[test]
fn a_user_enrolls_once_and_only_root_replaces_the_secret() {
    let host = Host::start_usual();
    let old = host.enroll(ALICE);
    host.stile(ALICE, &["enroll", "--json"])
        .failed(1, "is enrolled already");
    host.stile(BOB, &["enroll", "--json", "--user", "alice"])
        .failed(1, "only an administrator may do this");

    let replacing = host.begin_replacing(ALICE);
    let code = replacing.authenticator.fresh_code();
    let (said, new) = replacing.confirm(&code);
    said.succeeded();
    let mut client = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    host.answer(ALICE, None, &old.fresh_code())
        .failed(1, "wrong code");
    host.approve(ALICE, &new);
    client.connected();
    client.talks();
    assert_eq!(host.audit().records().of("enrolled")[1]["by"], 0);
}

#[test]
fn where_the_settings_say_so_only_root_enrolls() {
    let host = Host::builder().settings("self_enroll = false").build();
    host.stile(ALICE, &["enroll", "--json"])
        .failed(1, "only an administrator may do this");
    let replacing = host.begin_replacing(ALICE);
    let code = replacing.authenticator.fresh_code();
    replacing.confirm(&code).0.succeeded();
    assert!(is_enrolled(&host));
}
