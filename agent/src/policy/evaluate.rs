// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a policy says of one connection, and why: what the decision, the explanation and the
//! forecast all come from.
//!
//! The first rule that fits decides. Of a rule that can't be judged nobody knows whether it
//! fits: then the stricter outcome counts, of it and of the rules after it (promise S4).

use std::cmp::Ordering;

use jiff::Timestamp;

use super::condition::{Condition, Test, vary};
use super::facts::{Fact, Facts, Unknown};
use super::matching::Matcher;
use super::proof::Proof;
use super::risk::Risk;
use super::rule::{Action, Rule};
use super::{Policy, Scope};
use crate::ids::{EndpointId, Uid};

/// What a policy says of one connection.
#[derive(Clone, Debug)]
pub struct Evaluation<'p> {
    /// The rule that decides; none if no rule lets the user through.
    pub rule: Option<&'p Rule>,
    /// What is done: the rule's action, as risk has made it; [`Action::Deny`] without a rule.
    pub action: Action,
    /// The rule that lets everybody through regardless, if one does; `rule` and `action` are
    /// what would have happened without it.
    pub observed: Option<&'p Rule>,
    /// Rules that could not be judged.
    pub doubts: Vec<Doubt<'p>>,
    /// What is unusual about the connection.
    pub risk: Vec<RiskFound<'p>>,
    /// True if another connection of the user to the endpoint may be judged differently at the
    /// same time: then each needs a grant of its own.
    pub varies: bool,
    /// When the answer may become another because of the time alone.
    pub until: Option<Timestamp>,
}

impl Evaluation<'_> {
    /// The sum of the risk's points.
    #[must_use]
    pub fn points(&self) -> u32 {
        self.risk.iter().map(|found| found.risk.points).sum()
    }
}

/// A rule that could not be judged, and why.
#[derive(Clone, Debug)]
pub struct Doubt<'p> {
    /// The rule.
    pub rule: &'p Rule,
    /// Why.
    pub why: Unknown,
}

/// A risk that counts.
#[derive(Clone, Debug)]
pub struct RiskFound<'p> {
    /// Which one.
    pub risk: &'p Risk,
    /// Why it counts though it could not be judged, if so.
    pub doubt: Option<Unknown>,
}

/// How one rule fits a connection: a line of an explanation.
#[derive(Clone, Debug)]
pub struct Step<'p> {
    /// The rule.
    pub rule: &'p Rule,
    /// How it fits.
    pub fit: Fit<'p>,
}

/// Whether a rule fits.
#[derive(Clone, Debug)]
pub enum Fit<'p> {
    /// It does.
    Yes,
    /// It doesn't.
    No(Miss<'p>),
    /// Nobody knows.
    Unknown(Unknown),
}

/// Why a rule doesn't fit.
#[derive(Clone, Debug)]
pub enum Miss<'p> {
    /// It doesn't speak of the user.
    User,
    /// It speaks of other programs.
    Program,
    /// The first test that fails, of each of its alternatives.
    When(Vec<&'p Test>),
}

/// Evaluates a policy for one connection of `subject` to `endpoint`. With `steps`, notes how each
/// rule fits that speaks of the endpoint, up to the one that decides.
pub(crate) fn evaluate_with<'p>(
    policy: &'p Policy,
    matcher: &Matcher<'_>,
    facts: &dyn Facts,
    endpoint: EndpointId,
    subject: Uid,
    mut steps: Option<&mut Vec<Step<'p>>>,
) -> Evaluation<'p> {
    let mut found = Found::default();
    for rule in policy.rules_of(endpoint) {
        let fit = found.fit(rule, matcher, facts, subject);
        let goes_on = found.take(rule, &fit);
        if let Some(steps) = &mut steps {
            let fit = fit.clone();
            steps.push(Step { rule, fit });
        }
        if !goes_on {
            break;
        }
    }
    found.finish(policy, facts, endpoint)
}

/// Evaluates a policy for one connection of `subject` to `endpoint`, and notes how each rule
/// fits that speaks of the endpoint, up to the one that decides.
#[must_use]
pub fn evaluate<'p>(
    policy: &'p Policy,
    names: &dyn super::Names,
    facts: &dyn Facts,
    endpoint: EndpointId,
    subject: Uid,
) -> (Evaluation<'p>, Vec<Step<'p>>) {
    let mut steps = Vec::new();
    let matcher = Matcher::new(names);
    let evaluation = evaluate_with(policy, &matcher, facts, endpoint, subject, Some(&mut steps));
    (evaluation, steps)
}

