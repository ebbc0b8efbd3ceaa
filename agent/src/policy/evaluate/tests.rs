// SPDX-License-Identifier: Apache-2.0 OR MIT
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::policy::testing::{FakeFacts, FakeNames, policy};
use crate::policy::{
    Days, EndpointSelector, First, HourSpan, OnExpiry, Pattern, ProgramSelector, Proof, Response,
    Risk, RuleName, Terms, Threshold, UserSelector, Window,
};

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

/// The rules of a policy with one endpoint, each for everybody, with these actions.
fn rules(actions: &[&str]) -> Policy {
    let mut text =
        String::from("[[endpoint]]\nname = \"db\"\nhosts = [\"10.0.0.1\"]\nports = [5432]\n");
    for (at, action) in actions.iter().enumerate() {
        text += &format!(
            "[[rule]]\nname = \"r{at}\"\nendpoints = [\"db\"]\nusers = [\"*\"]\naction = {action}\n"
        );
    }
    policy(&text)
}

fn judged<'p>(policy: &'p Policy, facts: &FakeFacts) -> Evaluation<'p> {
    let names = FakeNames::default();
    evaluate(policy, &names, facts, EndpointId::from_name("db"), Uid(1)).0
}

fn name_of(rule: Option<&Rule>) -> Option<&str> {
    rule.map(|rule| rule.name.as_str())
}

fn remote(wanted: bool) -> Vec<Condition> {
    vec![Condition(vec![Test::Remote(wanted)])]
}

const DENY: &str = "\"deny\"";
const ASK: &str = "\"step-up\"";
const ALLOW: &str = "\"allow\"\nttl = \"1h\"";

#[test]
fn a_condition_decides_and_another_connection_may_be_judged_differently() {
    let mut policy = rules(&[ASK, ALLOW]);
    policy.rules[0].when = remote(true);
    let near = FakeFacts::at(NOON).remote(false);
    let far = FakeFacts::at(NOON).remote(true);
    let (near, far) = (judged(&policy, &near), judged(&policy, &far));
    assert_eq!(name_of(near.rule), Some("r1"));
    assert_eq!(name_of(far.rule), Some("r0"));
    assert!(near.varies && far.varies);
}

#[test]
fn a_condition_whose_facts_cannot_be_had_counts_as_the_stricter_case() {
    let mut asks_far = rules(&[ASK, ALLOW]);
    asks_far.rules[0].when = remote(true);
    let found = judged(&asks_far, &FakeFacts::at(NOON));
    assert_eq!(name_of(found.rule), Some("r0"), "asking is stricter");
    assert_eq!(found.doubts.len(), 1);

    let mut allows_near = rules(&[ALLOW, ASK]);
    allows_near.rules[0].when = remote(false);
    let found = judged(&allows_near, &FakeFacts::at(NOON));
    assert_eq!(name_of(found.rule), Some("r1"), "allowing is not");

    let mut denies_far = rules(&[DENY, ASK]);
    denies_far.rules[0].when = remote(true);
    let found = judged(&denies_far, &FakeFacts::at(NOON));
    assert_eq!(found.action, Action::Deny);
}

#[test]
fn a_table_is_and_and_a_list_of_tables_is_or() {
    let mut policy = rules(&[ASK]);
    policy.rules[0].when = vec![
        Condition(vec![Test::Remote(true), Test::Terminal(true)]),
        Condition(vec![Test::Terminal(false)]),
    ];
    for (far, terminal, fits) in [
        (true, true, true),
        (false, true, false),
        (true, false, true),
        (false, false, true),
    ] {
        let mut facts = FakeFacts::at(NOON).remote(far);
        facts.has_terminal = Some(terminal);
        assert_eq!(
            judged(&policy, &facts).rule.is_some(),
            fits,
            "{far} {terminal}"
        );
    }
}

