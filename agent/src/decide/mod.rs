// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Decides who may reach what: one pure function, of which every other answer than a denial
//! is a value that only it can make.
//!
//! Deny is the fall-through (promise S4): for an endpoint without a matching rule, for a
//! subject that nobody knows, and where what a rule asks can't be told.

mod answer;
mod emergency;

use std::time::Duration;

use jiff::Timestamp;

pub use answer::{
    AllowPermit, Bound, ChallengeOrder, Decision, Denial, DenialReason, ElevationPermit, Holder,
    KeepPermit, ObservePermit, Offer, Question,
};
pub use emergency::emergency_offer;

use crate::clock::{BootTime, WallTime};
use crate::ids::{ElevationId, Uid};
use crate::policy::{
    Action, Assurance, Endpoint, Evaluation, Factor, Facts, First, Given, Levels, Matcher, Mode,
    Names, OnlyTime, Policy, Proof, Rule, Terms, Unknown, evaluate_with,
};

/// An elevation of the subject, proven since this machine booted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ElevationFact<'a> {
    /// Which one.
    pub id: ElevationId,
    /// The realm that it is good for.
    pub realm: &'a str,
    /// For which connections.
    pub bound: &'a Bound,
    /// The factor that was verified.
    pub factor: &'a Factor,
    /// How much it was worth.
    pub assurance: Assurance,
    /// When it was.
    pub proven: BootTime,
    /// When it ends, if the user wanted it to end sooner than rules let it.
    pub until: Option<BootTime>,
    /// The reason that was given with it.
    pub reason: Option<&'a str>,
}

impl<'a> ElevationFact<'a> {
    /// The factor, and how much it was worth.
    fn given(&self) -> Given<'a> {
        Given {
            factor: self.factor,
            assurance: self.assurance,
            reason: self.reason,
        }
    }

    /// When a grant of this ends.
    fn expires(&self, offer: &Offer) -> BootTime {
        let expires = offer.expires(self.proven);
        self.until.map_or(expires, |until| expires.min(until))
    }
}

/// What is known of a connection that a decision is about.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// What conditions ask.
    pub facts: &'a dyn Facts,
    /// What of the subject's connects.
    pub holder: &'a Holder,
}

/// A decision, and what it rests on.
#[derive(Debug)]
#[must_use = "a decision that nobody carries out leaves a connection waiting"]
pub struct Decided {
    /// The decision.
    pub decision: Decision,
    /// What could not be told: the name of each rule, and why. It never widened the decision.
    pub doubts: Vec<(String, Unknown)>,
    /// What is unusual: the name of each risk, with its points.
    pub risk: Vec<(String, u32)>,
}

/// Decides a question. `elevations` are those of the subject and of this boot, in any order.
///
/// An emergency that the subject has comes before the rules. Else the first rule in file order
/// that matches counts. Of a rule that can't be judged nobody
/// knows whether it matches; the stricter outcome counts then.
pub fn decide<'a>(
    policy: &Policy,
    names: &dyn Names,
    question: Question,
    known: Known<'_>,
    elevations: impl IntoIterator<Item = ElevationFact<'a>>,
    now: BootTime,
) -> Decided {
    if let Some(reason) = refuse_unknown(policy, question) {
        return Decided {
            decision: Decision::Deny(Denial::new(None, reason)),
            doubts: Vec::new(),
            risk: Vec::new(),
        };
    }
    let elevations: Vec<_> = elevations.into_iter().collect();
    if policy.mode == Mode::Enforce
        && let Some(permit) = emergency::permitted(policy, names, question, &elevations, now)
    {
        return Decided {
            decision: Decision::Elevated(permit),
            doubts: Vec::new(),
            risk: Vec::new(),
        };
    }
    let found = find(policy, names, question, known.facts);
    let decision = apply(&found, question, known, elevations, (&policy.levels, now));
    let observes = found.observed.is_some() || policy.mode == Mode::Observe;
    Decided {
        decision: if observes {
            Decision::Observe(ObservePermit::new(question, found.observed, decision))
        } else {
            decision
        },
        doubts: found
            .doubts
            .into_iter()
            .map(|doubt| (doubt.rule.name.to_string(), doubt.why))
            .collect(),
        risk: found
            .risk
            .into_iter()
            .map(|found| (found.risk.name.to_string(), found.risk.points))
            .collect(),
    }
}

/// What today's policy would give for a question: the terms of a grant or an elevation that
/// stands. `None` if it would give nothing but to be observed.
#[must_use]
pub fn offered(
    policy: &Policy,
    names: &dyn Names,
    question: Question,
    facts: &dyn Facts,
    now: BootTime,
) -> Option<(Offer, Option<crate::policy::RuleName>)> {
    refuse_unknown(policy, question).is_none().then_some(())?;
    let found = find(policy, names, question, facts);
    let realm = match &found.action {
        Action::StepUp { realm, .. } => Some(realm.clone()),
        Action::Allow { .. } => None,
        Action::Observe | Action::Deny => return None,
    };
    let offer = offer(&found, found.rule?, facts.at(), now)?;
    Some((offer, realm))
}

/// The rule of today's policy that only observes what a question is about; and true if it does so
/// for every connection of that subject.
#[must_use]
pub fn observed_by(
    policy: &Policy,
    names: &dyn Names,
    question: Question,
    facts: &dyn Facts,
) -> Option<(crate::policy::RuleName, bool)> {
    refuse_unknown(policy, question).is_none().then_some(())?;
    let rule = find(policy, names, question, facts).observed?;
    Some((rule.name.clone(), rule.is_unconditional()))
}

