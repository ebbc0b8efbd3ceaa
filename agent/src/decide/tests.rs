// SPDX-License-Identifier: Apache-2.0 OR MIT
use std::time::Duration;

use super::*;
use crate::ids::EndpointId;
use crate::policy::testing::{FakeFacts, FakeNames, policy};

const POLICY: &str = r#"
[[endpoint]]
name = "db"
hosts = ["10.0.0.1"]
ports = [5432]

[[endpoint]]
name = "lab"
hosts = ["10.0.0.2"]
ports = [5432]

[[rule]]
name = "no contractors"
endpoints = ["*"]
users = ["%contractors"]
action = "deny"

[[rule]]
name = "dba"
endpoints = ["db"]
users = ["%dba"]
action = "step-up"
ttl = "10m"

[[rule]]
name = "each time"
endpoints = ["db"]
users = ["ops"]
action = "step-up"
scope = "socket"

[[rule]]
name = "free"
endpoints = ["db"]
users = ["robot"]
action = "allow"
ttl = "1h"
"#;

const TTL: Duration = Duration::from_secs(600);
const NOW: BootTime = BootTime(5_000_000_000_000);

fn names() -> FakeNames {
    FakeNames::default()
        .user("alice", 1001, &[("dba", 50)])
        .user("ops", 1002, &[])
        .user("robot", 1003, &[])
        .user("mallory", 1004, &[("dba", 50), ("contractors", 60)])
        .user("nobody-special", 1005, &[])
}

fn ask(names: &FakeNames, subject: u32, endpoint: &str, facts: &[ElevationFact<'_>]) -> Decided {
    let question = Question {
        subject: Uid(subject),
        endpoint: EndpointId::from_name(endpoint),
    };
    let known = Known {
        facts: &FakeFacts::at("2026-01-05T12:00:00Z"),
        holder: &Holder::default(),
    };
    decide(
        &policy(POLICY),
        names,
        question,
        known,
        facts.iter().copied(),
        NOW,
    )
}

fn denial(decided: Decided) -> (Option<String>, DenialReason) {
    match decided.decision {
        Decision::Deny(denial) => (denial.rule().map(ToString::to_string), denial.reason()),
        other => panic!("not denied: {other:?}"),
    }
}

fn challenged_by(decided: &Decided) -> Option<&str> {
    match &decided.decision {
        Decision::Challenge(order) => Some(order.offer().rule.as_str()),
        _ => None,
    }
}

fn fact(id: u64, realm: &str, proven: u64) -> ElevationFact<'_> {
    ElevationFact {
        id: ElevationId(id),
        factor: &Factor::Totp,
        assurance: Assurance::LOW,
        realm,
        bound: &Bound::User,
        proven: BootTime(proven),
        until: None,
        reason: None,
    }
}

#[test]
fn a_step_up_rule_asks_for_proof() {
    let decided = ask(&names(), 1001, "db", &[]);
    let Decision::Challenge(order) = decided.decision else {
        panic!("{decided:?}");
    };
    assert_eq!(order.offer().rule.as_str(), "dba");
    assert_eq!(order.question().subject, Uid(1001));
    assert_eq!(order.offer().terms.ttl, TTL);
    assert_eq!(*order.proof(), Proof::default());
}

#[test]
fn a_fresh_elevation_of_the_realm_is_enough_and_the_latest_one_counts() {
    let facts = [
        fact(1, "dba", 4_600_000_000_000),
        fact(2, "dba", 4_700_000_000_000),
    ];
    let decided = ask(&names(), 1001, "db", &facts);
    let Decision::Elevated(permit) = decided.decision else {
        panic!("{decided:?}");
    };
    assert_eq!(permit.id(), ElevationId(2));
    assert_eq!(permit.expires(), BootTime(4_700_000_000_000).after(TTL));
}

#[test]
fn an_elevation_ends_at_its_very_time() {
    let over = NOW.0 - u64::try_from(TTL.as_nanos()).unwrap();
    let asked = ask(&names(), 1001, "db", &[fact(1, "dba", over)]);
    assert_eq!(challenged_by(&asked), Some("dba"));
    let live = ask(&names(), 1001, "db", &[fact(1, "dba", over + 1)]);
    assert!(matches!(live.decision, Decision::Elevated(_)));
}

#[test]
fn an_elevation_of_another_realm_or_of_the_future_is_none() {
    for fact in [fact(1, "each time", NOW.0), fact(2, "dba", NOW.0 + 1)] {
        assert_eq!(
            challenged_by(&ask(&names(), 1001, "db", &[fact])),
            Some("dba")
        );
    }
}

#[test]
fn a_rule_for_one_connection_asks_each_time() {
    let decided = ask(&names(), 1002, "db", &[fact(1, "each time", NOW.0)]);
    assert_eq!(challenged_by(&decided), Some("each time"));
}

