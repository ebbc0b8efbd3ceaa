// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Decides who may reach what: one pure function, of which every other answer than a denial
//! is a value that only it can make.
//!
//! Deny is the fall-through (promise S4): for an endpoint without a matching rule, for a
//! subject that nobody knows, and where the name services fail.

mod answer;

pub use answer::{
    AllowPermit, ChallengeOrder, Decision, Denial, DenialReason, ElevationPermit, KeepPermit,
    Question,
};

use crate::clock::BootTime;
use crate::ids::{ElevationId, EndpointId, Uid};
use crate::policy::{
    Action, Endpoint, Factor, First, Match, Matcher, NameError, Names, Policy, Rule, Scope, Terms,
};

/// An elevation of the subject, proven since this machine booted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ElevationFact<'a> {
    /// Which one.
    pub id: ElevationId,
    /// The realm that it is good for: the name of the rule.
    pub realm: &'a str,
    /// The factor that was verified.
    pub factor: Factor,
    /// When it was.
    pub proven: BootTime,
}

/// A decision, and what could not be told on the way to it.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a decision that nobody carries out leaves a connection waiting"]
pub struct Decided {
    /// The decision.
    pub decision: Decision,
    /// Failures of the name services. They never widened the decision; they belong in the
    /// log, at a limited rate.
    pub problems: Vec<NameError>,
}

/// Decides a question. `elevations` are those of the subject and of this boot, in any order.
///
/// The first rule in file order that matches counts. Where the name services fail, a rule
/// that can't be judged matches if it denies and doesn't if it lets through; and what only
/// an allow rule behind an unjudged step-up rule would let through is denied.
pub fn decide<'a>(
    policy: &Policy,
    names: &dyn Names,
    question: Question,
    elevations: impl IntoIterator<Item = ElevationFact<'a>>,
    now: BootTime,
) -> Decided {
    if let Some(reason) = refuse_unknown(policy, question) {
        return denied(None, reason);
    }
    let matcher = Matcher::new(names);
    let found = matcher.first_match(policy, question.endpoint, question.subject);
    let decision = match found.rule {
        None => Decision::Deny(fall_through(&found)),
        Some(rule) => apply(rule, &found, question, elevations, now),
    };
    let problems = found.unsure.into_iter().map(|(_, error)| error).collect();
    Decided { decision, problems }
}

/// Decides what becomes of a connection to an endpoint that is older than its protection: it
/// may go on, or must end.
#[must_use]
pub fn decide_existing(endpoint: &Endpoint) -> Option<KeepPermit> {
    KeepPermit::new(endpoint)
}

/// The first rule that matches, whatever it says. Where the name services fail it may be none:
/// what rested on it then ends.
#[must_use]
pub fn matching_rule<'p>(
    policy: &'p Policy,
    names: &dyn Names,
    subject: Uid,
    endpoint: EndpointId,
) -> Option<&'p Rule> {
    Matcher::new(names)
        .first_match(policy, endpoint, subject)
        .rule
}

fn denied(rule: Option<&Rule>, reason: DenialReason) -> Decided {
    Decided {
        decision: Decision::Deny(Denial::new(rule, reason)),
        problems: Vec::new(),
    }
}

/// Subjects that stand for no user, and endpoints that a reload took away.
fn refuse_unknown(policy: &Policy, question: Question) -> Option<DenialReason> {
    let nobody = [stile_common::UID_UNKNOWN, stile_common::UID_ANY];
    if nobody.map(Uid).contains(&question.subject) {
        return Some(DenialReason::UnknownSubject);
    }
    match policy.endpoint(question.endpoint) {
        Some(_) => None,
        None => Some(DenialReason::UnknownEndpoint),
    }
}

/// Without any match: because there is none, or because one can't be judged.
fn fall_through(found: &Match<'_>) -> Denial {
    match found.unsure.first() {
        Some((rule, _)) => Denial::new(Some(rule), DenialReason::NamesFailed),
        None => Denial::new(None, DenialReason::NoRule),
    }
}

fn apply<'a>(
    rule: &Rule,
    found: &Match<'_>,
    question: Question,
    elevations: impl IntoIterator<Item = ElevationFact<'a>>,
    now: BootTime,
) -> Decision {
    match &rule.action {
        Action::Deny => {
            let unsure = found.unsure.iter().any(|(one, _)| one.name == rule.name);
            Decision::Deny(Denial::new(Some(rule), deny_reason(unsure)))
        }
        Action::Allow { terms, .. } => match unjudged_step_up(found) {
            Some(unjudged) => {
                Decision::Deny(Denial::new(Some(unjudged), DenialReason::NamesFailed))
            }
            None => Decision::Allow(AllowPermit::new(rule, question, *terms)),
        },
        Action::StepUp {
            terms,
            first,
            factors,
        } => match fresh(rule, *terms, elevations, now) {
            Some(fact) => Decision::Elevated(ElevationPermit::new(rule, question, *terms, fact)),
            None => {
                Decision::Challenge(ChallengeOrder::new(rule, question, *terms, *first, factors))
            }
        },
    }
}

fn deny_reason(unsure: bool) -> DenialReason {
    if unsure {
        DenialReason::NamesFailed
    } else {
        DenialReason::ByRule
    }
}

/// A rule that might have asked for proof first. To pass it over and let a later rule allow
/// without proof would widen access.
fn unjudged_step_up<'p>(found: &Match<'p>) -> Option<&'p Rule> {
    let mut rules = found.unsure.iter().map(|(rule, _)| *rule);
    rules.find(|rule| matches!(rule.action, Action::StepUp { .. }))
}

/// The elevation that satisfies the rule the longest. One "proven" in the future is none.
/// Scope "socket" asks for each connection anew.
fn fresh<'a>(
    rule: &Rule,
    terms: Terms,
    elevations: impl IntoIterator<Item = ElevationFact<'a>>,
    now: BootTime,
) -> Option<ElevationFact<'a>> {
    if terms.scope == Scope::Socket {
        return None;
    }
    elevations
        .into_iter()
        .filter(|fact| fact.realm == rule.name.as_str())
        .filter(|fact| fact.proven <= now && now < fact.proven.after(terms.ttl))
        .max_by_key(|fact| fact.proven)
}

#[cfg(test)]
mod tests;
