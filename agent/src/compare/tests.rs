// SPDX-License-Identifier: Apache-2.0 OR MIT
use super::*;
use crate::policy::testing::{ENDPOINT, policy};

/// A policy with these rules for the endpoint "db": the keys of each.
fn with(rules: &[&str]) -> Policy {
    let rules = rules.iter().enumerate().map(|(at, keys)| {
        let name = char::from(b'a' + u8::try_from(at).unwrap());
        let name = if keys.contains("name =") {
            String::new()
        } else {
            format!("name = \"{name}\"\n")
        };
        format!("[[rule]]\n{name}endpoints = [\"db\"]\n{keys}\n")
    });
    policy(&[ENDPOINT.to_owned(), rules.collect()].concat())
}

/// `way users: before -> after` of each outcome that changes.
fn outcomes(old: &[&str], new: &[&str]) -> Vec<String> {
    let found = compare(&with(old), &with(new)).outcomes;
    let line = |one: OutcomeChange| {
        let laxer = if one.laxer { "laxer" } else { "not laxer" };
        format!("{laxer} {}: {} -> {}", one.users, one.before, one.after)
    };
    found.into_iter().map(line).collect()
}

const STEP_UP: &str = "users = [\"%dba\"]\naction = \"step-up\"\nttl = \"15m\"";

fn step_up(more: &str) -> String {
    format!("users = [\"%dba\"]\naction = \"step-up\"\n{more}")
}

#[test]
fn a_group_means_a_user_who_is_only_in_it() {
    let before = "users = [\"%dba\", \"alice\"]\naction = \"step-up\"\nttl = \"15m\"";
    let after = "users = [\"*\", \"!%dba\"]\naction = \"step-up\"\nttl = \"15m\"";
    assert_eq!(
        outcomes(&[before], &[after]),
        [
            "laxer *: deny (no rule) -> step-up 15m (a)",
            "not laxer %dba: step-up 15m (a) -> deny (no rule)",
        ]
    );
}

#[test]
fn each_way_to_be_laxer_is_seen_and_its_opposite_is_stricter() {
    for (before, after) in [
        ("ttl = \"15m\"", "ttl = \"16m\""),
        (
            "scope = \"process\"\nttl = \"15m\"",
            "scope = \"unit\"\nttl = \"15m\"",
        ),
        ("on_expiry = \"close\"", "on_expiry = \"keep\""),
        ("reason = {}", "reason = { required = false }"),
        ("reason = { required = false }", ""),
    ] {
        let (before, after) = (step_up(before), step_up(after));
        let way = |old: &str, new: &str| {
            let found = compare(&with(&[old]), &with(&[new])).outcomes;
            assert_eq!(found.len(), 1, "{after}");
            (found[0].laxer, found[0].way)
        };
        assert_eq!(way(&before, &after), (true, Way::Laxer), "{after}");
        assert_eq!(way(&after, &before), (false, Way::Stricter), "{after}");
    }
}

#[test]
fn laxer_in_one_way_and_stricter_in_another_is_marked_as_laxer() {
    let before = step_up("scope = \"socket\"\nttl = \"8h\"");
    let after = step_up("scope = \"user\"\nttl = \"15m\"");
    let found = compare(&with(&[&before]), &with(&[&after])).outcomes;
    assert_eq!((found[0].laxer, found[0].way), (true, Way::Other));
}

#[test]
fn a_rule_with_a_condition_changes_what_conditions_may_make_of_it() {
    let when = "users = [\"%dba\"]\nprograms = [\"/bin/x\"]\naction = \"allow\"\nttl = \"1h\"";
    let plain = format!("name = \"b\"\n{STEP_UP}");
    let both = compare(&with(&[&plain]), &with(&[when, &plain])).outcomes;
    assert_eq!(both.len(), 1, "{both:#?}");
    assert!(both[0].by_conditions && both[0].laxer);
    let back = compare(&with(&[when, &plain]), &with(&[&plain])).outcomes;
    assert!(back[0].by_conditions && !back[0].laxer, "{back:#?}");
    // A deny rule with a condition that goes away is laxer.
    let deny = "users = [\"%dba\"]\nwhen = { remote = true }\naction = \"deny\"";
    let gone = compare(&with(&[deny, &plain]), &with(&[&plain])).outcomes;
    assert!(gone[0].by_conditions && gone[0].laxer, "{gone:#?}");
}

