// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which codes are taken (S5).

use serde_json::Value;
use stile_tests::{ALICE, Authenticator, BOB, Client, Host};

/// A host on which alice is enrolled and a connection of hers waits.
fn waiting() -> (Host, Authenticator, Client) {
    let host = Host::start_usual();
    let authenticator = host.enroll(ALICE);
    let client = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    (host, authenticator, client)
}

/// What became of the codes, as the audit log has it.
fn outcomes(host: &Host) -> Vec<Value> {
    let records = host.audit().records();
    let factors = records.of("factor").into_iter();
    factors.map(|factor| factor["outcome"].clone()).collect()
}

#[track_caller]
fn is_wrong(host: &Host, code: &str, tries_left: u64) {
    let said = host.answer(ALICE, None, code);
    said.failed(1, "wrong code");
    assert_eq!(said.json()["tries_left"], tries_left);
}

#[test]
fn a_wrong_code_releases_nothing_and_the_right_one_still_does() {
    let (host, authenticator, mut client) = waiting();
    is_wrong(&host, &authenticator.wrong_code(), 2);
    client.still_waits();
    assert!(host.grants(ALICE).is_empty());
    host.approve(ALICE, &authenticator);
    client.connected();
    client.talks();
    assert_eq!(outcomes(&host), ["wrong", "accepted"]);
}

#[test]
fn a_code_is_taken_once_also_across_a_restart_and_a_kill() {
    let (mut host, authenticator, mut client) = waiting();
    let code = authenticator.fresh_code();
    host.answer(ALICE, None, &code).succeeded();
    client.connected();
    host.stile(ALICE, &["revoke"]).succeeded();

    client.again();
    host.wait_for_challenge(ALICE);
    is_wrong(&host, &code, 2);
    host.restart();
    host.wait_for_challenge(ALICE);
    is_wrong(&host, &code, 1);
    host.kill9();
    host.start();
    host.wait_for_challenge(ALICE);
    is_wrong(&host, &code, 0);
    client.still_waits();
    assert_eq!(host.server().accepted(), 1);
    assert_eq!(
        outcomes(&host),
        ["accepted", "replayed", "replayed", "replayed"]
    );
}

#[test]
fn an_expired_code_is_wrong() {
    let (host, authenticator, client) = waiting();
    is_wrong(&host, &authenticator.code_at(-3), 2);
    client.still_waits();
    assert_eq!(outcomes(&host), ["wrong"]);
}

#[test]
fn the_code_of_another_user_is_wrong() {
    let (host, _, client) = waiting();
    let bobs = host.enroll(BOB);
    is_wrong(&host, &bobs.fresh_code(), 2);
    client.still_waits();
    assert_eq!(outcomes(&host), ["wrong"]);
}

#[test]
fn after_three_wrong_codes_the_right_one_is_not_even_looked_at() {
    let (mut host, authenticator, client) = waiting();
    for tries_left in [2, 1, 0] {
        is_wrong(&host, &authenticator.wrong_code(), tries_left);
    }
    let right = authenticator.fresh_code();
    let throttled = |host: &Host| {
        host.answer(ALICE, None, &right)
            .failed(1, "too many wrong codes");
    };
    throttled(&host);
    // Failures are counted on disk.
    host.kill9();
    host.start();
    host.wait_for_challenge(ALICE);
    throttled(&host);
    client.still_waits();
    assert_eq!(
        outcomes(&host),
        ["wrong", "wrong", "wrong", "throttled", "throttled"]
    );
}

#[test]
fn a_new_secret_does_not_reset_the_count_of_wrong_codes() {
    let (host, authenticator, client) = waiting();
    for tries_left in [2, 1] {
        is_wrong(&host, &authenticator.wrong_code(), tries_left);
    }
    let replacing = host.begin_replacing(ALICE);
    let code = replacing.authenticator.fresh_code();
    let (said, authenticator) = replacing.confirm(&code);
    said.succeeded();
    is_wrong(&host, &authenticator.wrong_code(), 0);
    host.answer(ALICE, None, &authenticator.fresh_code())
        .failed(1, "too many wrong codes");
    client.still_waits();
}

#[test]
fn a_user_without_an_authenticator_is_told_so() {
    let host = Host::start_usual();
    let client = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    host.answer(ALICE, None, "123456")
        .failed(1, "run `stile enroll`");
    client.still_waits();
    assert_eq!(outcomes(&host), ["not-enrolled"]);
}
