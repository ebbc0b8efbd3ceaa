// SPDX-License-Identifier: Apache-2.0 OR MIT
use serde_json::{Value, json};

use super::*;
use crate::policy::testing::{ENDPOINT, FakeNames, policy};

fn rule(keys: &str) -> Policy {
    policy(&format!(
        "{ENDPOINT}[[rule]]\nname = \"r\"\nendpoints = [\"db\"]\n{keys}\n"
    ))
}

fn step_up(more: &str) -> Policy {
    rule(&format!(
        "users = [\"*\"]\naction = \"step-up\"\nttl = \"15m\"\n{more}"
    ))
}

/// What alice (1000) tries at this time, with this socket.
fn attempt(time: &str, socket: u64) -> Value {
    json!({
        "time": format!("2026-01-{time}Z"), "event": "attempt", "socket": socket,
        "subject": { "uid": 1000, "user": "alice" },
        "process": { "pid": 7, "uid": 1000, "exe": "/usr/bin/psql", "comm": "psql",
            "parent_pid": 1, "parent_exe": null,
            "cgroup": "/user.slice/user-1000.slice/session-3.scope" },
        "destination": { "address": "10.0.0.1", "port": 5432, "protocol": "tcp",
            "endpoint": "db" },
        "disposition": "held",
    })
}

fn with(mut record: Value, path: &str, value: impl Into<Value>) -> Value {
    *record.pointer_mut(path).unwrap() = value.into();
    record
}

fn log(records: &[Value]) -> String {
    records.iter().map(|record| format!("{record}\n")).collect()
}

fn told(policy: &Policy, records: &[Value]) -> Forecast {
    let names = FakeNames::default().user("alice", 1000, &[("dba", 100)]);
    forecast(policy, &names, log(records).as_bytes(), None).unwrap()
}

/// How many prompts these attempts take.
fn prompts(policy: &Policy, records: &[Value]) -> u64 {
    told(policy, records)
        .prompts
        .iter()
        .map(|one| one.prompts)
        .sum()
}

#[test]
fn a_proof_counts_until_its_time_is_over() {
    let policy = step_up("");
    let at = |minute: u64| attempt(&format!("05T10:{minute:02}:00"), minute);
    assert_eq!(prompts(&policy, &[at(0), at(1), at(14)]), 1);
    assert_eq!(prompts(&policy, &[at(0), at(15)]), 2);
    // From the proof on, and not from its last use.
    assert_eq!(prompts(&policy, &[at(0), at(14), at(16)]), 2);
}

#[test]
fn a_proof_counts_for_what_its_scope_says() {
    let first = || attempt("05T10:00:00", 1);
    let later = || attempt("05T10:01:00", 2);
    let same = [first(), later()];
    let process = [first(), with(later(), "/process/pid", 8)];
    let other_unit = "/user.slice/user-1000.slice/session-4.scope";
    let unit = [first(), with(later(), "/process/cgroup", other_unit)];
    let user = [first(), with(later(), "/subject/uid", 1001)];
    for (scope, wanted) in [
        ("socket", [2, 2, 2, 2]),
        ("process", [1, 2, 1, 2]),
        ("unit", [1, 1, 2, 2]),
        ("user", [1, 1, 1, 2]),
    ] {
        let policy = step_up(&format!("scope = \"{scope}\""));
        let found = [&same, &process, &unit, &user].map(|log| prompts(&policy, log));
        assert_eq!(found, wanted, "{scope}");
    }
}

#[test]
fn rules_of_one_realm_share_a_proof() {
    let two = "[[endpoint]]\nname = \"web\"\nhosts = [\"10.0.0.2\"]\nports = [5432]\n";
    let rule = |name: &str, endpoint: &str, realm: &str| {
        format!(
            "[[rule]]\nname = \"{name}\"\nendpoints = [\"{endpoint}\"]\nusers = [\"*\"]\n\
             action = \"step-up\"\nrealm = \"{realm}\"\n"
        )
    };
    let log = [
        attempt("05T10:00:00", 1),
        with(
            attempt("05T10:01:00", 2),
            "/destination/address",
            "10.0.0.2",
        ),
    ];
    let with_realms = |one: &str, other: &str| {
        policy(
            &[
                ENDPOINT,
                two,
                &rule("a", "db", one),
                &rule("b", "web", other),
            ]
            .concat(),
        )
    };
    assert_eq!(prompts(&with_realms("prod", "prod"), &log), 1);
    assert_eq!(prompts(&with_realms("prod", "test"), &log), 2);
}