#[test]
fn a_program_is_known_by_its_path_its_file_and_its_content() {
    let mut policy = rules(&[ASK]);
    policy.rules[0].programs = vec![ProgramSelector {
        path: Pattern::new("/usr/lib/postgresql/*/bin/psql"),
        sha256: Some([7; 32]),
    }];
    let psql = || FakeFacts::at(NOON).running("/usr/lib/postgresql/15/bin/psql");
    let with_digest = |digest| FakeFacts {
        digest: Some([digest; 32]),
        ..psql()
    };
    assert!(judged(&policy, &with_digest(7)).rule.is_some());
    assert!(judged(&policy, &with_digest(8)).rule.is_none());
    assert!(
        judged(&policy, &psql()).rule.is_none(),
        "nobody knows its content"
    );
    let other = FakeFacts {
        digest: Some([7; 32]),
        ..FakeFacts::at(NOON).running("/tmp/psql")
    };
    assert!(judged(&policy, &other).rule.is_none());
    let mut replaced = with_digest(7);
    replaced.program.as_mut().unwrap().doubt = Some("it was replaced".into());
    let found = judged(&policy, &replaced);
    assert!(found.rule.is_none());
    assert_eq!(found.doubts[0].why.to_string(), "it was replaced");
}

#[test]
fn who_is_excepted_is_not_meant_and_a_wrong_name_excepts_everybody() {
    let mut policy = rules(&[ASK]);
    policy.rules[0].except = vec![UserSelector::Group("contractors".to_owned())];
    let names =
        FakeNames::default()
            .user("alice", 1, &[])
            .user("mallory", 2, &[("contractors", 50)]);
    let db = EndpointId::from_name("db");
    let asked = |names: &FakeNames, uid| {
        let facts = FakeFacts::at(NOON);
        evaluate(&policy, names, &facts, db, Uid(uid))
            .0
            .rule
            .is_some()
    };
    assert!(asked(&names, 1));
    assert!(!asked(&names, 2));
    let nobody_knows_the_group = FakeNames::default().user("alice", 1, &[]);
    assert!(!asked(&nobody_knows_the_group, 1));
}

#[test]
fn a_grant_ends_when_a_window_that_was_asked_for_changes() {
    let mut policy = rules(&[DENY, ALLOW]);
    let night = Window {
        days: Days::ALL,
        hours: vec![HourSpan::new(22 * 60, 6 * 60).unwrap()],
        zone: jiff::tz::TimeZone::UTC,
    };
    policy.rules[0].when = vec![Condition(vec![Test::Time(night)])];
    let found = judged(&policy, &FakeFacts::at(NOON));
    assert_eq!(name_of(found.rule), Some("r1"));
    assert_eq!(found.until, Some("2026-01-05T22:00:00Z".parse().unwrap()));
    assert!(!found.varies, "the time is the same for all connections");
}

#[test]
fn what_is_unusual_makes_a_rule_stricter_and_says_so() {
    let mut policy = rules(&[ALLOW]);
    let risk = |name: &str, points, test| Risk {
        name: RuleName::new(name).unwrap(),
        endpoints: EndpointSelector::All,
        points,
        when: vec![Condition(vec![test])],
    };
    policy.risks = vec![
        risk("new program", 30, Test::ProgramFirstSeen(true)),
        risk("from afar", 40, Test::Remote(true)),
    ];
    policy.thresholds = vec![
        Threshold {
            points: 30,
            response: Response::StepUp {
                ttl: Some(Duration::from_secs(60)),
                proof: None,
            },
        },
        Threshold {
            points: 70,
            response: Response::Deny,
        },
    ];
    let facts = |new, far| FakeFacts {
        is_program_new: Some(new),
        ..FakeFacts::at(NOON).remote(far)
    };
    let usual = judged(&policy, &facts(false, false));
    assert!(matches!(usual.action, Action::Allow { .. }) && usual.varies);
    let new = judged(&policy, &facts(true, false));
    let Action::StepUp { terms, .. } = &new.action else {
        panic!("{:?}", new.action);
    };
    assert_eq!((terms.ttl, new.points()), (Duration::from_secs(60), 30));
    assert_eq!(judged(&policy, &facts(true, true)).action, Action::Deny);
    let unknown = judged(&policy, &FakeFacts::at(NOON));
    assert_eq!(unknown.action, Action::Deny, "what can't be told counts");
    assert!(unknown.risk.iter().all(|found| found.doubt.is_some()));
}