/// What has been found on the way through the rules.
#[derive(Default)]
struct Found<'p> {
    decided: Option<&'p Rule>,
    /// The strictest of the rules that could not be judged.
    doubtful: Option<&'p Rule>,
    /// What all of those ask for, and the one after them that counts.
    proofs: Vec<&'p Proof>,
    observed: Option<&'p Rule>,
    doubts: Vec<Doubt<'p>>,
    varies: bool,
    until: Option<Timestamp>,
}

impl<'p> Found<'p> {
    fn fit(
        &mut self,
        rule: &'p Rule,
        matcher: &Matcher<'_>,
        facts: &dyn Facts,
        subject: Uid,
    ) -> Fit<'p> {
        let user = matcher.speaks_of(rule, subject);
        if user == Ok(false) {
            return Fit::No(Miss::User);
        }
        self.varies |= rule.varies();
        self.end_with(&rule.when, facts.at());
        let program = runs_one_of(rule, facts);
        if program == Ok(false) {
            return Fit::No(Miss::Program);
        }
        let when = match holds(&rule.when, facts) {
            Fit::Yes => Ok(true),
            Fit::No(miss) => return Fit::No(miss),
            Fit::Unknown(why) => Err(why),
        };
        match user.and(program).and(when) {
            Ok(_) => Fit::Yes,
            Err(why) => Fit::Unknown(why),
        }
    }

    fn end_with(&mut self, when: &[Condition], at: Timestamp) {
        let tests = when.iter().flat_map(|condition| &condition.0);
        let changes = tests.filter_map(|test| match test {
            Test::Time(window) => window.next_change(at),
            _ => None,
        });
        self.until = changes.chain(self.until).min();
    }

    /// Takes in how a rule fits; false if no later rule counts.
    fn take(&mut self, rule: &'p Rule, fit: &Fit<'p>) -> bool {
        match fit {
            Fit::No(_) => return true,
            Fit::Yes => {}
            Fit::Unknown(why) => {
                let why = why.clone();
                self.doubts.push(Doubt { rule, why });
                if rule.action != Action::Deny {
                    if rule.action != Action::Observe {
                        self.note_proof(rule);
                        self.doubtful = Some(stricter(self.doubtful, rule));
                    }
                    return true;
                }
            }
        }
        if rule.action == Action::Observe {
            if self.observed.is_some() {
                return true;
            }
            if self.doubtful.is_none() {
                self.observed = Some(rule);
                return true;
            }
            // What can't be judged is stricter than what lets everybody through.
            self.decided = self.doubtful;
            return false;
        }
        self.note_proof(rule);
        self.decided = Some(match self.doubtful {
            Some(_) => stricter(self.doubtful, rule),
            None => rule,
        });
        false
    }

    fn note_proof(&mut self, rule: &'p Rule) {
        if let Action::StepUp { proof, .. } = &rule.action
            && !self.proofs.contains(&proof)
        {
            self.proofs.push(proof);
        }
    }

    fn finish(
        mut self,
        policy: &'p Policy,
        facts: &dyn Facts,
        endpoint: EndpointId,
    ) -> Evaluation<'p> {
        let mut action = self
            .decided
            .map_or(Action::Deny, |rule| rule.action.clone());
        // Nobody knows which of them counts, so each has to be met.
        if let Action::StepUp { proof, .. } = &mut action {
            let own = proof.clone();
            let others = self.proofs.iter().filter(|other| ***other != own);
            *proof = others.fold(own.clone(), |all, other| all.and((*other).clone()));
        }
        let mut risk = Vec::new();
        if let Some(rule) = self.decided
            && action != Action::Deny
        {
            risk = self.risk(policy, facts, endpoint);
            let points: u32 = risk.iter().map(|found| found.risk.points).sum();
            let reached = policy.thresholds.iter();
            for threshold in reached.filter(|threshold| points >= threshold.points) {
                action = threshold.response.applied(action, &rule.name);
            }
        }
        Evaluation {
            rule: self.decided,
            action,
            observed: self.observed,
            doubts: self.doubts,
            risk,
            varies: self.varies,
            until: self.until,
        }
    }

    fn risk(
        &mut self,
        policy: &'p Policy,
        facts: &dyn Facts,
        endpoint: EndpointId,
    ) -> Vec<RiskFound<'p>> {
        let risks = policy.risks.iter();
        let risks = risks.filter(|risk| risk.endpoints.contains(endpoint));
        let mut found = Vec::new();
        for risk in risks {
            if !policy.thresholds.is_empty() {
                self.varies |= vary(&risk.when);
                self.end_with(&risk.when, facts.at());
            }
            match holds(&risk.when, facts) {
                Fit::No(_) => {}
                Fit::Yes => found.push(RiskFound { risk, doubt: None }),
                Fit::Unknown(why) => found.push(RiskFound {
                    risk,
                    doubt: Some(why),
                }),
            }
        }
        found
    }
}