#[test]
fn an_endpoint_that_is_no_longer_protected_is_laxer() {
    let two = "[[endpoint]]\nname = \"web\"\nhosts = [\"10.0.0.2\"]\nports = [443]\n";
    let deny = "[[rule]]\nname = \"r\"\nendpoints = [\"*\"]\nusers = [\"*\"]\naction = \"deny\"\n";
    let old = policy(&[ENDPOINT, two, deny].concat());
    let new = policy(&[ENDPOINT, deny].concat());
    let found = compare(&old, &new);
    assert_eq!(found.outcomes.len(), 1);
    assert_eq!(found.outcomes[0].after, "not protected");
    assert!(found.outcomes[0].laxer && found.endpoints[0].laxer);
    assert!(!compare(&new, &old).outcomes[0].laxer);
}

#[test]
fn a_policy_that_only_observes_lets_everybody_through() {
    let old = with(&[STEP_UP]);
    let text = format!(
        "[defaults]\nmode = \"observe\"\n{ENDPOINT}[[rule]]\nname = \"a\"\nendpoints = [\"db\"]\n{STEP_UP}"
    );
    let found = compare(&old, &policy(&text));
    assert_eq!(
        found.mode.map(|mode| mode.after),
        Some(Some("observe".to_owned()))
    );
    assert!(found.outcomes.iter().all(|change| change.laxer));
    assert_eq!(found.outcomes.len(), 2, "%dba and everybody else");
}

#[test]
fn a_rule_is_moved_only_if_others_of_both_policies_are_passed() {
    let rule = |name: &str| format!("name = \"{name}\"\nusers = [\"{name}\"]\naction = \"deny\"");
    let (a, b, c, d) = (rule("a"), rule("b"), rule("c"), rule("d"));
    let found = compare(&with(&[&a, &b, &c]), &with(&[&d, &b, &c, &a])).rules;
    let shown: Vec<_> = found
        .iter()
        .map(|one| (one.name.as_str(), one.change))
        .collect();
    assert_eq!(
        shown,
        [
            ("a", ItemChange::Moved { from: 1, to: 4 }),
            ("d", ItemChange::Added),
        ]
    );
}

#[test]
fn the_fields_that_change_are_shown_with_both_values() {
    let after = step_up("ttl = \"1h\"\nwarn = \"1m\"");
    let found = compare(&with(&[STEP_UP]), &with(&[&after])).rules;
    assert_eq!(found.len(), 1);
    let fields: Vec<_> = (found[0].fields.iter())
        .map(|one| (one.field, one.before.as_deref(), one.after.as_deref()))
        .collect();
    assert_eq!(
        fields,
        [("ttl", Some("15m"), Some("1h")), ("warn", None, Some("1m"))]
    );
}

#[test]
fn the_same_policy_compares_as_no_change() {
    let when = "users = [\"%dba\"]\nwhen = { remote = true }\naction = \"observe\"";
    assert!(compare(&with(&[when, STEP_UP]), &with(&[when, STEP_UP])).is_empty());
}

#[test]
fn an_emergency_that_is_new_or_other_is_laxer() {
    let rule = format!("[[rule]]\nname = \"a\"\nendpoints = [\"db\"]\n{STEP_UP}\n");
    let with = |emergency: &str| policy(&[ENDPOINT, "\n", &rule, emergency].concat());
    let once = "[[break_glass]]\nendpoints = [\"db\"]\nusers = [\"%oncall\"]\n";
    let added = compare(&with(""), &with(once)).risk;
    assert_eq!(added.len(), 1);
    assert!(added[0].laxer);
    let name = "break glass to db for %oncall: 1h, 1 a day, by any factor of assurance 1, \
                with a reason (required)";
    assert_eq!(added[0].name, name);
    let twice = format!("{once}per_day = 2\n");
    let other = compare(&with(once), &with(&twice)).risk;
    assert_eq!(other.len(), 2);
    assert!(other.iter().all(|one| one.laxer));
}