#[test]
fn an_observing_rule_says_what_would_have_happened() {
    let mut policy = rules(&[ASK, ASK, DENY]);
    policy.rules[1].action = Action::Observe;
    policy.rules[0].when = remote(true);
    let near = judged(&policy, &FakeFacts::at(NOON).remote(false));
    assert_eq!(name_of(near.observed), Some("r1"));
    assert_eq!(near.action, Action::Deny);
    let nobody_knows = judged(&policy, &FakeFacts::at(NOON));
    assert_eq!(name_of(nobody_knows.observed), None, "it may be from afar");
    assert_eq!(name_of(nobody_knows.rule), Some("r0"));
}

/// What a rule may come to in the drawn policies, the strictest first.
fn an_action() -> impl Strategy<Value = Action> {
    let terms = |scope, seconds| Terms {
        scope,
        ttl: Duration::from_secs(seconds),
        on_expiry: OnExpiry::Close,
        warn: None,
    };
    let first = First::Reject;
    let ask = move |scope, seconds| Action::StepUp {
        terms: terms(scope, seconds),
        first,
        proof: Proof::default(),
        realm: RuleName::new("r").unwrap(),
    };
    proptest::sample::select(vec![
        Action::Deny,
        ask(Scope::Socket, 60),
        ask(Scope::User, 60),
        ask(Scope::User, 600),
        Action::Allow {
            terms: terms(Scope::User, 60),
            first,
        },
        Action::Observe,
    ])
}

/// Whether a rule fits, if that can be told, by the one condition that it has.
fn with_fits(policy: &mut Policy, fits: &[Option<bool>]) {
    for (rule, fits) in policy.rules.iter_mut().zip(fits) {
        rule.when = vec![Condition(vec![match fits {
            Some(true) => Test::Remote(true),
            Some(false) => Test::Remote(false),
            None => Test::Terminal(true),
        }])];
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    /// A plain reading: in each of the worlds that the doubts leave open, the first rule that
    /// fits counts; the strictest of those worlds is taken for the real one.
    #[test]
    fn doubts_are_decided_as_in_the_strictest_of_all_worlds(
        drawn in proptest::collection::vec((an_action(), proptest::option::weighted(0.6, proptest::bool::ANY)), 0..6),
    ) {
        let mut policy = rules(&vec![DENY; drawn.len()]);
        for (rule, (action, _)) in policy.rules.iter_mut().zip(&drawn) {
            rule.action = action.clone();
        }
        let fits: Vec<_> = drawn.iter().map(|(_, fits)| *fits).collect();
        with_fits(&mut policy, &fits);
        let found = judged(&policy, &FakeFacts::at(NOON).remote(true));

        let doubts: Vec<_> = (0..fits.len()).filter(|at| fits[*at].is_none()).collect();
        let strictest = (0..1_u32 << doubts.len())
            .map(|world| {
                (0..fits.len()).find(|at| match doubts.iter().position(|doubt| doubt == at) {
                    Some(bit) => world & (1 << bit) != 0,
                    None => fits[*at] == Some(true),
                })
            })
            .min_by(|one, other| {
                let action = |first: &Option<usize>| first.map_or(Action::Deny, |at| drawn[at].0.clone());
                // Nobody's rule is no stricter than somebody's: the log names the one.
                strictness(&action(one), &action(other))
                    .then_with(|| one.unwrap_or(usize::MAX).cmp(&other.unwrap_or(usize::MAX)))
            })
            .flatten();
        match strictest.map(|at| &drawn[at].0) {
            // Which one of several observes is for the log only.
            Some(Action::Observe) => prop_assert!(found.observed.is_some()),
            _ => {
                prop_assert!(found.observed.is_none());
                prop_assert_eq!(name_of(found.rule), strictest.map(|at| policy.rules[at].name.as_str()));
            }
        }
    }
}
