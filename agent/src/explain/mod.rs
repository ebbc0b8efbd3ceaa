// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Says what a policy does with one connection, and why: each rule that speaks of its endpoint, and
//! what became of it. Pure, so that it can be asked before a policy is anywhere.

pub mod case;
mod given;
mod people;
mod text;

use jiff::Timestamp;
use serde::Serialize;

pub use given::{Given, Source};
pub use people::GivenNames;

use crate::config::format_duration;
use crate::ids::Uid;
use crate::policy::{
    Action, Endpoint, Evaluation, Fit, Miss, Mode, Names, Policy, Response, Rule, Step,
    UserSelector, evaluate,
};

/// What a policy does with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It is none of the policy's business.
    Unprotected,
    /// It gets through as it is.
    Allow,
    /// It gets through once the user has proven who they are.
    StepUp,
    /// It doesn't get through.
    Deny,
    /// It gets through, and what would have happened is written down.
    Observe,
}

impl Outcome {
    /// All of them, with the words that stand for them.
    pub const ALL: [(&'static str, Self); 5] = [
        ("unprotected", Self::Unprotected),
        ("allow", Self::Allow),
        ("step-up", Self::StepUp),
        ("deny", Self::Deny),
        ("observe", Self::Observe),
    ];

    /// The word that stands for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        let mut all = Self::ALL.iter();
        all.find(|(_, outcome)| *outcome == self)
            .map_or("", |(word, _)| word)
    }

    fn of(action: &Action) -> Self {
        match action {
            Action::Allow { .. } => Self::Allow,
            Action::StepUp { .. } => Self::StepUp,
            Action::Deny => Self::Deny,
            Action::Observe => Self::Observe,
        }
    }
}

/// What a policy does with one connection, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// What it comes to.
    pub outcome: Outcome,
    /// What it would come to if the policy did not only observe.
    pub instead: Option<Outcome>,
    /// The rule that only observes; none if the whole policy does, or nothing.
    pub observed_by: Option<String>,
    /// Why it doesn't get through, or wouldn't.
    pub denied: Option<Denied>,
    /// The endpoint; none if the destination is not protected.
    pub endpoint: Option<String>,
    /// The rule that decides; none if no rule lets the user through.
    pub rule: Option<String>,
    /// The role that it was made for.
    pub role: Option<String>,
    /// What is given, if anything is.
    pub terms: Option<TermsView>,
    /// The rules that speak of the endpoint, up to the one that decides.
    pub rules: Vec<RuleView>,
    /// What is unusual.
    pub risk: Vec<RiskView>,
    /// The sum of the points.
    pub points: u32,
    /// The thresholds that they reach.
    pub thresholds: Vec<ThresholdView>,
    /// True if each connection is decided by itself.
    pub each_connection: bool,
    /// When another rule may count because of the time alone: RFC 3339.
    pub until: Option<String>,
    /// Host names of the policy that may have this address: nobody has looked them up.
    pub not_looked_up: Vec<String>,
}

/// Why a connection doesn't get through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Denied {
    /// A rule denies it.
    ByRule,
    /// No rule lets the user through.
    NoRule,
    /// Whether a rule fits can't be told.
    Unsure,
    /// A rule would let the user through, but too much is unusual.
    ByRisk,
}

/// A threshold that is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ThresholdView {
    /// From how many points on it counts.
    pub points: u32,
    /// What it asks for at least.
    pub action: Outcome,
}

/// What a rule gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TermsView {
    /// How long, as `15m`.
    pub ttl: String,
    /// How far a proof reaches.
    pub scope: String,
    /// The realm of the proof, if one is asked for.
    pub realm: Option<String>,
    /// What is accepted as proof.
    pub factors: Vec<String>,
    /// What it asks for, in words; empty if it asks for nothing.
    pub proof: String,
    /// How long a connection waits, as `60s`; none if it is refused at first.
    pub max_hold: Option<String>,
}

/// What became of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleView {
    /// Its name.
    pub name: String,
    /// The role that it was made for.
    pub role: Option<String>,
    /// What it does.
    pub action: Outcome,
    /// `true` if it fits, `false` if not; none if that can't be told.
    pub fits: Option<bool>,
    /// Why not, or why it can't be told.
    pub why: Option<String>,
}

/// Something unusual.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RiskView {
    /// Its name.
    pub name: String,
    /// Its points.
    pub points: u32,
    /// Why it counts though it can't be told.
    pub doubt: Option<String>,
}

impl Explanation {
    /// Explains one connection of `subject`; `endpoint` is what it goes to, if that is protected.
    #[must_use]
    pub fn new(
        policy: &Policy,
        names: &dyn Names,
        given: &Given,
        subject: Uid,
        endpoint: Option<&Endpoint>,
    ) -> Self {
        let Some(endpoint) = endpoint else {
            return Self::unprotected();
        };
        let (found, steps) = evaluate(policy, names, given, endpoint.id, subject);
        let decided = Outcome::of(&found.action);
        let observes = policy.mode == Mode::Observe || found.observed.is_some();
        Self {
            outcome: if observes { Outcome::Observe } else { decided },
            instead: observes.then_some(decided),
            observed_by: found.observed.map(|rule| rule.name.to_string()),
            denied: (decided == Outcome::Deny).then(|| denied(&found)),
            endpoint: Some(endpoint.name.to_string()),
            rule: found.rule.map(|rule| rule.name.to_string()),
            role: found.rule.and_then(role_of),
            terms: terms(&found.action),
            rules: steps.iter().map(RuleView::new).collect(),
            risk: risk(&found),
            points: found.points(),
            thresholds: thresholds(policy, &found),
            each_connection: found.varies,
            until: found.until.map(|until| format!("{until:.0}")),
            not_looked_up: Vec::new(),
        }
    }

