// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One prompt, not twenty.

use nix::errno::Errno;
use stile_tests::{ALICE, BOB, Host, Server};

use super::{policy, prompts, step_up};

fn one_realm(keys: &str) -> String {
    step_up(
        "db",
        "db",
        &format!("realm = \"prod\"\nttl = \"10m\"\n{keys}"),
    ) + &step_up(
        "cache",
        "cache",
        &format!("realm = \"prod\"\nttl = \"2m\"\n{keys}"),
    )
}

/// The second endpoint's server.
fn cache(host: &Host) -> Server {
    Server::start(host.server().address().ip(), 6379)
}

#[test]
fn two_endpoints_of_a_realm_are_one_prompt_and_each_gets_what_its_rule_gives() {
    let host = Host::builder().policy(&policy(&one_realm(""))).build();
    let cache = cache(&host);
    let authenticator = host.enroll(ALICE);
    let mut db = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    let mut other = host.connect_to(ALICE, cache.address());
    host.wait_for_waiting(ALICE, 2);
    let challenge = &host.pending(ALICE)[0];
    assert_eq!(challenge["endpoint"], "db");
    assert_eq!(challenge["also"], serde_json::json!(["cache"]));
    assert_eq!(challenge["realm"], "prod");
    host.approve(ALICE, &authenticator);
    db.connected();
    db.talks();
    other.connected();
    other.talks();
    assert_eq!(prompts(&host, ALICE), 1);
    let mut left: Vec<_> = host
        .grants(ALICE)
        .iter()
        .map(|grant| {
            let seconds = grant["seconds_left"].as_u64().unwrap();
            (grant["endpoint"].as_str().unwrap().to_owned(), seconds)
        })
        .collect();
    left.sort();
    let [(first, of_cache), (second, of_db)] = left.as_slice() else {
        panic!("{left:?}");
    };
    assert_eq!((first.as_str(), second.as_str()), ("cache", "db"));
    assert!((100..=120).contains(of_cache), "{of_cache}");
    assert!((580..=600).contains(of_db), "{of_db}");
}

#[test]
fn a_refusal_refuses_every_connection_of_the_realm_and_the_next_one_for_a_while() {
    let host = Host::builder().policy(&policy(&one_realm(""))).build();
    let cache = cache(&host);
    let _authenticator = host.enroll(ALICE);
    let db = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    let other = host.connect_to(ALICE, cache.address());
    host.wait_for_waiting(ALICE, 2);
    host.stile(ALICE, &["deny"]).succeeded();
    assert_eq!(db.refused().0, Errno::ECONNABORTED);
    assert_eq!(other.refused().0, Errno::ECONNABORTED);
    assert_eq!(
        host.connect_to(ALICE, cache.address()).refused().0,
        Errno::ECONNABORTED
    );
    assert_eq!(prompts(&host, ALICE), 1);
    assert_eq!((host.server().accepted(), cache.accepted()), (0, 0));
}

#[test]
fn a_rule_that_asks_for_each_connection_joins_nothing() {
    let rules = one_realm("scope = \"socket\"");
    let host = Host::builder().policy(&policy(&rules)).build();
    let cache = cache(&host);
    let authenticator = host.enroll(ALICE);
    let db = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    let other = host.connect_to(ALICE, cache.address());
    let challenges = host.wait_for_challenges(ALICE, 2);
    let first = challenges[0]["id"].as_u64();
    host.answer(ALICE, first, &authenticator.fresh_code())
        .succeeded();
    db.connected();
    other.still_waits();
}

#[test]
fn who_is_asked_too_often_within_an_hour_is_asked_no_more_and_others_still_are() {
    let rules = step_up("db", "db", "scope = \"process\"");
    let host = Host::builder()
        .settings("prompts_per_hour = 2\n")
        .policy(&policy(&rules))
        .build();
    let authenticator = host.enroll(ALICE);
    let first = host.connect(ALICE);
    host.wait_for_challenges(ALICE, 1);
    let second = host.connect(ALICE);
    let challenges = host.wait_for_challenges(ALICE, 2);
    let third = host.connect(ALICE);
    assert_eq!(third.refused().0, Errno::ECONNABORTED);
    let records = host.audit().records();
    let denied = records
        .of("decision")
        .into_iter()
        .find(|record| record["outcome"] == "deny");
    let reason = denied.unwrap()["reason"].as_str().unwrap();
    assert!(
        reason.contains("asked too often within an hour"),
        "{reason}"
    );
    let _bob = host.connect(BOB);
    host.wait_for_challenges(BOB, 1);
    let id = challenges[0]["id"].as_u64();
    host.answer(ALICE, id, &authenticator.fresh_code())
        .succeeded();
    first.connected();
    second.still_waits();
}
