// SPDX-License-Identifier: Apache-2.0 OR MIT
use super::*;
use crate::policy::testing::{FakeFacts, FakeNames, policy};

const RULES: &str = r#"
[[endpoint]]
name = "db"
hosts = ["10.0.0.1"]
ports = [5432]
[[rule]]
name = "never"
endpoints = ["db"]
users = ["%banned"]
action = "deny"
[[rule]]
name = "dba"
endpoints = ["db"]
users = ["%dba", "alice", 4000]
action = "step-up"
[[rule]]
name = "rest"
endpoints = ["*"]
users = ["*"]
action = "deny"
"#;

const NOON: &str = "2026-01-05T12:00:00Z";

fn matched(names: &FakeNames, uid: u32) -> (String, Vec<String>) {
    let policy = policy(RULES);
    let db = EndpointId::from_name("db");
    let (found, _) = evaluate(&policy, names, &FakeFacts::at(NOON), db, Uid(uid));
    let unsure = found.doubts.iter().map(|doubt| doubt.rule.name.to_string());
    let name = found.rule.map(|rule| rule.name.to_string());
    (name.unwrap_or_default(), unsure.collect())
}

#[test]
fn users_match_by_name_number_and_group() {
    let names = FakeNames::default()
        .user("alice", 1001, &[])
        .user("bob", 1002, &[("dba", 50)])
        .user("carol", 1003, &[])
        .user("dave", 1004, &[("dba", 50), ("banned", 51)]);
    for (uid, rule) in [
        (1001, "dba"),
        (1002, "dba"),
        (1003, "rest"),
        (1004, "never"),
    ] {
        assert_eq!(matched(&names, uid), (rule.to_owned(), vec![]), "{uid}");
    }
    assert_eq!(matched(&names, 4000).0, "dba", "a number needs no name");
}

#[test]
fn a_deny_rule_that_cannot_be_judged_denies() {
    let names = FakeNames::default()
        .user("alice", 1001, &[])
        .failing("banned");
    let both = ("never".to_owned(), vec!["never".to_owned()]);
    assert_eq!(matched(&names, 1001), both);
}

#[test]
fn a_step_up_rule_that_cannot_be_judged_does_not_let_through_whom_later_rules_deny() {
    let names = FakeNames::default()
        .user("alice", 1001, &[])
        .user("bob", 1002, &[])
        .failing("dba");
    let passed_over = ("rest".to_owned(), vec!["dba".to_owned()]);
    assert_eq!(matched(&names, 1002), passed_over);
    let named = ("dba".to_owned(), vec![]);
    assert_eq!(matched(&names, 1001), named, "another selector fits");
}
