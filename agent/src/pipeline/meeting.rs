// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which challenges a proof meets, and what others still lack.

use std::sync::Arc;

use super::proving::Purposes;
use super::{Pipeline, StageError};
use crate::audit::{Event, FactorOutcome};
use crate::challenge::{Challenge, ChallengeKey, Proven};
use crate::clock::{BootTime, Now};
use crate::decide::Bound;
use crate::ids::{ChallengeId, Uid};
use crate::policy::{Factor, Given, Proof};
use crate::service::{Answer, Elevate, Refusal};
use crate::verify::Verified;

impl Pipeline {
    /// What the user has to prove themselves with.
    pub(super) fn at_hand(&self, uid: Uid) -> Vec<Factor> {
        let mut factors = Vec::new();
        if self.ledger.is_enrolled(uid).unwrap_or(false) {
            factors.push(Factor::Totp);
        }
        if self.ledger.recovery_codes_left(uid).unwrap_or(0) > 0 {
            factors.push(Factor::Recovery);
        }
        let services = self.policy.levels.services().cloned();
        factors.extend(services.map(Factor::Pam));
        factors
    }

    /// What the user can answer a challenge with now: what the rule takes, and wasn't given yet.
    pub(super) fn answers_to(&self, challenge: &Challenge, now: Now) -> Vec<Factor> {
        let given = self.given(challenge, now).unwrap_or_default();
        let given: Vec<_> = given.iter().map(as_given).collect();
        let at_hand = self.at_hand(challenge.key.subject);
        let proof = &challenge.key.proof;
        proof.missing(&given, &at_hand, &self.policy.levels)
    }

    /// Refuses a factor that the rule doesn't take, before a code is used up for nothing.
    pub(super) fn takes(
        &self,
        challenge: &Challenge,
        factor: &Factor,
        now: Now,
    ) -> Result<(), Refusal> {
        let given = self.given(challenge, now)?;
        let given: Vec<_> = given.iter().map(as_given).collect();
        let helps =
            challenge
                .key
                .proof
                .missing(&given, std::slice::from_ref(factor), &self.policy.levels);
        match helps.is_empty() {
            true => Err(Refusal::NotTaken {
                factor: factor.to_string(),
                proof: challenge.key.proof.to_string(),
            }),
            false => Ok(()),
        }
    }

    /// The same for a proof that is given beforehand: some rule of the realm has to take it.
    pub(super) fn some_take(&self, proofs: &[Proof], factor: &Factor) -> Result<(), Refusal> {
        let levels = &self.policy.levels;
        let one = std::slice::from_ref(factor);
        let helps = |proof: &Proof| !proof.missing(&[], one, levels).is_empty();
        if proofs.iter().any(helps) {
            return Ok(());
        }
        let asked: Vec<_> = proofs.iter().map(ToString::to_string).collect();
        Err(Refusal::NotTaken {
            factor: factor.to_string(),
            proof: asked.join("; or "),
        })
    }

    /// Lets through what a proof that answers a challenge meets, and keeps it for what asks for
    /// more.
    pub(super) fn proven(
        &mut self,
        id: ChallengeId,
        key: &ChallengeKey,
        verified: Verified,
        now: Now,
    ) -> Result<Answer, Refusal> {
        self.challenges.note_proven(
            id,
            Proven {
                factor: verified.factor().clone(),
                assurance: verified.assurance(),
                at: verified.proven().boot,
                reason: verified.reason().map(Arc::from),
            },
        );
        let met = self.met(
            key.subject,
            key.realm.as_str(),
            Some(id),
            &[&key.bound],
            now,
        )?;
        if met.iter().any(|(met, _)| *met == id) {
            return self.approve_met(&met, verified, key.realm.as_str(), now);
        }
        let missing = match self.challenges.get(id) {
            Some(challenge) => self.answers_to(challenge, now),
            None => return Err(Refusal::NoSuchChallenge),
        };
        if met.is_empty() {
            self.half_proven(id, key, &verified, now)?;
        } else {
            self.approve_met(&met, verified, key.realm.as_str(), now)?;
        }
        Ok(Answer::More {
            factors: missing.iter().map(ToString::to_string).collect(),
        })
    }

    /// Ends the challenges that are met; what is granted ends with the first proof behind it.
    pub(super) fn approve_met(
        &mut self,
        met: &[(ChallengeId, Option<BootTime>)],
        verified: Verified,
        realm: &str,
        now: Now,
    ) -> Result<Answer, Refusal> {
        let ids: Vec<_> = met.iter().map(|(id, _)| *id).collect();
        let verified = match met.iter().filter_map(|(_, until)| *until).min() {
            Some(until) => verified.not_after(until),
            None => verified,
        };
        self.approve(&ids, verified, realm, now)
    }

