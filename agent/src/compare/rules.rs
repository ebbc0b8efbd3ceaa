// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What changes of rules.

use std::collections::HashMap;
use std::time::Duration;

use super::{Item, ItemChange, changed_fields, listed};
use crate::config::format_duration;
use crate::policy::{
    Action, Condition, EndpointSelector, First, OnExpiry, Policy, ProgramSelector, Rule,
    UserSelector,
};

/// What a rule is known by: its name and its role, and which one of several it is that have both.
type Key<'p> = (&'p str, Option<&'p str>, usize);

pub(super) fn changes(old: &Policy, new: &Policy) -> Vec<Item> {
    let (before, after) = (keys(old), keys(new));
    let now: HashMap<_, _> = after
        .iter()
        .enumerate()
        .map(|(at, key)| (*key, at))
        .collect();
    let common: Vec<_> = before
        .iter()
        .enumerate()
        .filter_map(|(from, key)| Some((from, *now.get(key)?)))
        .collect();
    let mut stays = vec![false; after.len()];
    for to in longest_rising(&common.iter().map(|(_, to)| *to).collect::<Vec<_>>()) {
        stays[to] = true;
    }
    let mut items = Vec::new();
    let mut is_common = vec![false; after.len()];
    for (from, key) in before.iter().enumerate() {
        let Some(&to) = now.get(key) else {
            items.push(item(key, ItemChange::Removed));
            continue;
        };
        is_common[to] = true;
        let fields = changed_fields(fields(old, &old.rules[from]), fields(new, &new.rules[to]));
        if !stays[to] {
            let moved = ItemChange::Moved {
                from: from + 1,
                to: to + 1,
            };
            items.push(Item {
                fields,
                ..item(key, moved)
            });
        } else if !fields.is_empty() {
            items.push(Item {
                fields,
                ..item(key, ItemChange::Changed)
            });
        }
    }
    let added = after
        .iter()
        .zip(is_common)
        .filter(|(_, is_common)| !is_common);
    items.extend(added.map(|(key, _)| item(key, ItemChange::Added)));
    items
}

fn keys(policy: &Policy) -> Vec<Key<'_>> {
    let mut seen: HashMap<_, usize> = HashMap::new();
    policy
        .rules
        .iter()
        .map(|rule| {
            let name = rule.name.as_str();
            let role = rule.role.as_ref().map(|role| role.as_str());
            let seen = seen.entry((name, role)).or_default();
            *seen += 1;
            (name, role, *seen)
        })
        .collect()
}

/// How a rule made for a role is called.
pub(super) fn name_of(rule: &Rule) -> String {
    named(
        rule.name.as_str(),
        rule.role.as_ref().map(|role| role.as_str()),
    )
}

fn named(name: &str, role: Option<&str>) -> String {
    match role {
        Some(role) => format!("{name} (@{role})"),
        None => name.to_owned(),
    }
}

/// What a rule changes by itself depends on those before it; the outcomes say.
fn item((name, role, _): &Key<'_>, change: ItemChange) -> Item {
    Item {
        name: named(name, *role),
        change,
        laxer: false,
        fields: Vec::new(),
    }
}

/// The most of these different numbers that stand in rising order.
fn longest_rising(numbers: &[usize]) -> Vec<usize> {
    // The last positions of the rising rows of each length that end lowest, and before each
    // position the one that it follows (Fredman 1975).
    let mut ends: Vec<usize> = Vec::new();
    let mut follows = vec![None; numbers.len()];
    for (at, number) in numbers.iter().enumerate() {
        let length = ends.partition_point(|end| numbers[*end] < *number);
        follows[at] = length.checked_sub(1).map(|shorter| ends[shorter]);
        if length == ends.len() {
            ends.push(at);
        } else {
            ends[length] = at;
        }
    }
    let mut row = Vec::new();
    let mut next = ends.last().copied();
    while let Some(at) = next {
        row.push(numbers[at]);
        next = follows[at];
    }
    row
}

fn fields(policy: &Policy, rule: &Rule) -> Vec<(&'static str, Option<String>)> {
    let excepted = rule
        .except
        .iter()
        .map(|user| format!("!{}", user_text(user)));
    let users = rule.users.iter().map(user_text).chain(excepted);
    let terms = rule.action.terms();
    let (proof, realm) = match &rule.action {
        Action::StepUp { proof, realm, .. } => (Some(proof.to_string()), Some(realm.to_string())),
        _ => (None, None),
    };
    let (first, max_hold) = match rule.action.first() {
        None => (None, None),
        Some(First::Reject) => (Some("reject"), None),
        Some(First::Hold { max_hold }) => (Some("hold"), Some(duration(max_hold))),
    };
    let on_expiry = terms.map(|terms| match terms.on_expiry {
        OnExpiry::Close => "close",
        OnExpiry::Keep => "keep",
    });
    vec![
        ("endpoints", Some(endpoint_list(policy, &rule.endpoints))),
        ("users", Some(listed(users))),
        ("programs", program_list(&rule.programs)),
        ("when", condition_list(&rule.when)),
        ("action", Some(action_word(&rule.action).to_owned())),
        ("ttl", terms.map(|terms| duration(terms.ttl))),
        ("scope", terms.map(|terms| terms.scope.to_string())),
        ("proof", proof),
        ("realm", realm),
        ("first", first.map(str::to_owned)),
        ("max_hold", max_hold),
        ("on_expiry", on_expiry.map(str::to_owned)),
        ("warn", terms.and_then(|terms| terms.warn).map(duration)),
    ]
}

pub(super) fn user_text(user: &UserSelector) -> String {
    match user {
        UserSelector::Everyone => "*".to_owned(),
        UserSelector::User(name) => name.clone(),
        UserSelector::Group(name) => format!("%{name}"),
        UserSelector::Uid(uid) => uid.to_string(),
        UserSelector::Uids(first, last) => format!("{first}-{last}"),
    }
}

pub(super) fn action_word(action: &Action) -> &'static str {
    match action {
        Action::Allow { .. } => "allow",
        Action::StepUp { .. } => "step-up",
        Action::Observe => "observe",
        Action::Deny => "deny",
    }
}

pub(super) fn duration(duration: Duration) -> String {
    format_duration(duration).to_string()
}

pub(super) fn endpoint_list(policy: &Policy, selector: &EndpointSelector) -> String {
    match selector {
        EndpointSelector::All => "*".to_owned(),
        EndpointSelector::These(ids) => {
            let known = ids.iter().filter_map(|id| policy.endpoint(*id));
            listed(known.map(|one| &one.name))
        }
    }
}

/// None if any program will do.
fn program_list(programs: &[ProgramSelector]) -> Option<String> {
    let one = |program: &ProgramSelector| match &program.sha256 {
        Some(digest) => format!("{program} (sha256 {})", hex::encode(digest)),
        None => program.to_string(),
    };
    (!programs.is_empty()).then(|| listed(programs.iter().map(one)))
}

/// None if it is always.
pub(super) fn condition_list(when: &[Condition]) -> Option<String> {
    let one = |condition: &Condition| format!("{{ {} }}", listed(&condition.0));
    let all: Vec<_> = when.iter().map(one).collect();
    (!all.is_empty()).then(|| all.join(" or "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fewest_rules_are_said_to_have_moved() {
        assert_eq!(longest_rising(&[0, 1, 2]), [2, 1, 0]);
        assert_eq!(longest_rising(&[2, 0, 1, 3]), [3, 1, 0]);
        assert_eq!(longest_rising(&[]), [0; 0]);
        assert_eq!(longest_rising(&[2, 1, 0]).len(), 1);
    }
}
