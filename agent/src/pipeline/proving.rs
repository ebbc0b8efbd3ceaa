// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Proofs that take a conversation. The conversation itself is led elsewhere, so that a reader
//! which nobody touches keeps nobody else waiting; here it is admitted, and judged when it ends.

use tracing::warn;

use super::reasons::explained;
use super::{Pipeline, StageError};
use crate::audit::{Event, FactorFailure, FactorFault, FactorOutcome};
use crate::challenge::Challenge;
use crate::clock::Now;
use crate::decide::Bound;
use crate::ids::{ChallengeId, Uid};
use crate::policy::{Assurance, Factor};
use crate::service::{
    Admission, Answer, Caller, ProofFor, ProofRequest, Refusal, Unanswered, seconds_up,
};
use crate::verify::pam::{PamFailure, PamPassed, StartError};
use crate::verify::{Answered, Purpose, Verification, accept_pam, fail_pam};

impl Pipeline {
    pub(super) fn serve_proofs(&mut self, caller: Caller, request: ProofRequest) {
        let now = Self::now();
        match request {
            ProofRequest::Admit(what, factor, reply) => {
                let admission = self.admit(caller, &what, &factor, now);
                self.finish(reply, admission);
            }
            ProofRequest::Passed(what, passed, reply) => {
                let answer = self.passed(caller, &what, passed, now);
                self.finish(reply, answer);
            }
            ProofRequest::Emergencies(reply) => {
                let found = self.list_emergencies(caller, now);
                self.finish(reply, found);
            }
            ProofRequest::BreakGlass(wanted, code, reply) => {
                let answer = self.break_glass(caller, &wanted, &code, now);
                self.finish(reply, answer);
            }
            ProofRequest::Failed(what, factor, reply) => {
                let answer = self.failed(caller, &what, &factor, now);
                self.finish(reply, answer);
            }
            ProofRequest::Unanswered(what, factor, why, reply) => {
                let refusal = self.unanswered(caller, &what, factor, &why, now);
                self.finish(reply, Err(refusal));
            }
        }
    }

    fn admit(
        &mut self,
        caller: Caller,
        what: &ProofFor,
        factor: &Factor,
        now: Now,
    ) -> Result<Admission, Refusal> {
        self.settle(now);
        let Factor::Pam(service) = factor else {
            return Err(Refusal::NoSuchFactor(factor.to_string()));
        };
        let setting = self.settings.pam.iter().find(|it| it.service == *service);
        let setting = setting.ok_or_else(|| Refusal::NoSuchFactor(factor.to_string()))?;
        let mut limit = setting.timeout;
        match what {
            ProofFor::Challenge(id) => {
                let challenge = self.answerable_by(*id, caller, now)?;
                self.takes(challenge, factor, now)?;
                self.reason_for(challenge, now)?;
                limit = limit.min(challenge.deadline().since(now.boot));
            }
            ProofFor::Realm(wanted) => {
                let purposes = self.purposes(caller, wanted, now)?;
                self.some_take(&purposes.explained()?, factor)?;
            }
            ProofFor::Emergency(wanted) => {
                let opening = self.opening(caller, wanted, factor, now)?;
                limit = limit.min(opening.until().since(now.boot));
            }
        }
        let user = self
            .subject_name(caller.uid)
            .ok_or_else(|| Refusal::NoSuchFactor(factor.to_string()))?;
        if !self.flood.admits(caller.uid, now.boot) {
            return Err(Refusal::Busy);
        }
        let throttle = self
            .ledger
            .throttle(caller.uid, factor, now.boot, &self.boot)
            .map_err(StageError::from)?;
        let challenge = challenge_of(what);
        match throttle {
            crate::ledger::Throttle::Open => {}
            crate::ledger::Throttle::Wait(left) => {
                self.factor_used(caller.uid, factor, FactorOutcome::Throttled, challenge, now)?;
                let retry_seconds = seconds_up(left);
                return Err(Refusal::Throttled { retry_seconds });
            }
            crate::ledger::Throttle::Locked => {
                self.factor_used(caller.uid, factor, FactorOutcome::Locked, challenge, now)?;
                return Err(Refusal::Locked);
            }
        }
        Ok(Admission {
            user,
            service: service.clone(),
            limit,
        })
    }

    /// The challenge, if it is the caller's own, whoever they are, and its time isn't over.
    pub(super) fn answerable_by(
        &self,
        id: ChallengeId,
        caller: Caller,
        now: Now,
    ) -> Result<&Challenge, Refusal> {
        let challenge = self.challenges.answerable(id, caller, now.boot);
        challenge
            .filter(|it| it.key.subject == caller.uid)
            .ok_or_else(|| self.past.refusal(id, Caller::user(caller.uid)))
    }

