// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a policy does with the users of a class at an endpoint, and whether another one is laxer.

use std::time::Duration;

use serde::Serialize;

use super::class::{self, Class};
use super::proof::takes_more;
use super::rules::{action_word, duration, name_of};
use crate::policy::{
    Action, Endpoint, EndpointName, Matcher, Mode, OnExpiry, Policy, Proof, ReasonAsked, Rule,
    RuleName, Scope,
};

/// What becomes of users at an endpoint, where that changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OutcomeChange {
    /// Of which way the change is.
    pub way: Way,
    /// True if it gets laxer for anything, even if it gets stricter for something else.
    pub laxer: bool,
    /// The endpoint.
    pub endpoint: EndpointName,
    /// The users.
    pub users: Class,
    /// What the old policy does, in words.
    pub before: String,
    /// What the new one does.
    pub after: String,
    /// True if only conditions make the difference: without any it stays the same.
    pub by_conditions: bool,
}

/// Of which way a change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// More get through, for longer, or with less.
    Laxer,
    /// Both at once, or one that can't be told, as another realm.
    Other,
    /// Fewer get through, for shorter, or with more.
    Stricter,
}

/// The outcomes that change; what gets laxer first, then by endpoint and class.
pub(super) fn changes(old: &Policy, new: &Policy) -> Vec<OutcomeChange> {
    let gone = old.endpoints.iter();
    let gone = gone.filter(|one| new.endpoint(one.id).is_none());
    let mut found: Vec<OutcomeChange> = new
        .endpoints
        .iter()
        .chain(gone)
        .flat_map(|endpoint| {
            let classes = class::all(old, new, endpoint.id).into_iter();
            classes.filter_map(move |class| change(old, new, endpoint, class))
        })
        .collect();
    found.sort_by(|one, other| {
        let key = |change: &OutcomeChange| (!change.laxer, change.way, change.by_conditions);
        key(one).cmp(&key(other))
    });
    found
}

fn change(old: &Policy, new: &Policy, endpoint: &Endpoint, class: Class) -> Option<OutcomeChange> {
    let before = Outcome::of(old, endpoint, &class);
    let after = Outcome::of(new, endpoint, &class);
    let mut by_conditions = false;
    let mut both = before.always.compare(&after.always);
    if both == Compared::default() {
        by_conditions = true;
        both = compare_all(&before, &after);
    }
    if both == Compared::default() {
        return None;
    }
    Some(OutcomeChange {
        way: both.way(),
        laxer: both.laxer,
        endpoint: endpoint.name.clone(),
        users: class,
        before: before.text(by_conditions),
        after: after.text(by_conditions),
        by_conditions,
    })
}

/// In which ways something differs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Compared {
    laxer: bool,
    stricter: bool,
    other: bool,
}

impl Compared {
    fn way(self) -> Way {
        match (self.laxer, self.stricter, self.other) {
            (true, false, false) => Way::Laxer,
            (false, true, false) => Way::Stricter,
            _ => Way::Other,
        }
    }

    fn add(&mut self, more: Self) {
        self.laxer |= more.laxer;
        self.stricter |= more.stricter;
        self.other |= more.other;
    }

    fn note<T: Ord>(&mut self, before: T, after: T) {
        self.laxer |= before < after;
        self.stricter |= before > after;
    }
}

/// What a policy does with somebody.
struct Outcome<'p> {
    /// If no condition holds.
    always: Does<'p>,
    /// What conditions may make of it, in the order of the rules.
    at_times: Vec<(&'p Rule, Does<'p>)>,
}

impl<'p> Outcome<'p> {
    fn of(policy: &'p Policy, endpoint: &Endpoint, class: &Class) -> Self {
        let mut outcome = Self {
            always: Does::Unprotected,
            at_times: Vec::new(),
        };
        if policy.endpoint(endpoint.id).is_none() {
            return outcome;
        }
        if policy.mode == Mode::Observe {
            outcome.always = Does::Observe(None);
            return outcome;
        }
        outcome.always = Does::Deny(None);
        let matcher = Matcher::new(class);
        for rule in policy.rules_of(endpoint.id) {
            if matcher.speaks_of(rule, class.uid()) != Ok(true) {
                continue;
            }
            if rule.is_unconditional() {
                outcome.always = Does::by(rule);
                break;
            }
            outcome.at_times.push((rule, Does::by(rule)));
        }
        outcome
    }

    /// True if a rule on the same conditions does the same, whatever realm it is in.
    fn has(&self, wanted: &Rule, does: &Does<'_>) -> bool {
        self.at_times.iter().any(|(rule, known)| {
            let mut compared = known.compare(does);
            compared.other = false;
            compared == Compared::default() && asks_the_same(rule, wanted)
        })
    }

    /// What may be done where the rule at this place doesn't fit.
    fn after(&self, at: usize) -> impl Iterator<Item = &Does<'p>> {
        let later = self.at_times[at + 1..].iter().map(|(_, does)| does);
        later.chain([&self.always])
    }

    fn text(&self, with_conditions: bool) -> String {
        let always = self.always.text();
        if !with_conditions || self.at_times.is_empty() {
            return always;
        }
        let at_times = self.at_times.iter().map(|(_, does)| does.text());
        let at_times: Vec<_> = at_times.collect();
        format!("{always}; on conditions {}", at_times.join(", "))
    }
}

