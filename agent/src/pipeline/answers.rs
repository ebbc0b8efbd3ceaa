// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Codes and refusals: what people say to a challenge.

use std::collections::HashMap;
use std::sync::Arc;

use tracing::info;
use zeroize::Zeroizing;

use super::requests::count;
use super::{Pipeline, StageError};
use crate::audit::{self, ChallengeOutcome, CloseReason, Event, FactorOutcome, micros};
use crate::challenge::Challenge;
use crate::clock::Now;
use crate::grant::{Grant, Target, Terms};
use crate::ids::{ChallengeId, ElevationId, GrantId, Uid};
use crate::policy::Factor;
use crate::service::{Answer, Caller, Refusal, seconds_up};
use crate::verify::{Verification, Verified, verify_totp};

impl Pipeline {
    /// Checks a code. A right one is used up, whatever happens afterwards.
    pub(super) fn answer(
        &mut self,
        caller: Caller,
        id: ChallengeId,
        code: &Zeroizing<String>,
        now: Now,
    ) -> Result<Answer, Refusal> {
        // What the gate reported before the answer counts as before it.
        self.drain_attempts();
        let challenge = self
            .challenges
            .visible(id, caller)
            .ok_or(Refusal::NoSuchChallenge)?;
        let key = challenge.key.clone();
        let subject = key.subject;
        // Each answer is written down, also one that isn't looked at.
        if !self.flood.admits(caller.uid, now.boot) {
            return Err(Refusal::Busy);
        }
        let verification = verify_totp(
            &mut self.ledger,
            subject,
            (key.realm.as_str(), &key.bound),
            code,
            now,
            &self.boot,
        )
        .map_err(StageError::from)?;
        match verification {
            Verification::Verified(verified) => self.approve(id, verified, now),
            Verification::Wrong {
                tries_left,
                replayed,
            } => {
                self.history.note_failure(subject, now);
                let outcome = if replayed {
                    FactorOutcome::Replayed
                } else {
                    FactorOutcome::Wrong
                };
                self.factor_used(subject, outcome, Some(id), now)?;
                Ok(Answer::Wrong { tries_left })
            }
            Verification::Throttled { retry } => {
                self.factor_used(subject, FactorOutcome::Throttled, Some(id), now)?;
                Ok(Answer::Throttled {
                    retry_seconds: seconds_up(retry),
                })
            }
            Verification::Locked => {
                self.factor_used(subject, FactorOutcome::Locked, Some(id), now)?;
                Err(Refusal::Locked)
            }
            Verification::NotEnrolled => {
                self.factor_used(subject, FactorOutcome::NotEnrolled, Some(id), now)?;
                Err(Refusal::NotEnrolled)
            }
        }
    }

    pub(super) fn factor_used(
        &mut self,
        uid: Uid,
        outcome: FactorOutcome,
        challenge: Option<ChallengeId>,
        now: Now,
    ) -> Result<(), StageError> {
        let used = self.factor_event(uid, outcome, challenge, None);
        self.record(now, [used])
    }

    fn factor_event(
        &self,
        uid: Uid,
        outcome: FactorOutcome,
        challenge: Option<ChallengeId>,
        elevation: Option<ElevationId>,
    ) -> Event {
        let subject = self.subject(uid);
        let factor = Factor::Totp;
        Event::Factor(audit::FactorUse {
            subject,
            factor,
            outcome,
            challenge,
            elevation,
        })
    }

    /// Turns a verified factor into grants for everything that waits on its challenge.
    fn approve(
        &mut self,
        id: ChallengeId,
        verified: Verified,
        now: Now,
    ) -> Result<Answer, Refusal> {
        let challenge = self.challenges.take(id).ok_or(Refusal::NoSuchChallenge)?;
        let elevation = verified.elevation();
        let subject = challenge.key.subject;
        let numbered = self.number(earned(&challenge, now));
        let numbered = match numbered {
            Ok(numbered) => numbered,
            Err(error) => {
                let _ = self.ledger.revoke_elevation(elevation);
                self.tell_over(id, subject, ChallengeOutcome::Failed);
                self.end_waiting(challenge.waiting, CloseReason::Fault, None, now);
                return Err(error.into());
            }
        };
        let mut events =
            vec![self.factor_event(subject, FactorOutcome::Accepted, Some(id), Some(elevation))];
        events.extend(self.ended(&challenge, ChallengeOutcome::Approved, now));
        let longest = numbered.iter().map(|(_, _, terms)| terms.given.ttl).max();
        let grants = Grant::from_verified(verified, numbered);
        self.tell_over(id, subject, ChallengeOutcome::Approved);
        let released = self
            .put_in_force(grants, challenge.waiting, events, now)
            .inspect_err(|_| {
                // What could not be recorded shall not let anybody through later either.
                let _ = self.ledger.revoke_elevation(elevation);
            })?;
        info!(challenge = %id, uid = %subject, released, "approved");
        Ok(Answer::Accepted {
            until_seconds: longest.unwrap_or_default().as_secs(),
            released,
        })
    }

    fn number(
        &self,
        targets: HashMap<Target, Arc<Terms>>,
    ) -> Result<Vec<(GrantId, Target, Arc<Terms>)>, StageError> {
        let numbered = targets
            .into_iter()
            .map(|(target, terms)| Ok((self.ledger.next_grant_id()?, target, terms)));
        numbered.collect()
    }

    fn ended(&self, challenge: &Challenge, outcome: ChallengeOutcome, now: Now) -> Option<Event> {
        let first = challenge.waiting.first()?;
        Some(Event::ChallengeEnded(audit::ChallengeEnd {
            challenge: challenge.id,
            subject: self.subject(challenge.key.subject),
            endpoint: self.endpoint_name(first.facts.endpoint),
            rule: challenge
                .rule()
                .map_or_else(String::new, ToString::to_string),
            outcome,
            waiting: count(challenge.waiting.len()),
            latency_us: micros(now.boot.since(challenge.since)),
        }))
    }

    pub(super) fn deny(
        &mut self,
        caller: Caller,
        id: ChallengeId,
        now: Now,
    ) -> Result<(), Refusal> {
        self.challenges
            .visible(id, caller)
            .ok_or(Refusal::NoSuchChallenge)?;
        let challenge = self
            .challenges
            .dismiss(id, now.boot)
            .ok_or(Refusal::NoSuchChallenge)?;
        info!(challenge = %id, by = %caller.uid, "denied by the user");
        let event = self.ended(&challenge, ChallengeOutcome::Denied, now);
        self.note(now, event);
        self.tell_over(id, challenge.key.subject, ChallengeOutcome::Denied);
        self.end_waiting(challenge.waiting, CloseReason::Denied, None, now);
        Ok(())
    }
}

/// What an answer earns: for each connection that waits what its own rule gives. Where two rules
/// would give the same thing, the one that ends first counts.
fn earned(challenge: &Challenge, now: Now) -> HashMap<Target, Arc<Terms>> {
    let mut earned: HashMap<Target, Arc<Terms>> = HashMap::new();
    for waiting in &challenge.waiting {
        let Some(terms) = &waiting.terms else {
            continue;
        };
        let target = super::attempts::target_of(&waiting.facts, terms);
        let best = earned.entry(target).or_insert_with(|| Arc::clone(terms));
        if terms.expires(now.boot) < best.expires(now.boot) {
            *best = Arc::clone(terms);
        }
    }
    earned
}