#[test]
fn an_allow_rule_allows() {
    let decided = ask(&names(), 1003, "db", &[]);
    let Decision::Allow(permit) = decided.decision else {
        panic!("{decided:?}");
    };
    assert_eq!(permit.offer().rule.as_str(), "free");
    assert_eq!(permit.offer().terms.ttl, Duration::from_secs(3600));
}

#[test]
fn the_first_matching_rule_counts_whatever_was_proven() {
    let decided = ask(&names(), 1004, "db", &[fact(1, "dba", NOW.0)]);
    let rule = Some("no contractors".to_owned());
    assert_eq!(denial(decided), (rule, DenialReason::ByRule));
}

#[test]
fn who_is_not_named_is_denied() {
    assert_eq!(
        denial(ask(&names(), 1005, "db", &[])),
        (None, DenialReason::NoRule)
    );
    assert_eq!(
        denial(ask(&names(), 1001, "lab", &[])),
        (None, DenialReason::NoRule)
    );
}

#[test]
fn a_subject_or_endpoint_that_nobody_knows_is_denied() {
    for uid in [stile_common::UID_UNKNOWN, stile_common::UID_ANY] {
        let reason = denial(ask(&names(), uid, "db", &[])).1;
        assert_eq!(reason, DenialReason::UnknownSubject);
    }
    let reason = denial(ask(&names(), 1001, "gone", &[])).1;
    assert_eq!(reason, DenialReason::UnknownEndpoint);
}

#[test]
fn a_deny_rule_that_cannot_be_judged_denies_and_says_so() {
    let decided = ask(&names().failing("contractors"), 1001, "db", &[]);
    assert_eq!(decided.doubts.len(), 1);
    let rule = Some("no contractors".to_owned());
    assert_eq!(denial(decided), (rule, DenialReason::Unsure));
}

#[test]
fn a_step_up_rule_that_cannot_be_judged_lets_nobody_through() {
    let decided = ask(
        &names().failing("dba"),
        1001,
        "db",
        &[fact(1, "dba", NOW.0)],
    );
    assert_eq!(decided.doubts.len(), 1);
    assert_eq!(
        denial(decided),
        (Some("dba".to_owned()), DenialReason::Unsure)
    );
}

#[test]
fn an_allow_rule_behind_a_step_up_rule_that_cannot_be_judged_does_not_allow_without_proof() {
    let decided = ask(&names().failing("dba"), 1003, "db", &[]);
    assert_eq!(challenged_by(&decided), Some("dba"));
}

#[test]
fn a_step_up_rule_behind_one_that_cannot_be_judged_still_asks() {
    let decided = ask(&names().failing("dba"), 1002, "db", &[]);
    assert_eq!(challenged_by(&decided), Some("each time"));
    assert_eq!(decided.doubts.len(), 1);
}

#[test]
fn a_denial_reads_as_a_sentence() {
    let decided = ask(&names(), 1004, "db", &[]);
    let Decision::Deny(denial) = decided.decision else {
        panic!("{decided:?}");
    };
    assert_eq!(denial.to_string(), "denied (rule \"no contractors\")");
}