/// Compares what conditions may make of it. A rule counts by what it takes the place of: what
/// would be done without it.
fn compare_all(before: &Outcome<'_>, after: &Outcome<'_>) -> Compared {
    let mut compared = Compared::default();
    for (at, (rule, does)) in before.at_times.iter().enumerate() {
        if !after.has(rule, does) {
            for instead in before.after(at) {
                compared.add(does.compare(instead));
            }
        }
    }
    for (at, (rule, does)) in after.at_times.iter().enumerate() {
        if !before.has(rule, does) {
            for instead in after.after(at) {
                compared.add(instead.compare(does));
            }
        }
    }
    let both = before.at_times.iter().zip(&after.at_times);
    let mut both = both.map(|((one, _), (other, _))| asks_the_same(one, other));
    // In another order, another one may be the first that fits.
    let reordered = before.at_times.len() == after.at_times.len() && !both.all(|same| same);
    compared.other |= reordered && compared == Compared::default();
    compared
}

fn asks_the_same(one: &Rule, other: &Rule) -> bool {
    one.programs == other.programs && one.when == other.when
}

/// What is done.
enum Does<'p> {
    /// Nothing: the endpoint isn't protected.
    Unprotected,
    Observe(Option<&'p Rule>),
    Gives(&'p Rule, Given<'p>),
    Deny(Option<&'p Rule>),
}

struct Given<'p> {
    scope: Scope,
    ttl: Duration,
    keeps: bool,
    /// None if no proof is asked for.
    proof: Option<(&'p Proof, &'p RuleName)>,
}

impl<'p> Does<'p> {
    fn by(rule: &'p Rule) -> Self {
        let Some(terms) = rule.action.terms() else {
            return match rule.action {
                Action::Observe => Self::Observe(Some(rule)),
                _ => Self::Deny(Some(rule)),
            };
        };
        let proof = match &rule.action {
            Action::StepUp { proof, realm, .. } => Some((proof, realm)),
            _ => None,
        };
        let given = Given {
            scope: terms.scope,
            ttl: terms.ttl,
            keeps: terms.on_expiry == OnExpiry::Keep,
            proof,
        };
        Self::Gives(rule, given)
    }

    /// How much it lets through: more is laxer.
    fn rank(&self) -> u8 {
        match self {
            Self::Deny(_) => 0,
            Self::Gives(_, Given { proof: Some(_), .. }) => 1,
            Self::Gives(..) => 2,
            Self::Observe(_) => 3,
            Self::Unprotected => 4,
        }
    }

    fn compare(&self, after: &Self) -> Compared {
        let mut compared = Compared::default();
        compared.note(self.rank(), after.rank());
        if let (Self::Gives(_, before), Self::Gives(_, after)) = (self, after)
            && compared == Compared::default()
        {
            compared.note(reach(before.scope), reach(after.scope));
            compared.note(before.ttl, after.ttl);
            compared.note(before.keeps, after.keeps);
            if let (Some((proof, realm)), Some((new_proof, new_realm))) =
                (before.proof, after.proof)
            {
                compared.note(asks_why(proof), asks_why(new_proof));
                compared.other |= asks_why(proof) == asks_why(new_proof)
                    && reason_text(proof) != reason_text(new_proof);
                compared.laxer |= takes_more(new_proof, proof);
                compared.stricter |= takes_more(proof, new_proof);
                compared.other |= realm != new_realm;
            }
        }
        compared
    }

    fn text(&self) -> String {
        let by = |rule: Option<&Rule>| {
            rule.map_or_else(String::new, |rule| format!(" ({})", name_of(rule)))
        };
        match self {
            Self::Unprotected => "not protected".to_owned(),
            Self::Observe(rule) => format!("observe{}", by(*rule)),
            Self::Deny(None) => "deny (no rule)".to_owned(),
            Self::Deny(rule) => format!("deny{}", by(*rule)),
            Self::Gives(rule, given) => {
                let word = action_word(&rule.action);
                let scope = match given.scope {
                    Scope::User => String::new(),
                    scope => format!(" per {scope}"),
                };
                let ttl = duration(given.ttl);
                format!("{word} {ttl}{scope}{}", by(Some(rule)))
            }
        }
    }
}

/// How much a reason is asked for: more of it is stricter.
fn asks_why(proof: &Proof) -> std::cmp::Reverse<(bool, bool, bool)> {
    let reason = proof.reason.as_ref();
    let is = |test: fn(&ReasonAsked) -> bool| reason.is_some_and(|reason| test(reason));
    std::cmp::Reverse((
        is(|reason| reason.required),
        is(|reason| reason.pattern.is_some()),
        reason.is_some(),
    ))
}

fn reason_text(proof: &Proof) -> Option<String> {
    proof.reason.as_ref().map(ToString::to_string)
}

fn reach(scope: Scope) -> u8 {
    match scope {
        Scope::Socket => 0,
        Scope::Process => 1,
        Scope::Unit => 2,
        Scope::User => 3,
    }
}
