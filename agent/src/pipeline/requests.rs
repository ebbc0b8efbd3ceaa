// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What people ask and answer.

use tracing::error;

use super::faults::{OWN, UNANSWERED};
use super::{Pipeline, Problem, StageError};
use crate::clock::Now;
use crate::service::{Caller, ChallengeView, News, Refusal, Reply, Request, StatusView};

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
                let answer = self.answer(caller, id, &code, now);
                self.finish(reply, answer);
            }
            Request::Explain(caller, id, text, reply) => {
                let kept = self.explain(caller, id, &text, now);
                self.finish(reply, kept);
            }
            Request::Deny(caller, id, reply) => send(reply, self.deny(caller, id, now)),
            Request::Grants(caller, reply) => {
                self.drain_flows();
                self.forget_closed();
                send(reply, Ok(self.list_grants(caller, now)));
            }
            Request::Revoke(caller, id, reply) => {
                let ended = self.revoke(caller, id, now);
                self.finish(reply, ended);
            }
            Request::Realms(caller, reply) => {
                let realms = self.realms(caller, now);
                self.finish(reply, realms);
            }
            Request::Elevate(caller, wanted, code, reply) => {
                let answer = self.elevate(caller, &wanted, &code, now);
                self.finish(reply, answer);
            }
            Request::RevokeOf(caller, uid, id, reply) => {
                let ended = self.revoke_of(caller, uid, id, now);
                self.finish(reply, ended);
            }
            Request::Reload(caller, reply) => {
                let reloaded = match caller.is_admin() {
                    true => self.reload_and_say().map_err(Refusal::BadPolicy),
                    false => Err(Refusal::NotPermitted),
                };
                send(reply, reloaded);
            }
            Request::EnrollBegin(caller, uid, reply) => {
                let begun = self.enroll_begin(caller, uid, now);
                self.finish(reply, begun);
            }
            Request::EnrollConfirm(caller, uid, code, reply) => {
                let answer = self.enroll_confirm(caller, uid, &code, now);
                self.finish(reply, answer);
            }
            Request::Factors(caller, request) => self.serve_factors(caller, request),
            Request::Proofs(caller, request) => self.serve_proofs(caller, request),
            Request::Recent(caller, reply) => send(reply, Ok(self.recent.visible(caller))),
            Request::Elevations(caller, reply) => {
                let elevations = self.list_elevations(caller, now);
                self.finish(reply, elevations);
            }
        }
    }

    /// Answers a request that may have met a fault, which from now on shows in the status.
    pub(super) fn finish<T>(&mut self, reply: Reply<T>, answer: Result<T, Refusal>) {
        let problem = match &answer {
            Err(Refusal::Storage(_)) => Some(Problem::Storage),
            Err(Refusal::Kernel(_)) => Some(Problem::Kernel),
            Ok(_) | Err(_) => None,
        };
        if let (Some(problem), Err(refusal)) = (problem, &answer) {
            error!("{refusal}");
            self.problems.insert(problem, refusal.to_string());
            self.tell_news(News::Status);
        }
        send(reply, answer);
    }

    fn status(&mut self, caller: Caller) -> StatusView {
        self.report_faults(Self::now());
        self.report_history();
        let faults = (0..).zip(self.known_faults).filter(|(_, count)| *count > 0);
        let faults = faults.map(|(kind, count)| (super::record::fault_name(kind), count));
        let own = OWN.into_iter().zip(self.own_faults());
        let own = own.chain([(UNANSWERED, self.unanswered)]);
        let faults = faults
            .chain(own.filter(|(_, count)| *count > 0))
            .map(|(kind, count)| (kind.to_owned(), count))
            .collect();
        let mut problems: Vec<_> = self.problems.iter().collect();
        problems.sort();
        let blocked = problems.iter().any(|(problem, _)| problem.stops_grants());
        StatusView {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state: if blocked {
                "enforcing, granting nothing"
            } else if self.observes {
                "observing"
            } else {
                "enforcing"
            }
            .to_owned(),
            cgroup: self.options.cgroup.display().to_string(),
            policy: self.policy.version.to_string(),
            policy_loaded: format!("{:.0}", jiff::Timestamp::from(self.loaded)),
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
}

pub(super) fn send<T>(reply: Reply<T>, answer: Result<T, Refusal>) {
    let _ = reply.send(answer);
}

pub(super) fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