#[test]
fn what_a_grant_let_through_is_one_attempt_and_what_was_counted_so_many() {
    let granted = with(attempt("05T10:00:00", 1), "/disposition", "granted");
    let mut passed = with(attempt("05T10:00:00", 1), "/event", "connection");
    passed["passage"] = "passed".into();
    passed["grant"] = 1.into();
    let alone = with(passed.clone(), "/socket", 9);
    let released = with(alone.clone(), "/passage", "released");
    let counted = json!({
        "time": "2026-01-05T10:00:00Z", "event": "connections", "grant": 1,
        "subject": { "uid": 1000, "user": "alice" }, "endpoint": "db", "rule": "r",
        "count": 5000, "first_boot_ns": 1, "last_boot_ns": 2,
    });
    let policy = step_up("");
    let all = [granted, passed, alone, released, counted];
    let found = told(&policy, &all);
    assert_eq!((found.attempts, found.passed), (5002, 5001));
    let each = step_up("scope = \"socket\"");
    assert_eq!(prompts(&each, &all), 5002);
}

#[test]
fn refusals_are_told_by_user_endpoint_and_reason() {
    let policy = rule("users = [\"%dba\", \"!alice\"]\naction = \"step-up\"");
    let log = [attempt("05T10:00:00", 1), attempt("06T10:00:00", 2)];
    let found = told(&policy, &log);
    assert_eq!(
        found.refused,
        [Refused {
            user: "alice".to_owned(),
            endpoint: "db".to_owned(),
            attempts: 2,
            why: "no rule lets this user through".to_owned(),
        }]
    );
    let group = rule("users = [\"%dba\"]\naction = \"step-up\"");
    assert_eq!(prompts(&group, &log), 2);
}

#[test]
fn what_the_log_does_not_tell_is_said_and_counts_as_the_stricter() {
    let log = [attempt("05T10:00:00", 1)];
    let policy =
        rule("users = [\"*\"]\nwhen = { remote = false }\naction = \"allow\"\nttl = \"1h\"");
    let found = told(&policy, &log);
    assert_eq!(found.missing, ["login sessions"]);
    assert_eq!((found.unsure, found.passed, found.refused.len()), (1, 0, 1));
    // What it tells is used.
    for keys in [
        "programs = [\"/usr/bin/psql\"]",
        "when = { unit = [\"session-*.scope\"] }",
    ] {
        let policy = rule(&format!(
            "users = [\"*\"]\n{keys}\naction = \"allow\"\nttl = \"1h\""
        ));
        let found = told(&policy, &log);
        assert_eq!((found.passed, found.missing.len()), (1, 0), "{keys}");
    }
}

#[test]
fn an_endpoint_is_found_by_address_and_what_the_policy_leaves_out_is_not_asked_for() {
    let elsewhere = with(
        attempt("05T10:00:00", 1),
        "/destination/address",
        "10.9.9.9",
    );
    let renamed = with(attempt("05T10:00:00", 2), "/destination/endpoint", "former");
    let found = told(&step_up(""), &[elsewhere, renamed]);
    assert_eq!((found.attempts, found.unprotected), (2, 1));
    assert_eq!(found.prompts.len(), 1);
}

#[test]
fn an_observing_policy_is_told_as_if_it_were_enforced() {
    let mut policy = step_up("");
    policy.mode = crate::policy::Mode::Observe;
    let found = told(&policy, &[attempt("05T10:00:00", 1)]);
    assert_eq!((found.observed, found.prompts.len()), (1, 1));
}

#[test]
fn only_the_last_days_count_and_earlier_proofs_still_do() {
    let policy = step_up("");
    let records = [
        attempt("03T10:00:00", 1),
        attempt("04T23:55:00", 2),
        attempt("05T00:05:00", 3),
        attempt("05T10:00:00", 4),
    ];
    let names = FakeNames::default();
    let last = |days| forecast(&policy, &names, log(&records).as_bytes(), days).unwrap();
    let one = last(Some(1));
    assert_eq!((one.attempts, one.prompts[0].prompts), (2, 1));
    assert_eq!(last(Some(2)).attempts, 3);
    assert_eq!(last(None).asking[0].prompts, 3);
}

#[test]
fn a_broken_line_is_named_by_its_number() {
    let good = log(&[attempt("05T10:00:00", 1)]);
    let (policy, names) = (step_up(""), FakeNames::default());
    let error = |text: &str| {
        let found = forecast(&policy, &names, text.as_bytes(), None);
        found.unwrap_err().to_string()
    };
    let bare = log(&[json!({ "event": "attempt" })]);
    assert!(error(&format!("{good}{{nonsense\n")).starts_with("line 2: this is no record: "));
    assert!(error(&bare).starts_with("line 1: this is no record: missing field"));
    assert!(error(&good[..good.len() - 1]).starts_with("line 1: this record was cut short"));
    let long = format!("\"{}\"\n", "x".repeat(crate::audit::MAX_LINE));
    assert!(error(&long).starts_with("line 1: "));
    // What isn't about attempts is passed over.
    let other = log(&[json!({ "event": "daemon-stopped" })]);
    assert!(forecast(&policy, &names, other.as_bytes(), None).is_ok());
}
