// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What people ask and answer.

use std::collections::HashSet;

use stile_common::{GrantKey, scope};
use tracing::info;
use zeroize::Zeroizing;

use super::{Pipeline, StageError};
use crate::audit::{self, ChallengeOutcome, CloseReason, Event, FactorOutcome, micros};
use crate::challenge::Challenge;
use crate::clock::Now;
use crate::grant::{Grant, Target};
use crate::ids::{ChallengeId, ElevationId, GrantId, Uid};
use crate::pipeline::endings::Why;
use crate::policy::Factor;
use crate::service::{
    Answer, Caller, ChallengeView, Enrollment, GrantView, Refusal, Reply, Request, StatusView,
    seconds_up,
};
use crate::sys::sock_diag::{Family, TcpStates, list_tcp};
use crate::verify::{EnrollOutcome, Verification, Verified, verify_totp};

impl From<StageError> for Refusal {
    fn from(error: StageError) -> Self {
        match error {
            StageError::Gate(error) => Self::Kernel(error.to_string()),
            other => Self::Storage(other.to_string()),
        }
    }
}

impl Pipeline {
    /// Answers one request. Whoever asked and is gone by now needs no answer.
    pub(super) fn serve(&mut self, request: Request) {
        let now = Self::now();
        match request {
            Request::Status(caller, reply) => send(reply, Ok(self.status(caller))),
            Request::Pending(caller, reply) => send(reply, Ok(self.pending(caller, now))),
            Request::Answer(caller, id, code, reply) => {
                send(reply, self.answer(caller, id, &code, now));
            }
            Request::Deny(caller, id, reply) => send(reply, self.deny(caller, id, now)),
            Request::Grants(caller, reply) => {
                self.drain_flows();
                self.forget_closed();
                send(reply, Ok(self.list_grants(caller, now)));
            }
            Request::Revoke(caller, id, reply) => send(reply, self.revoke(caller, id, now)),
            Request::EnrollBegin(caller, uid, reply) => {
                send(reply, self.enroll_begin(caller, uid, now));
            }
            Request::EnrollConfirm(caller, uid, code, reply) => {
                send(reply, self.enroll_confirm(caller, uid, &code, now));
            }
        }
    }

    fn status(&mut self, caller: Caller) -> StatusView {
        self.report_faults(Self::now());
        let faults = (0..).zip(self.known_faults).filter(|(_, count)| *count > 0);
        let faults = faults
            .map(|(kind, count)| (super::record::fault_name(kind).to_owned(), count))
            .collect();
        let mut problems: Vec<_> = self.problems.iter().collect();
        problems.sort();
        let blocked = problems.iter().any(|(problem, _)| problem.stops_grants());
        StatusView {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state: if blocked {
                "enforcing, granting nothing"
            } else {
                "enforcing"
            }
            .to_owned(),
            cgroup: self.options.cgroup.display().to_string(),
            policy: self.policy.version.to_string(),
            endpoints: count(self.policy.endpoints.len()),
            rules: count(self.policy.rules.len()),
            pending: count(self.challenges.len()),
            grants: count(self.grants.len()),
            enrolled: self.ledger.is_enrolled(caller.uid).unwrap_or(false),
            problems: problems.into_iter().map(|(_, what)| what.clone()).collect(),
            faults,
        }
    }

    fn pending(&self, caller: Caller, now: Now) -> Vec<ChallengeView> {
        self.challenges
            .all_visible(caller)
            .filter_map(|challenge| self.view(challenge, now))
            .collect()
    }

    /// What the user is shown: facts of the kernel and names of the policy, nothing that the
    /// process chose unescaped.
    fn view(&self, challenge: &Challenge, now: Now) -> Option<ChallengeView> {
        let first = challenge.waiting.first()?;
        let endpoint = self.endpoint_name(first.facts.endpoint);
        let ttl = crate::config::format_duration(challenge.terms.given.ttl);
        Some(ChallengeView {
            id: challenge.id,
            uid: challenge.key.subject,
            grants: match challenge.key.socket {
                Some(_) => format!("this connection for {ttl}"),
                None => format!("{endpoint} for {ttl}"),
            },
            endpoint,
            destination: first.facts.destination.to_string(),
            rule: challenge.key.rule.to_string(),
            program: first.facts.program_shown(),
            pid: first.facts.attempt.pid,
            parent: first.facts.process().map_or_else(
                || "a process that has ended".to_owned(),
                |process| process.origin(),
            ),
            waiting: count(challenge.waiting.len()),
            seconds_left: seconds_up(challenge.deadline().since(now.boot)),
        })
    }

