// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Codes and refusals: what people say to a challenge.

use std::collections::HashSet;

use tracing::info;
use zeroize::Zeroizing;

use super::requests::count;
use super::{Pipeline, StageError};
use crate::audit::{self, ChallengeOutcome, CloseReason, Event, FactorOutcome, micros};
use crate::challenge::Challenge;
use crate::clock::Now;
use crate::grant::{Grant, Target};
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
        let waiting = challenge.waiting.iter();
        let targets: HashSet<Target> = waiting
            .map(|waiting| super::attempts::target_of(&waiting.facts, &challenge.terms))
            .collect();
        let numbered = self.number(targets);
        let numbered = match numbered {
            Ok(numbered) => numbered,
            Err(error) => {
                let _ = self.ledger.revoke_elevation(elevation);
                let rule = Some(challenge.key.rule.to_string());
                self.end_waiting(challenge.waiting, CloseReason::Fault, rule, now);
                return Err(error.into());
            }
        };
        let mut events =
            vec![self.factor_event(subject, FactorOutcome::Accepted, Some(id), Some(elevation))];
        events.extend(self.ended(&challenge, ChallengeOutcome::Approved, now));
        let ttl = challenge.terms.given.ttl;
        let grants = Grant::from_verified(verified, &challenge.terms, numbered);
        let released = self
            .put_in_force(grants, challenge.waiting, events, now)
            .inspect_err(|_| {
                // What could not be recorded shall not let anybody through later either.
                let _ = self.ledger.revoke_elevation(elevation);
            })?;
        info!(challenge = %id, uid = %subject, released, "approved");
        Ok(Answer::Accepted {
            until_seconds: ttl.as_secs(),
            released,
        })
    }

    fn number(&self, targets: HashSet<Target>) -> Result<Vec<(GrantId, Target)>, StageError> {
        let numbered = targets
            .into_iter()
            .map(|target| Ok((self.ledger.next_grant_id()?, target)));
        numbered.collect()
    }

    fn ended(&self, challenge: &Challenge, outcome: ChallengeOutcome, now: Now) -> Option<Event> {
        let first = challenge.waiting.first()?;
        Some(Event::ChallengeEnded(audit::ChallengeEnd {
            challenge: challenge.id,
            subject: self.subject(challenge.key.subject),
            endpoint: self.endpoint_name(first.facts.endpoint),
            rule: challenge.key.rule.to_string(),
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
        let rule = Some(challenge.key.rule.to_string());
        self.end_waiting(challenge.waiting, CloseReason::Denied, rule, now);
        Ok(())
    }
}
