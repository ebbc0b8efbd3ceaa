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
use crate::service::{Answer, Caller, Refusal};
use crate::verify::{Purpose, Verified, factor_of, verify_code};

impl Pipeline {
    /// Checks a code. A right one is used up, whatever happens afterwards.
    pub(super) fn answer(
        &mut self,
        caller: Caller,
        id: ChallengeId,
        code: &Zeroizing<String>,
        now: Now,
    ) -> Result<Answer, Refusal> {
        self.settle(now);
        let Some(challenge) = self.challenges.answerable(id, caller, now.boot) else {
            return Err(self.past.refusal(id, caller));
        };
        let key = challenge.key.clone();
        let subject = key.subject;
        self.takes(challenge, &factor_of(code), now)?;
        let reason = self.reason_for(challenge, now)?;
        // Each answer is written down, also one that isn't looked at.
        if !self.flood.admits(caller.uid, now.boot) {
            return Err(Refusal::Busy);
        }
        let purpose = Purpose {
            recovery: key.proof.recovery,
            reason: reason.as_deref(),
            ..Purpose::new(key.realm.as_str(), &key.bound)
        };
        let verification = verify_code(&mut self.ledger, subject, purpose, code, now, &self.boot);
        let judged = self.judged(subject, &factor_of(code), Some(id), verification, now);
        match judged.map_err(|refusal| self.told_who(caller, subject, refusal))? {
            Ok(verified) => self.proven(id, &key, verified, now),
            Err(answer) => Ok(answer),
        }
    }

    /// What the gate reported before an answer, and what has come to its end by then, counts as
    /// before it, whichever the daemon has read first.
    pub(super) fn settle(&mut self, now: Now) {
        self.drain_attempts();
        self.end_late(now);
    }

    pub(super) fn factor_used(
        &mut self,
        uid: Uid,
        factor: &Factor,
        outcome: FactorOutcome,
        challenge: Option<ChallengeId>,
        now: Now,
    ) -> Result<(), StageError> {
        let used = self.factor_use(uid, factor, outcome, challenge);
        self.record(now, [Event::Factor(used)])
    }

    pub(super) fn factor_use(
        &self,
        uid: Uid,
        factor: &Factor,
        outcome: FactorOutcome,
        challenge: Option<ChallengeId>,
    ) -> audit::FactorUse {
        audit::FactorUse {
            subject: self.subject(uid),
            factor: factor.clone(),
            outcome,
            challenge,
            elevation: None,
            realm: None,
            reason: None,
        }
    }

    /// Turns a verified factor into grants for everything that waits on these challenges.
    pub(super) fn approve(
        &mut self,
        ids: &[ChallengeId],
        verified: Verified,
        realm: &str,
        now: Now,
    ) -> Result<Answer, Refusal> {
        let elevations: Vec<_> = [verified.elevation()]
            .into_iter()
            .chain(verified.further().iter().copied())
            .collect();
        let subject = verified.uid();
        let challenges: Vec<_> = ids
            .iter()
            .filter_map(|id| self.challenges.take(*id))
            .collect();
        let outcome = ChallengeOutcome::Approved;
        let numbered = match self.number(earned(&challenges, now)) {
            Ok(numbered) => numbered,
            Err(error) => {
                self.take_back(&elevations);
                for challenge in challenges {
                    self.tell_over(challenge.id, subject, ChallengeOutcome::Failed);
                    self.end_waiting(challenge.waiting, CloseReason::Fault, None, now);
                }
                return Err(error.into());
            }
        };
        let mut events = vec![audit::FactorUse {
            elevation: elevations.first().copied(),
            realm: Some(realm.to_owned()),
            reason: verified.reason().map(str::to_owned),
            ..self.factor_use(
                subject,
                verified.factor(),
                FactorOutcome::Accepted,
                ids.first().copied(),
            )
        }]
        .into_iter()
        .map(Event::Factor)
        .collect::<Vec<_>>();
        events.extend(self.recovery_alarm(subject, verified.recovery_left()));
        for challenge in &challenges {
            events.extend(self.ended(challenge, outcome, now));
        }
        let over: Vec<_> = challenges.iter().map(|challenge| challenge.id).collect();
        let longest = numbered.iter().map(|(_, _, terms)| terms.given.ttl).max();
        let grants = Grant::from_verified(verified, numbered);
        let waiting = challenges.into_iter().flat_map(|it| it.waiting).collect();
        let released = self.put_in_force(grants, waiting, events, now);
        // Nobody is told that something was approved which then came to nothing.
        let outcome = match released {
            Ok(_) => outcome,
            Err(_) => ChallengeOutcome::Failed,
        };
        for id in over {
            self.tell_over(id, subject, outcome);
        }
        let released = released.inspect_err(|_| {
            // What could not be recorded shall not let anybody through later either.
            self.take_back(&elevations);
        })?;
        info!(challenges = ?ids, uid = %subject, released, "approved");
        Ok(Answer::Accepted {
            until_seconds: longest.unwrap_or_default().as_secs(),
            released,
        })
    }

    fn take_back(&self, elevations: &[ElevationId]) {
        for elevation in elevations {
            let _ = self.ledger.revoke_elevation(*elevation);
        }
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
fn earned(challenges: &[Challenge], now: Now) -> HashMap<Target, Arc<Terms>> {
    let mut earned: HashMap<Target, Arc<Terms>> = HashMap::new();
    for waiting in challenges.iter().flat_map(|it| &it.waiting) {
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