fn find<'p>(
    policy: &'p Policy,
    names: &dyn Names,
    question: Question,
    facts: &dyn Facts,
) -> Evaluation<'p> {
    let Question { subject, endpoint } = question;
    evaluate_with(policy, &Matcher::new(names), facts, endpoint, subject, None)
}

/// True if the policy only observes what a subject does there, whatever they run: the gate lets
/// all of it through.
#[must_use]
pub fn observes(policy: &Policy, names: &dyn Names, question: Question, at: WallTime) -> bool {
    if policy.mode == Mode::Observe {
        return true;
    }
    let found = find(policy, names, question, &OnlyTime(at.into()));
    let depends = found.varies || found.until.is_some() || !found.doubts.is_empty();
    !depends && found.observed.is_some_and(Rule::is_unconditional)
}

/// Decides what becomes of a connection to an endpoint that is older than its protection: it
/// may go on, or must end.
#[must_use]
pub fn decide_existing(endpoint: &Endpoint) -> Option<KeepPermit> {
    KeepPermit::new(endpoint)
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

fn apply<'a>(
    found: &Evaluation<'_>,
    question: Question,
    known: Known<'_>,
    elevations: impl IntoIterator<Item = ElevationFact<'a>>,
    (levels, now): (&Levels, BootTime),
) -> Decision {
    let Some(rule) = found.rule else {
        return Decision::Deny(fall_through(found));
    };
    let Some(offer) = offer(found, rule, known.facts.at(), now) else {
        return Decision::Deny(Denial::new(Some(rule), deny_reason(found, rule)));
    };
    match &found.action {
        Action::Allow { .. } => Decision::Allow(AllowPermit::new(question, offer)),
        Action::StepUp {
            first,
            proof,
            realm,
            ..
        } => {
            if !proof.is_provable(levels) {
                return Decision::Deny(Denial::new(Some(rule), DenialReason::Unprovable));
            }
            let bound = known.holder.bound(offer.terms.scope);
            let asked = Asked {
                proof,
                offer: &offer,
                realm: realm.as_str(),
                bound: &bound,
            };
            match asked.met_by(elevations.into_iter(), levels, now) {
                Some((fact, expires)) => {
                    let realm = realm.clone();
                    let met = (&fact, expires);
                    Decision::Elevated(ElevationPermit::new(question, offer, realm, met))
                }
                None => Decision::Challenge(ChallengeOrder {
                    question,
                    offer,
                    first: *first,
                    proof: proof.clone(),
                    realm: realm.clone(),
                    bound,
                }),
            }
        }
        Action::Deny | Action::Observe => {
            Decision::Deny(Denial::new(Some(rule), deny_reason(found, rule)))
        }
    }
}

/// What is offered; `None` if the action gives nothing.
fn offer(found: &Evaluation<'_>, rule: &Rule, at: Timestamp, now: BootTime) -> Option<Offer> {
    let terms = found.action.terms()?;
    Some(Offer {
        rule: rule.name.clone(),
        alone: found.varies || terms.scope != crate::policy::Scope::User,
        terms,
        proof: match &found.action {
            Action::StepUp { proof, .. } => Some(proof.clone()),
            _ => None,
        },
        until: found.until.map(|until| now.after(until_then(at, until))),
    })
}

fn until_then(at: Timestamp, until: Timestamp) -> Duration {
    Duration::try_from(until.duration_since(at)).unwrap_or_default()
}

/// Without any match: because there is none, or because one can't be judged.
fn fall_through(found: &Evaluation<'_>) -> Denial {
    match found.doubts.first() {
        Some(doubt) => Denial::new(Some(doubt.rule), DenialReason::Unsure),
        None => Denial::new(None, DenialReason::NoRule),
    }
}

fn deny_reason(found: &Evaluation<'_>, rule: &Rule) -> DenialReason {
    if rule.action != Action::Deny {
        return DenialReason::ByRisk;
    }
    let unsure = found
        .doubts
        .iter()
        .any(|doubt| doubt.rule.name == rule.name);
    if unsure {
        DenialReason::Unsure
    } else {
        DenialReason::ByRule
    }
}

/// What a rule asks for, and of whom.
struct Asked<'r> {
    proof: &'r Proof,
    offer: &'r Offer,
    realm: &'r str,
    bound: &'r Bound,
}

impl Asked<'_> {
    /// The elevation behind a grant, and when that ends: the one that satisfies the rule the
    /// longest; where it asks for several, the first of them to end. One "proven" in the future
    /// is none. One that was given for something else, even for more, is none either: the user
    /// was asked for that, and not for this.
    fn met_by<'a>(
        &self,
        elevations: impl Iterator<Item = ElevationFact<'a>>,
        levels: &Levels,
        now: BootTime,
    ) -> Option<(ElevationFact<'a>, BootTime)> {
        if *self.bound == Bound::Socket {
            return None;
        }
        let fresh: Vec<_> = elevations
            .filter(|fact| fact.realm == self.realm && fact.bound == self.bound)
            .map(|fact| (fact, fact.expires(self.offer)))
            .filter(|(fact, expires)| fact.proven <= now && now < *expires)
            .collect();
        let given: Vec<_> = fresh
            .iter()
            .map(|(fact, expires)| (fact.given(), *expires))
            .collect();
        let at = self.proof.rests_on(&given, levels)?;
        fresh.get(at).copied()
    }
}

#[cfg(test)]
mod tests;