    fn passed(
        &mut self,
        caller: Caller,
        what: &ProofFor,
        passed: PamPassed,
        now: Now,
    ) -> Result<Answer, Refusal> {
        self.settle(now);
        let name = passed.service().name().to_owned();
        let setting = self
            .settings
            .pam
            .iter()
            .find(|it| it.service.as_str() == name);
        let setting = setting.ok_or_else(|| Refusal::NoSuchFactor(format!("pam:{name}")))?;
        let factor = Factor::Pam(setting.service.clone());
        let assurance = setting.assurance;
        match what {
            ProofFor::Challenge(id) => {
                let challenge = self.answerable_by(*id, caller, now)?;
                self.takes(challenge, &factor, now)?;
                let reason = self.reason_for(challenge, now)?;
                let key = challenge.key.clone();
                let purpose = Purpose {
                    reason: reason.as_deref(),
                    ..Purpose::new(key.realm.as_str(), &key.bound)
                };
                let verification =
                    self.accept(caller.uid, &factor, assurance, purpose, passed, now);
                match self.judged(caller.uid, &factor, Some(*id), verification, now)? {
                    Ok(verified) => self.proven(*id, &key, verified, now),
                    Err(answer) => Ok(answer),
                }
            }
            ProofFor::Realm(wanted) => {
                let purposes = self.purposes(caller, wanted, now)?;
                self.some_take(&purposes.explained()?, &factor)?;
                let purpose = purposes.purpose(&wanted.realm);
                let verification =
                    self.accept(caller.uid, &factor, assurance, purpose, passed, now);
                match self.judged(caller.uid, &factor, None, verification, now)? {
                    Ok(verified) => self.elevated(caller, wanted, &purposes, verified, now),
                    Err(answer) => Ok(answer),
                }
            }
            ProofFor::Emergency(wanted) => {
                let opening = self.opening(caller, wanted, &factor, now)?;
                let purpose = opening.purpose();
                let verification =
                    self.accept(caller.uid, &factor, assurance, purpose, passed, now);
                match self.judged(caller.uid, &factor, None, verification, now)? {
                    Ok(verified) => self.break_open(&opening, verified, now),
                    Err(answer) => Ok(answer),
                }
            }
        }
    }

    fn accept(
        &mut self,
        uid: Uid,
        factor: &Factor,
        assurance: Assurance,
        purpose: Purpose<'_>,
        passed: PamPassed,
        now: Now,
    ) -> Result<Verification, crate::ledger::LedgerError> {
        let user = self.subject_name(uid).unwrap_or_default();
        let answered = Answered {
            uid,
            user: &user,
            factor,
            assurance,
        };
        accept_pam(&mut self.ledger, answered, purpose, passed, now, &self.boot)
    }

    fn failed(
        &mut self,
        caller: Caller,
        what: &ProofFor,
        factor: &Factor,
        now: Now,
    ) -> Result<Answer, Refusal> {
        let verification = fail_pam(&mut self.ledger, caller.uid, factor, now, &self.boot);
        let challenge = challenge_of(what);
        match self.judged(caller.uid, factor, challenge, verification, now)? {
            Err(answer) => Ok(answer),
            // A no is never a proof.
            Ok(_) => Err(Refusal::NotPermitted),
        }
    }

    /// Writes down that PAM could not tell. It counts as no try, because whoever was asked may
    /// have done everything right.
    fn unanswered(
        &mut self,
        caller: Caller,
        what: &ProofFor,
        factor: Factor,
        why: &Unanswered,
        now: Now,
    ) -> Refusal {
        let text = why.to_string();
        warn!(uid = %caller.uid, %factor, "{text}");
        self.unanswered += 1;
        let event = Event::FactorFailed(FactorFailure {
            subject: self.subject(caller.uid),
            service: match &factor {
                Factor::Pam(service) => service.to_string(),
                _ => String::new(),
            },
            factor,
            fault: fault_of(why),
            why: text.clone(),
            challenge: challenge_of(what),
        });
        match self.record(now, [event]) {
            Ok(()) => Refusal::NotTold(text),
            Err(error) => error.into(),
        }
    }
}

/// What failed, as the log has it.
fn fault_of(why: &Unanswered) -> FactorFault {
    match why {
        Unanswered::NotAsked(StartError::Service(_)) => FactorFault::ServiceFile,
        Unanswered::NotAsked(_) => FactorFault::NotStarted,
        Unanswered::Failed(failure) => match failure {
            PamFailure::TimedOut { .. } => FactorFault::TimedOut,
            PamFailure::Crashed { .. } | PamFailure::NoVerdict { .. } => FactorFault::Crashed,
            PamFailure::Account { .. } => FactorFault::Account,
            PamFailure::Unavailable { .. } => FactorFault::Unavailable,
            _ => FactorFault::Broken,
        },
    }
}

/// For which connections a proof that is given beforehand counts, and how long.
pub(super) struct Purposes {
    pub(super) first: Bound,
    pub(super) further: Vec<Bound>,
    pub(super) until: Option<crate::clock::BootTime>,
    /// The longest that rules of the realm let it count.
    pub(super) ttl: std::time::Duration,
    /// What rules of the realm ask for.
    pub(super) proofs: Vec<crate::policy::Proof>,
    /// The reason that the user gave.
    pub(super) reason: Option<String>,
}

impl Purposes {
    pub(super) fn purpose<'a>(&'a self, realm: &'a str) -> Purpose<'a> {
        Purpose {
            realm,
            bound: &self.first,
            further: &self.further,
            until: self.until,
            recovery: true,
            reason: self.reason.as_deref(),
        }
    }

    /// What rules of the realm ask for whose reason this is.
    pub(super) fn explained(&self) -> Result<Vec<crate::policy::Proof>, Refusal> {
        explained(&self.proofs, self.reason.as_deref())
    }
}

fn challenge_of(what: &ProofFor) -> Option<ChallengeId> {
    match what {
        ProofFor::Challenge(id) => Some(*id),
        ProofFor::Realm(_) | ProofFor::Emergency(_) => None,
    }
}
