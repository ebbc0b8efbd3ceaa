// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From an attempt to a decision, and from a decision to a grant, a challenge or a refusal.

use std::time::Duration;

use stile_common::{Attempt, GrantKey};
use tracing::{debug, info, warn};

use super::record::{disposition_name, factor_of};
use super::{Pipeline, StageError};
use crate::audit::{self, CloseReason, DecisionOutcome, Event};
use crate::challenge::{Admission, ChallengeKey, Waiting};
use crate::classify::{Classified, Disposition, ProcessState, Subject};
use crate::clock::{BootTime, Now};
use crate::decide::{Decision, ElevationFact, Question, decide};
use crate::grant::{Grant, Scope, Target, Terms, Witness};
use crate::ids::{GrantId, SocketCookie, Uid};
use crate::policy::{self, First};

/// How long a challenge stands for which no connection is parked: as long as an answer that
/// somebody is about to type may take.
const REJECT_WINDOW: Duration = Duration::from_secs(60);

impl Pipeline {
    pub(super) fn attempt_record(&self, facts: &Classified) -> audit::Attempt {
        audit::Attempt {
            flow: self.flow(facts),
            seen_boot_ns: facts.at,
            disposition: disposition_name(facts.disposition).to_owned(),
        }
    }

    /// One attempt, from the kernel's report to its outcome.
    pub(super) fn on_attempt(&mut self, attempt: Attempt) {
        let now = Self::now();
        let (cookie, since) = (SocketCookie(attempt.cookie), BootTime(attempt.boot_ns));
        if self.challenges.has(cookie, since) {
            return;
        }
        let facts = self.classifier.classify(&attempt, now.boot);
        let event = Event::Attempt(self.attempt_record(&facts));
        if let Err(error) = self.audit.append(&audit::Record::new(now, event)) {
            self.storage_failed(&error.into());
            return self.refuse(
                facts,
                None,
                "the audit log can't be written",
                CloseReason::Fault,
                now,
            );
        }
        if let ProcessState::Gone(gone) = &facts.process
            && gone.is_own_fault()
        {
            self.unseen += 1;
            let reason = format!("the daemon can't look at the process: {gone}");
            return self.refuse(facts, None, &reason, CloseReason::Fault, now);
        }
        if let Err(error) = self.learn_slice(&facts) {
            self.untold += 1;
            let reason = format!("the gate can't be told whose session it is: {error}");
            return self.refuse(facts, None, &reason, CloseReason::Fault, now);
        }
        let Some(subject) = facts.subject.uid() else {
            return self.refuse(
                facts,
                None,
                "whose session it is can't be told",
                CloseReason::Denied,
                now,
            );
        };
        if let Err(error) = self.judge(facts, subject, now) {
            self.storage_failed(&error);
        }
    }

    /// Asks the policy, and does what it says.
    fn judge(&mut self, facts: Classified, subject: Uid, now: Now) -> Result<(), StageError> {
        let elevations = match self.ledger.elevations(subject, &self.boot) {
            Ok(elevations) => elevations,
            Err(error) => {
                self.refuse(
                    facts,
                    None,
                    "the ledger can't be read",
                    CloseReason::Fault,
                    now,
                );
                return Err(error.into());
            }
        };
        let question = Question {
            subject,
            endpoint: facts.endpoint,
        };
        let earlier = elevations.iter().map(|elevation| ElevationFact {
            id: elevation.id(),
            realm: elevation.realm(),
            factor: elevation.factor(),
            proven: elevation.proven().boot,
        });
        let judgement = decide(&self.policy, &self.names, question, earlier, now.boot);
        for problem in &judgement.problems {
            warn!("{problem}");
        }
        match judgement.decision {
            Decision::Allow(permit) => {
                let terms = Terms {
                    rule: permit.rule().clone(),
                    given: permit.terms(),
                };
                let target = target_of(&facts, &terms);
                let key = target.key(subject);
                let issue = |id| Grant::from_rule(&permit, id, subject, terms, target, now);
                self.pass(
                    facts,
                    key,
                    DecisionOutcome::Allow,
                    "the rule allows it",
                    issue,
                    now,
                )
            }
            Decision::Elevated(permit) => {
                let terms = Terms {
                    rule: permit.rule().clone(),
                    given: permit.terms(),
                };
                let target = target_of(&facts, &terms);
                let key = target.key(subject);
                let issue = |id| Grant::from_elevation(&permit, id, subject, terms, target);
                self.pass(
                    facts,
                    key,
                    DecisionOutcome::Elevated,
                    "an earlier proof still counts",
                    issue,
                    now,
                )
            }
            Decision::Challenge(order) => {
                let terms = Terms {
                    rule: order.rule().clone(),
                    given: order.terms(),
                };
                self.challenge(facts, subject, terms, order.first(), now)
            }
            Decision::Deny(denial) => {
                let rule = denial.rule().map(ToString::to_string);
                self.refuse(facts, rule, &denial.to_string(), CloseReason::Denied, now);
                Ok(())
            }
        }
    }