    /// Checks a code. A right one is used up, whatever happens afterwards.
    fn answer(
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
        let (subject, rule) = (challenge.key.subject, challenge.key.rule.clone());
        let verification = verify_totp(
            &mut self.ledger,
            subject,
            rule.as_str(),
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

    fn factor_used(
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
        let mut targets: Vec<Target> = Vec::new();
        for waiting in &challenge.waiting {
            let target = super::attempts::target_of(&waiting.facts, &challenge.terms);
            if !targets.contains(&target) {
                targets.push(target);
            }
        }
        let numbered = self.number(targets);
        let numbered = match numbered {
            Ok(numbered) => numbered,
            Err(error) => {
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

    fn number(&self, targets: Vec<Target>) -> Result<Vec<(GrantId, Target)>, StageError> {
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

    fn deny(&mut self, caller: Caller, id: ChallengeId, now: Now) -> Result<(), Refusal> {
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

    /// Forgets connections that are over. Those in other namespaces are counted on.
    fn forget_closed(&mut self) {
        let listed = [Family::V4, Family::V6].map(|family| list_tcp(family, TcpStates::LIVE));
        let [Ok(v4), Ok(v6)] = listed else { return };
        let live: HashSet<_> = v4.iter().chain(&v6).map(|socket| socket.cookie).collect();
        for granted in self.grants.iter_mut() {
            granted
                .flows
                .retain(|cookie, netns| netns.is_some() || live.contains(cookie));
        }
    }

    fn list_grants(&self, caller: Caller, now: Now) -> Vec<GrantView> {
        let visible = self
            .grants
            .iter()
            .filter(|live| caller.is_admin() || live.grant.subject() == caller.uid);
        visible
            .map(|live| GrantView {
                id: live.grant.id(),
                uid: live.grant.subject(),
                endpoint: self.endpoint_name(live.grant.target().endpoint),
                rule: live.grant.terms().rule.to_string(),
                scope: live.grant.target().scope.to_string(),
                factor: live.grant.basis().to_string(),
                seconds_left: seconds_up(live.grant.expires().since(now.boot)),
                connections: count(live.flows.len()),
            })
            .collect()
    }

    /// Ends grants early, with the elevation behind them: the next connection asks again.
    fn revoke(&mut self, caller: Caller, id: Option<GrantId>, now: Now) -> Result<u32, Refusal> {
        self.drain_flows();
        let visible = self
            .grants
            .ids_of((!caller.is_admin()).then_some(caller.uid));
        let ids = match id {
            Some(id) if visible.contains(&id) => vec![id],
            Some(_) => return Err(Refusal::NoSuchGrant),
            None => visible,
        };
        let mut ended = 0;
        for id in ids {
            let Some(live) = self.grants.remove(id) else {
                continue;
            };
            if let crate::grant::Basis::Factor { elevation, .. } = live.grant.basis() {
                self.ledger
                    .revoke_elevation(*elevation)
                    .map_err(StageError::from)?;
            }
            self.end_grant(live, Why::Revoked(caller.uid), now)?;
            ended += 1;
        }
        if id.is_none() {
            ended += self.revoke_kept(caller, now)?;
        }
        Ok(ended)
    }

    /// Ends connections that outlived their grant (`on_expiry = "keep"`). Returns how many grants
    /// those were.
    fn revoke_kept(&mut self, caller: Caller, now: Now) -> Result<u32, StageError> {
        let own = u64::from(caller.uid.0);
        let is_own = |key: &GrantKey| key.scope == scope::USER && key.id == own;
        let mut kept = self.gate.grants()?;
        kept.retain(|(key, _)| caller.is_admin() || is_own(key));
        let ends: Vec<_> = kept
            .iter()
            .map(|(key, value)| Event::GrantRevoked {
                end: self.kept_end(key, value),
                by: caller.uid,
            })
            .collect();
        if !ends.is_empty() {
            self.note(now, ends);
        }
        for (key, _) in &kept {
            self.gate.remove_grant(key)?;
        }
        if !kept.is_empty() {
            self.gate.bump_epoch()?;
        }
        Ok(u32::try_from(kept.len()).unwrap_or(u32::MAX))
    }

    fn enroll_begin(&mut self, caller: Caller, uid: Uid, now: Now) -> Result<Enrollment, Refusal> {
        self.may_enroll(caller, uid)?;
        let account = self.subject_name(uid).unwrap_or_else(|| uid.to_string());
        let begun = self
            .enrollments
            .begin(uid, &account, &self.settings.issuer, now);
        begun.map_err(|error| Refusal::Storage(error.to_string()))
    }

    /// Users may enroll themselves once, if the settings let them; what is there already is
    /// replaced by root only, so that malware can't swap a factor for its own.
    fn may_enroll(&self, caller: Caller, uid: Uid) -> Result<(), Refusal> {
        if caller.is_admin() {
            return Ok(());
        }
        if caller.uid != uid || !self.settings.self_enroll {
            return Err(Refusal::NotPermitted);
        }
        if self.ledger.is_enrolled(uid).map_err(StageError::from)? {
            return Err(Refusal::AlreadyEnrolled(uid));
        }
        Ok(())
    }

    fn enroll_confirm(
        &mut self,
        caller: Caller,
        uid: Uid,
        code: &Zeroizing<String>,
        now: Now,
    ) -> Result<Answer, Refusal> {
        self.may_enroll(caller, uid)?;
        let confirmed = self
            .enrollments
            .confirm(&mut self.ledger, uid, code, now, &self.boot);
        match confirmed.map_err(StageError::from)? {
            EnrollOutcome::Enrolled => {
                info!(%uid, by = %caller.uid, "enrolled");
                let subject = self.subject(uid);
                let event = Event::Enrolled {
                    subject,
                    factor: Factor::Totp,
                    by: caller.uid,
                };
                self.record(now, [event])?;
                Ok(Answer::Accepted {
                    until_seconds: 0,
                    released: 0,
                })
            }
            EnrollOutcome::Wrong { tries_left } => {
                self.factor_used(uid, FactorOutcome::Wrong, None, now)?;
                Ok(Answer::Wrong { tries_left })
            }
            EnrollOutcome::Throttled { retry } => Ok(Answer::Throttled {
                retry_seconds: seconds_up(retry),
            }),
            EnrollOutcome::Locked => Err(Refusal::Locked),
            EnrollOutcome::NoEnrollment | EnrollOutcome::Dropped => Err(Refusal::NoEnrollment),
        }
    }
}

fn send<T>(reply: Reply<T>, answer: Result<T, Refusal>) {
    let _ = reply.send(answer);
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