    /// What every rule of a realm still asks for, after what was given beforehand; `None` if one
    /// has what it asks for.
    pub(super) fn missing_in(
        &self,
        uid: Uid,
        wanted: &Elevate,
        purposes: &Purposes,
        now: Now,
    ) -> Result<Option<Vec<String>>, StageError> {
        let stored = self.ledger.elevations(uid, &self.boot)?;
        let given: Vec<_> = stored
            .iter()
            .filter(|it| it.realm() == wanted.realm && *it.bound() == purposes.first)
            .filter(|it| now.boot < it.proven().boot.after(purposes.ttl))
            .map(crate::ledger::StoredElevation::given)
            .collect();
        let levels = &self.policy.levels;
        if purposes
            .proofs
            .iter()
            .any(|proof| proof.is_met(&given, levels))
        {
            return Ok(None);
        }
        let at_hand = self.at_hand(uid);
        let mut missing: Vec<String> = Vec::new();
        for proof in &purposes.proofs {
            for factor in proof.missing(&given, &at_hand, levels) {
                let name = factor.to_string();
                if !missing.contains(&name) {
                    missing.push(name);
                }
            }
        }
        Ok(Some(missing))
    }

    /// Writes a right answer down that was given beforehand, and isn't all that is asked for.
    pub(super) fn half_elevated(
        &mut self,
        uid: Uid,
        realm: &str,
        verified: &Verified,
        now: Now,
    ) -> Result<(), StageError> {
        let used = crate::audit::FactorUse {
            elevation: Some(verified.elevation()),
            realm: Some(realm.to_owned()),
            reason: verified.reason().map(str::to_owned),
            ..self.factor_use(uid, verified.factor(), FactorOutcome::Accepted, None)
        };
        let alarm = self.recovery_alarm(uid, verified.recovery_left());
        self.record(now, [Event::Factor(used)].into_iter().chain(alarm))
    }

    /// Writes a right answer down that is not all that was asked for.
    fn half_proven(
        &mut self,
        id: ChallengeId,
        key: &ChallengeKey,
        verified: &Verified,
        now: Now,
    ) -> Result<(), StageError> {
        let factor = verified.factor();
        let used = crate::audit::FactorUse {
            elevation: Some(verified.elevation()),
            realm: Some(key.realm.to_string()),
            reason: verified.reason().map(str::to_owned),
            ..self.factor_use(key.subject, factor, FactorOutcome::Accepted, Some(id))
        };
        let alarm = self.recovery_alarm(key.subject, verified.recovery_left());
        self.record(now, [Event::Factor(used)].into_iter().chain(alarm))
    }

    /// The challenges of a user in a realm, for these connections or of this id, that have all
    /// that they ask for. Those that ask for several factors with the time at which the first of
    /// these ends.
    pub(super) fn met(
        &self,
        subject: Uid,
        realm: &str,
        answered: Option<ChallengeId>,
        bounds: &[&Bound],
        now: Now,
    ) -> Result<Vec<(ChallengeId, Option<BootTime>)>, StageError> {
        let mut met = Vec::new();
        for challenge in self.challenges.all() {
            let key = &challenge.key;
            let shared = key.bound != Bound::Socket && bounds.contains(&&key.bound);
            if key.subject != subject
                || key.realm.as_str() != realm
                || !(shared || answered == Some(challenge.id))
            {
                continue;
            }
            let given = self.given(challenge, now)?;
            let ttl = challenge.shortest_ttl();
            let timed: Vec<_> = given
                .iter()
                .map(|one| (as_given(one), one.at.after(ttl)))
                .collect();
            if let Some(at) = key.proof.rests_on(&timed, &self.policy.levels) {
                let several = key.proof.is_several();
                let until = several.then(|| timed.get(at).map(|(_, until)| *until));
                met.push((challenge.id, until.flatten()));
            }
        }
        Ok(met)
    }

    /// What was given for a challenge and still counts: for itself, and for what shares its proofs.
    pub(super) fn given(&self, challenge: &Challenge, now: Now) -> Result<Vec<Proven>, StageError> {
        let key = &challenge.key;
        let ttl = challenge.shortest_ttl();
        let mut given = challenge.proven.clone();
        if key.bound != Bound::Socket {
            let stored = self.ledger.elevations(key.subject, &self.boot)?;
            let shared = stored
                .iter()
                .filter(|it| it.realm() == key.realm.as_str() && *it.bound() == key.bound)
                .filter(|it| it.until().is_none_or(|until| now.boot < until));
            given.extend(shared.map(|it| Proven {
                factor: it.factor().clone(),
                assurance: it.assurance(),
                at: it.proven().boot,
                reason: it.reason().map(Arc::from),
            }));
        }
        given.retain(|one| one.at <= now.boot && now.boot < one.at.after(ttl));
        Ok(given)
    }
}

pub(super) fn as_given(proven: &Proven) -> Given<'_> {
    Given {
        factor: &proven.factor,
        assurance: proven.assurance,
        reason: proven.reason.as_deref(),
    }
}