    /// Grants what needs no further proof, with the batch. One grant is for all connections of
    /// the batch that it lets through.
    fn pass(
        &mut self,
        facts: Classified,
        key: GrantKey,
        outcome: DecisionOutcome,
        reason: &str,
        issue: impl FnOnce(GrantId) -> Grant,
        now: Now,
    ) -> Result<(), StageError> {
        if !self.batch.grants.contains_key(&key) {
            let grant = match self.ledger.next_grant_id() {
                Ok(id) => issue(id),
                Err(error) => {
                    let reason = "the ledger can't be written";
                    self.refuse(facts, None, reason, CloseReason::Fault, now);
                    return Err(error.into());
                }
            };
            self.batch.grants.insert(key, grant);
        }
        let grant = self.batch.grants.get(&key);
        let decision = audit::Decision {
            flow: self.flow(&facts),
            outcome,
            rule: grant.map(|grant| grant.terms().rule.to_string()),
            reason: reason.to_owned(),
            elevation: grant.and_then(|grant| factor_of(grant).1),
        };
        // A log that can't take it will not take the grant either, which then is none.
        let decision = audit::Record::new(now, Event::Decision(decision));
        let appended = self.audit.append(&decision);
        self.batch.passing.push(Waiting {
            facts,
            syn: None,
            deadline: now.boot,
            watch: None,
        });
        appended.map(drop).map_err(StageError::from)
    }

    /// Asks the user, or lets the connection wait on the question that stands.
    fn challenge(
        &mut self,
        facts: Classified,
        subject: Uid,
        terms: Terms,
        first: First,
        now: Now,
    ) -> Result<(), StageError> {
        let hold = match first {
            First::Hold { max_hold } => max_hold,
            First::Reject => REJECT_WINDOW,
        };
        let socket = (terms.given.scope == policy::Scope::Socket).then_some(facts.cookie);
        let key = ChallengeKey {
            subject,
            rule: terms.rule.clone(),
            socket,
        };
        let deadline = facts.at.after(hold);
        let flow = self.flow(&facts);
        let decision = Event::Decision(audit::Decision {
            flow: flow.clone(),
            outcome: DecisionOutcome::Challenge,
            rule: Some(terms.rule.to_string()),
            reason: "the rule asks for proof".to_owned(),
            elevation: None,
        });
        let rule = terms.rule.to_string();
        let watch = self.watch_exit(&facts);
        let waiting = Waiting {
            facts,
            syn: None,
            deadline,
            watch,
        };
        match self.challenges.admit(key, terms, waiting, now.boot) {
            Ok(Admission::Joined(id)) => {
                debug!(challenge = %id, "another connection waits");
                self.audit.append(&audit::Record::new(now, decision))?;
                Ok(())
            }
            Ok(Admission::Raised(id)) => {
                info!(challenge = %id, uid = %subject, "a connection waits for proof");
                let asked = Event::Challenge(audit::Challenge {
                    challenge: id,
                    flow,
                    realm: rule.clone(),
                    rule,
                    factors: vec![policy::Factor::Totp],
                    hold_seconds: hold.as_secs(),
                });
                if let Err(error) = self.record(now, [decision, asked]) {
                    self.abandon(id, now);
                    return Err(error);
                }
                self.tell_terminal(id, now);
                Ok(())
            }
            Err((reason, waiting)) => {
                self.refuse(waiting.facts, Some(rule), reason, CloseReason::Denied, now);
                Ok(())
            }
        }
    }

    /// Refuses an attempt: nothing was granted, so nothing opens. A parked socket is ended with
    /// the batch.
    pub(super) fn refuse(
        &mut self,
        facts: Classified,
        rule: Option<String>,
        reason: &str,
        closed: CloseReason,
        now: Now,
    ) {
        info!(uid = facts.attempt.uid, pid = facts.attempt.pid, to = %facts.destination, "refused: {reason}");
        let parked = facts.disposition == Disposition::Held;
        let end = parked.then(|| self.closed_event(&facts, closed, rule.clone(), now.boot));
        let decision = Event::Decision(audit::Decision {
            flow: self.flow(&facts),
            outcome: DecisionOutcome::Deny,
            rule,
            reason: reason.to_owned(),
            elevation: None,
        });
        for event in [decision].into_iter().chain(end) {
            if let Err(error) = self.audit.append(&audit::Record::new(now, event)) {
                self.storage_failed(&error.into());
                break;
            }
        }
        if parked {
            self.batch.refused.push(Waiting {
                facts,
                syn: None,
                deadline: now.boot,
                watch: None,
            });
        }
    }

    /// Tells the gate whose session a slice is, so that it can find that user's grants. Without
    /// that no grant would let the connection go on.
    fn learn_slice(&mut self, facts: &Classified) -> Result<(), String> {
        match &facts.subject {
            Subject::Learned { uid, slice } => self.teach_slice(slice, *uid),
            Subject::Known(_) | Subject::Unknown => Ok(()),
        }
    }
}

/// Who is at the terminal of a connection.
pub(super) fn witness_of(facts: &Classified) -> Option<Witness> {
    Some(Witness {
        process: facts.process()?.clone(),
        program: facts.program_shown(),
        destination: facts.destination,
    })
}

/// What a rule's terms give to a connection.
pub(super) fn target_of(facts: &Classified, terms: &Terms) -> Target {
    let scope = match terms.given.scope {
        policy::Scope::User => Scope::User,
        policy::Scope::Socket => Scope::Socket(facts.cookie),
    };
    let endpoint = facts.endpoint;
    Target { endpoint, scope }
}