/// Whether what connects is one of the rule's programs; true if it names none.
fn runs_one_of(rule: &Rule, facts: &dyn Facts) -> Fact<bool> {
    if rule.programs.is_empty() {
        return Ok(true);
    }
    let program = facts.program()?;
    any(rule
        .programs
        .iter()
        .map(|selector| selector.selects(&program, facts)))
}

/// One yes is enough; otherwise one "nobody knows" is.
fn any(answers: impl Iterator<Item = Fact<bool>>) -> Fact<bool> {
    let mut doubt = None;
    for answer in answers {
        match answer {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            Err(why) => doubt = doubt.or(Some(why)),
        }
    }
    doubt.map_or(Ok(false), Err)
}

/// Whether one of these holds; none means always.
fn holds<'p>(when: &'p [Condition], facts: &dyn Facts) -> Fit<'p> {
    if when.is_empty() {
        return Fit::Yes;
    }
    let (mut doubt, mut missed) = (None, Vec::new());
    for condition in when {
        match all(condition, facts) {
            Ok(None) => return Fit::Yes,
            Ok(Some(test)) => missed.push(test),
            Err(why) => doubt = doubt.or(Some(why)),
        }
    }
    match doubt {
        Some(why) => Fit::Unknown(why),
        None => Fit::No(Miss::When(missed)),
    }
}

/// The first test that fails; none if all hold.
fn all<'p>(condition: &'p Condition, facts: &dyn Facts) -> Fact<Option<&'p Test>> {
    let mut doubt = None;
    for test in &condition.0 {
        match passes(test, facts) {
            Ok(true) => {}
            Ok(false) => return Ok(Some(test)),
            Err(why) => doubt = doubt.or(Some(why)),
        }
    }
    doubt.map_or(Ok(None), Err)
}

fn passes(test: &Test, facts: &dyn Facts) -> Fact<bool> {
    Ok(match test {
        Test::Time(window) => window.contains(facts.at()),
        Test::Remote(wanted) => facts.is_remote()? == *wanted,
        Test::RemoteAddress(nets) => facts
            .remote_address()?
            .is_some_and(|address| nets.iter().any(|net| net.contains(&address.to_canonical()))),
        Test::Session(kinds) => kinds.contains(&facts.session_type()?),
        Test::Seat(seats) => facts.seat()?.is_some_and(|seat| seats.contains(&seat)),
        Test::Terminal(wanted) => facts.has_terminal()? == *wanted,
        Test::Unit(units) => {
            let unit = facts.unit()?;
            units.iter().any(|pattern| pattern.fits(unit.as_bytes()))
        }
        Test::ProgramFirstSeen(wanted) => facts.is_program_new()? == *wanted,
        Test::DestinationFirstSeen(wanted) => facts.is_destination_new()? == *wanted,
        Test::AddressFirstSeen(wanted) => facts.is_address_new()? == *wanted,
        Test::UnusualHour(wanted) => facts.is_hour_unusual()? == *wanted,
        Test::Failures(bound) => facts.failures_within(bound.within)? >= bound.count,
        Test::Connections(bound) => facts.connections_within(bound.within)? >= bound.count,
    })
}

/// The stricter of two rules, the first if they are alike.
fn stricter<'p>(first: Option<&'p Rule>, second: &'p Rule) -> &'p Rule {
    match first {
        Some(first) if strictness(&first.action, &second.action) != Ordering::Greater => first,
        _ => second,
    }
}

/// `Less` if the first is stricter.
fn strictness(one: &Action, other: &Action) -> Ordering {
    let rank = |action: &Action| match action {
        Action::Deny => 0,
        Action::StepUp { .. } => 1,
        Action::Allow { .. } => 2,
        Action::Observe => 3,
    };
    let reach = |action: &Action| {
        action.terms().map(|terms| {
            let scope = match terms.scope {
                Scope::Socket => 0,
                Scope::Process => 1,
                Scope::Unit => 2,
                Scope::User => 3,
            };
            (scope, terms.ttl)
        })
    };
    let by_kind = rank(one).cmp(&rank(other));
    by_kind.then_with(|| reach(one).cmp(&reach(other)))
}

#[cfg(test)]
mod tests;
