// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Connections that the policy only observes: they get through, and what would have happened is
//! written down.

use std::collections::HashMap;
use std::time::Duration;

use tracing::debug;

use super::attempts::{Grounds, target_of};
use super::{Pipeline, StageError};
use crate::audit::{self, DecisionOutcome, Event};
use crate::classify::{Classified, Disposition};
use crate::clock::{BootTime, Now};
use crate::decide::{Bound, ChallengeOrder, Decision, ObservePermit};
use crate::grant::{Grant, Scope, Target, Terms};
use crate::ids::Uid;
use crate::policy::RuleName;

/// The rule of connections that a whole policy observes.
const WHOLE_POLICY: &str = "observe";

/// Most proofs that are imagined at a time. What is beyond counts as another prompt.
const MAX_IMAGINED: usize = 1 << 16;

/// The proofs that users would have given, so that one prompt is counted and not one for each
/// connection. They let nobody through: only what is written down comes from them.
#[derive(Debug, Default)]
pub(super) struct Imagined {
    proofs: HashMap<(Uid, RuleName, Bound), BootTime>,
}

impl Imagined {
    /// What a challenge would have come to: a prompt, or none because of an earlier one.
    fn answer(&mut self, order: &ChallengeOrder, now: BootTime) -> DecisionOutcome {
        let key = (
            order.question().subject,
            order.realm().clone(),
            order.bound().clone(),
        );
        let counts = |proven: &BootTime| now < order.offer().expires(*proven);
        if *order.bound() != Bound::Socket && self.proofs.get(&key).is_some_and(counts) {
            return DecisionOutcome::Elevated;
        }
        if self.proofs.len() >= MAX_IMAGINED {
            let longest = Duration::from_secs(24 * 60 * 60);
            self.proofs.retain(|_, proven| now.since(*proven) < longest);
        }
        if self.proofs.len() < MAX_IMAGINED {
            self.proofs.insert(key, now);
        }
        DecisionOutcome::Challenge
    }
}

impl Pipeline {
    /// Lets a connection through that is only observed.
    pub(super) fn observe(
        &mut self,
        facts: Classified,
        permit: &ObservePermit,
        grounds: Grounds,
        now: Now,
    ) -> Result<(), StageError> {
        let (outcome, rule, reason) = match permit.instead() {
            Decision::Allow(permit) => (
                DecisionOutcome::Allow,
                Some(permit.offer().rule.to_string()),
                "the rule would allow it".to_owned(),
            ),
            Decision::Challenge(order) => (
                self.imagined.answer(order, now.boot),
                Some(order.offer().rule.to_string()),
                "the rule would ask for proof".to_owned(),
            ),
            Decision::Elevated(permit) => (
                DecisionOutcome::Elevated,
                Some(permit.offer().rule.to_string()),
                "an earlier proof would still count".to_owned(),
            ),
            Decision::Deny(denial) => (
                DecisionOutcome::Deny,
                denial.rule().map(ToString::to_string),
                format!("it would be {denial}"),
            ),
            // decide() observes no observation.
            Decision::Observe(_) => (DecisionOutcome::Observe, None, String::new()),
        };
        debug!(to = %facts.destination, instead = ?outcome, "observed");
        let decision = Event::Decision(audit::Decision {
            outcome: DecisionOutcome::Observe,
            rule,
            reason,
            instead: Some(outcome),
            ..self.decision(&facts, grounds.clone())
        });
        self.chain(now, decision)?;
        if facts.disposition == Disposition::Observed {
            self.remember([&facts], now);
            return Ok(());
        }
        let rule = permit
            .rule()
            .cloned()
            .or_else(|| RuleName::new(WHOLE_POLICY).ok());
        let Some(rule) = rule else { return Ok(()) };
        // What was rejected is over, and comes again as another socket.
        let alone = facts.disposition == Disposition::Held;
        let terms = Terms::observed(rule, alone);
        let target = if terms.alone {
            target_of(&facts, &terms)
        } else {
            Target {
                endpoint: facts.endpoint,
                scope: Scope::User,
            }
        };
        let key = target.key(permit.question().subject);
        let issue = |id| Grant::from_observation(permit, id, terms, target, now);
        self.pass_silently(facts, key, issue, now)
    }

    /// Writes down that a connection would have been refused, which the gate has let pass.
    pub(super) fn note_observed(
        &mut self,
        facts: &Classified,
        rule: Option<String>,
        reason: &str,
        grounds: Grounds,
        now: Now,
    ) {
        let decision = Event::Decision(audit::Decision {
            outcome: DecisionOutcome::Observe,
            rule,
            reason: format!("it would be refused: {reason}"),
            instead: Some(DecisionOutcome::Deny),
            ..self.decision(facts, grounds)
        });
        self.append(now, decision);
    }
}