    fn unprotected() -> Self {
        Self {
            outcome: Outcome::Unprotected,
            instead: None,
            observed_by: None,
            denied: None,
            endpoint: None,
            rule: None,
            role: None,
            terms: None,
            rules: Vec::new(),
            risk: Vec::new(),
            points: 0,
            thresholds: Vec::new(),
            each_connection: false,
            until: None,
            not_looked_up: Vec::new(),
        }
    }

    /// When another rule may count because of the time alone.
    #[must_use]
    pub fn until(&self) -> Option<Timestamp> {
        self.until.as_deref().and_then(|text| text.parse().ok())
    }
}

fn role_of(rule: &Rule) -> Option<String> {
    rule.role.as_ref().map(ToString::to_string)
}

fn risk(found: &Evaluation<'_>) -> Vec<RiskView> {
    let risk = found.risk.iter().map(|found| RiskView {
        name: found.risk.name.to_string(),
        points: found.risk.points,
        doubt: found.doubt.as_ref().map(ToString::to_string),
    });
    risk.collect()
}

fn thresholds(policy: &Policy, found: &Evaluation<'_>) -> Vec<ThresholdView> {
    // Risk makes stricter what lets through, and nothing else.
    let lets = found.rule.is_some_and(|rule| rule.action != Action::Deny);
    let reached = policy.thresholds.iter();
    let reached = reached.filter(|threshold| lets && found.points() >= threshold.points);
    let views = reached.map(|threshold| ThresholdView {
        points: threshold.points,
        action: match threshold.response {
            Response::Deny => Outcome::Deny,
            Response::StepUp { .. } => Outcome::StepUp,
        },
    });
    views.collect()
}

fn denied(found: &Evaluation<'_>) -> Denied {
    let mut doubts = found.doubts.iter();
    match found.rule {
        None if found.doubts.is_empty() => Denied::NoRule,
        None => Denied::Unsure,
        Some(rule) if rule.action != Action::Deny => Denied::ByRisk,
        Some(rule) if doubts.any(|doubt| doubt.rule.name == rule.name) => Denied::Unsure,
        Some(_) => Denied::ByRule,
    }
}

fn terms(action: &Action) -> Option<TermsView> {
    let terms = action.terms()?;
    let (realm, factors, proof) = match action {
        Action::StepUp { realm, proof, .. } => (
            Some(realm.to_string()),
            proof.factors().iter().map(ToString::to_string).collect(),
            proof.to_string(),
        ),
        _ => (None, Vec::new(), String::new()),
    };
    let max_hold = match action.first() {
        Some(crate::policy::First::Hold { max_hold }) => Some(format_duration(max_hold)),
        _ => None,
    };
    Some(TermsView {
        ttl: format_duration(terms.ttl),
        scope: terms.scope.to_string(),
        realm,
        factors,
        proof,
        max_hold,
    })
}

impl RuleView {
    fn new(step: &Step<'_>) -> Self {
        let (fits, why) = match &step.fit {
            Fit::Yes => (Some(true), None),
            Fit::No(miss) => (Some(false), Some(why_not(step.rule, miss))),
            Fit::Unknown(why) => (None, Some(why.to_string())),
        };
        Self {
            name: step.rule.name.to_string(),
            role: role_of(step.rule),
            action: Outcome::of(&step.rule.action),
            fits,
            why,
        }
    }
}

fn why_not(rule: &Rule, miss: &Miss<'_>) -> String {
    match miss {
        Miss::User => format!("it speaks of {}", users(rule)),
        Miss::Program => {
            let programs: Vec<_> = rule.programs.iter().map(ToString::to_string).collect();
            format!("it speaks of {}", programs.join(", "))
        }
        Miss::When(tests) => {
            let tests: Vec<_> = tests.iter().map(ToString::to_string).collect();
            format!("{} doesn't hold", tests.join(", nor "))
        }
    }
}

/// Whom a rule speaks of, as a policy has it: `%dba, alice, !bob`.
fn users(rule: &Rule) -> String {
    let user = |user: &UserSelector| match user {
        UserSelector::Everyone => "*".to_owned(),
        UserSelector::User(name) => name.clone(),
        UserSelector::Group(name) => format!("%{name}"),
        UserSelector::Uid(uid) => uid.to_string(),
        UserSelector::Uids(first, last) => format!("{first}-{last}"),
    };
    let meant = rule.users.iter().map(user);
    let except = rule
        .except
        .iter()
        .map(|except| format!("!{}", user(except)));
    meant.chain(except).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