/// What a rule of realm "r" that asks for this decides about these elevations.
fn asked_for(keys: &str, facts: &[ElevationFact<'_>]) -> Decision {
    let mut policy = policy(&format!(
        "[[endpoint]]\nname = \"db\"\nhosts = [\"10.0.0.1\"]\nports = [5432]\n\n[[rule]]\n\
         name = \"r\"\nendpoints = [\"db\"]\nusers = [\"*\"]\naction = \"step-up\"\nttl = \"10m\"\n{keys}\n"
    ));
    let finger = "stile-finger".parse().unwrap();
    policy.levels = Levels::new([(finger, Assurance::MEDIUM)]);
    let question = Question {
        subject: Uid(1001),
        endpoint: EndpointId::from_name("db"),
    };
    let known = Known {
        facts: &FakeFacts::at("2026-01-05T12:00:00Z"),
        holder: &Holder::default(),
    };
    let facts = facts.iter().copied();
    decide(&policy, &names(), question, known, facts, NOW).decision
}

#[test]
fn several_factors_together_are_each_asked_for_and_the_first_to_end_ends_the_grant() {
    let keys = "all = [\"totp\", \"pam:stile-finger\"]";
    let finger = Factor::Pam("stile-finger".parse().unwrap());
    let code = fact(1, "r", 4_700_000_000_000);
    let touch = ElevationFact {
        factor: &finger,
        assurance: Assurance::MEDIUM,
        ..fact(2, "r", 4_600_000_000_000)
    };
    for lacking in [&[][..], &[code], &[touch], &[code, code]] {
        let decision = asked_for(keys, lacking);
        assert!(matches!(decision, Decision::Challenge(_)), "{lacking:?}");
    }
    let Decision::Elevated(permit) = asked_for(keys, &[code, touch]) else {
        panic!("both were given");
    };
    assert_eq!(permit.id(), ElevationId(2));
    assert_eq!(permit.expires(), BootTime(4_600_000_000_000).after(TTL));
    let stale = ElevationFact {
        proven: BootTime(0),
        ..touch
    };
    let decision = asked_for(keys, &[code, stale]);
    assert!(matches!(decision, Decision::Challenge(_)));
}

#[test]
fn what_nobody_can_prove_on_this_host_is_denied_at_once() {
    for keys in [
        "factors = [\"pam:stile-absent\"]",
        "all = [\"totp\", \"pam:stile-absent\"]",
        "assurance = 3",
    ] {
        let Decision::Deny(denial) = asked_for(keys, &[]) else {
            panic!("{keys}");
        };
        assert_eq!(denial.reason(), DenialReason::Unprovable, "{keys}");
    }
    let either = "factors = [\"totp\", \"pam:stile-absent\"]";
    assert!(matches!(asked_for(either, &[]), Decision::Challenge(_)));
}

#[test]
fn a_level_is_met_by_what_is_worth_so_much_and_a_stronger_factor_meets_a_weaker_rule() {
    let finger = Factor::Pam("stile-finger".parse().unwrap());
    let code = fact(1, "r", 4_700_000_000_000);
    let touch = ElevationFact {
        factor: &finger,
        assurance: Assurance::MEDIUM,
        ..code
    };
    assert!(matches!(
        asked_for("assurance = 2", &[code]),
        Decision::Challenge(_)
    ));
    assert!(matches!(
        asked_for("assurance = 2", &[touch]),
        Decision::Elevated(_)
    ));
    assert!(matches!(asked_for("", &[touch]), Decision::Elevated(_)));
    let only = "factors = [\"pam:stile-finger\"]";
    assert!(matches!(asked_for(only, &[code]), Decision::Challenge(_)));
    let recovery = ElevationFact {
        factor: &Factor::Recovery,
        ..code
    };
    assert!(matches!(asked_for("", &[recovery]), Decision::Elevated(_)));
    assert!(matches!(
        asked_for("recovery = false", &[recovery]),
        Decision::Challenge(_)
    ));
}

/// What alice gets of a policy that lets her, or her group, to the database in an emergency, after
/// these proofs.
fn in_emergency(keys: &str, facts: &[ElevationFact<'_>]) -> Decision {
    let text = format!("{POLICY}\n[[break_glass]]\nendpoints = [\"db\"]\n{keys}\n",)
        .replace("users = [\"%dba\"]", "users = [\"somebody-else\"]");
    let policy = policy(&text);
    let names = names().user("somebody-else", 1009, &[]);
    let question = Question {
        subject: Uid(1001),
        endpoint: EndpointId::from_name("db"),
    };
    let known = Known {
        facts: &FakeFacts::at("2026-01-05T12:00:00Z"),
        holder: &Holder::default(),
    };
    let facts = facts.iter().copied();
    decide(&policy, &names, question, known, facts, NOW).decision
}

#[test]
fn an_emergency_lets_through_past_the_rules_while_it_lasts() {
    let bound = Bound::Emergency("db".to_owned());
    let broken = ElevationFact {
        bound: &bound,
        reason: Some("the primary is down"),
        until: Some(BootTime(5_100_000_000_000)),
        ..fact(1, "break glass", 4_900_000_000_000)
    };
    let users = "users = [\"alice\"]";
    let Decision::Elevated(permit) = in_emergency(users, &[broken]) else {
        panic!("there is an emergency");
    };
    assert_eq!(permit.offer().rule.as_str(), "break glass");
    assert_eq!(permit.expires(), BootTime(5_100_000_000_000));
    let denied = |keys: &str, facts: &[ElevationFact<'_>]| {
        let decision = in_emergency(keys, facts);
        assert!(
            matches!(decision, Decision::Deny(_)),
            "{keys}: {decision:?}"
        );
    };
    denied(users, &[]);
    denied("users = [\"ops\"]", &[broken]);
    denied("users = [\"alice\", \"!%dba\"]", &[broken]);
    denied("users = [\"alice\"]\nfactors = [\"recovery\"]", &[broken]);
    denied(
        users,
        &[ElevationFact {
            until: Some(NOW),
            ..broken
        }],
    );
    denied(
        users,
        &[ElevationFact {
            reason: None,
            ..broken
        }],
    );
    denied(
        users,
        &[ElevationFact {
            reason: Some("short"),
            ..broken
        }],
    );
    let elsewhere = Bound::Emergency("lab".to_owned());
    denied(
        users,
        &[ElevationFact {
            bound: &elsewhere,
            ..broken
        }],
    );
    // A proof for a rule whose realm is called like that is no emergency.
    denied(
        users,
        &[ElevationFact {
            bound: &Bound::User,
            ..broken
        }],
    );
}

#[test]
fn a_proof_in_an_emergency_counts_for_no_rule() {
    let bound = Bound::Emergency("db".to_owned());
    let broken = ElevationFact {
        bound: &bound,
        ..fact(1, "dba", 4_900_000_000_000)
    };
    let decided = ask(&names(), 1001, "db", &[broken]);
    assert_eq!(challenged_by(&decided), Some("dba"));
}
