// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From an attempt to a decision, and from a decision to a grant, a challenge or a refusal.

use std::time::Duration;

use stile_common::{Attempt, Cut};
use tracing::{debug, info, warn};

use super::record::{disposition_name, factor_of};
use super::{Pipeline, StageError};
use crate::audit::{self, CloseReason, DecisionOutcome, Event, Passage};
use crate::challenge::{Admission, ChallengeKey, Waiting};
use crate::classify::{Classified, Subject};
use crate::clock::Now;
use crate::decide::{Decision, ElevationFact, Question, decide};
use crate::grant::{Grant, Scope, Target, Terms, Witness};
use crate::ids::{ChallengeId, GrantId, SocketCookie, Uid};
use crate::kernel::{Record, decode};
use crate::policy::{self, First};
use crate::sys::replay::SynPacket;

/// Most reports that are read at one go: about 50 ms of work.
const RECORDS_PER_TURN: usize = 256;
/// How long a challenge stands for which no connection is parked: as long as an answer that
/// somebody is about to type may take.
const REJECT_WINDOW: Duration = Duration::from_secs(60);

impl Pipeline {
    /// Reads what the gate has reported and what wants an answer; what one turn leaves is read
    /// in the next, so that people and clocks have theirs in between.
    pub(super) fn drain_attempts(&mut self) {
        for _ in 0..RECORDS_PER_TURN {
            let record = self.rings.attempts.next().map(|bytes| decode(&bytes));
            self.stirred |= record.is_some();
            match record {
                Some(Ok(Record::Attempt(attempt))) => self.on_attempt(*attempt),
                Some(Ok(Record::Syn(cookie, packet))) => self.on_syn(cookie, &packet),
                Some(Ok(Record::Cut(cut))) => self.on_cut(&cut),
                Some(Err(error)) => warn!("the gate reported what can't be read: {error}"),
                None => return self.all_read(),
            }
        }
        self.all_read();
        self.backlog = true;
    }

    /// Writes down the rest of a batch, such as who joined a challenge that stands, and tells
    /// the gate that its reports are read: the daemon is alive.
    fn all_read(&mut self) {
        self.backlog = false;
        if let Err(error) = self.audit.commit() {
            self.storage_failed(&error.into());
        }
        if let Err(error) = self.gate.mark_read() {
            self.storage_failed(&error.into());
        }
    }

    /// Reads which connections passed under a grant.
    pub(super) fn drain_flows(&mut self) {
        let now = Self::now();
        let mut events = Vec::new();
        while let Some(record) = self.rings.flows.next().map(|bytes| decode(&bytes)) {
            let Ok(Record::Attempt(attempt)) = record else {
                continue;
            };
            let facts = self.classifier.classify(&attempt);
            let netns = self.foreign_netns(&facts);
            let grant = GrantId(attempt.grant);
            self.grants.add_flow(grant, facts.cookie, netns);
            self.grants.add_witness(grant, || witness_of(&facts));
            events.push(Event::Attempt(self.attempt_record(&facts)));
            if let Some(live) = self.grants.get(grant) {
                events.push(self.connection_event(&facts, &live.grant, Passage::Passed, None));
            }
        }
        if !events.is_empty() {
            self.note(now, events);
        }
    }

    fn attempt_record(&self, facts: &Classified) -> audit::Attempt {
        audit::Attempt {
            flow: self.flow(facts),
            seen_boot_ns: facts.at,
            disposition: disposition_name(facts.disposition).to_owned(),
        }
    }

    /// One attempt, from the kernel's report to its outcome.
    pub(super) fn on_attempt(&mut self, attempt: Attempt) {
        let now = Self::now();
        let facts = self.classifier.classify(&attempt);
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
        self.learn_slice(&facts);
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
    pub(super) fn judge(
        &mut self,
        facts: Classified,
        subject: Uid,
        now: Now,
    ) -> Result<(), StageError> {
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
                let issue = |id| Grant::from_rule(&permit, id, subject, terms, target, now);
                self.pass(
                    facts,
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
                let issue = |id| Grant::from_elevation(&permit, id, subject, terms, target);
                self.pass(
                    facts,
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

    /// Grants what needs no further proof.
    fn pass(
        &mut self,
        facts: Classified,
        outcome: DecisionOutcome,
        reason: &str,
        issue: impl FnOnce(GrantId) -> Grant,
        now: Now,
    ) -> Result<(), StageError> {
        let grant = match self.ledger.next_grant_id() {
            Ok(id) => issue(id),
            Err(error) => {
                self.refuse(
                    facts,
                    None,
                    "the ledger can't be written",
                    CloseReason::Fault,
                    now,
                );
                return Err(error.into());
            }
        };
        let decision = audit::Decision {
            flow: self.flow(&facts),
            outcome,
            rule: Some(grant.terms().rule.to_string()),
            reason: reason.to_owned(),
            elevation: factor_of(&grant).1,
        };
        let waiting = Waiting {
            facts,
            syn: None,
            deadline: now.boot,
            watch: None,
        };
        self.put_in_force(
            vec![grant],
            vec![waiting],
            vec![Event::Decision(decision)],
            now,
        )
        .map(drop)
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
        let decision = Event::Decision(audit::Decision {
            flow: self.flow(&facts),
            outcome: DecisionOutcome::Challenge,
            rule: Some(terms.rule.to_string()),
            reason: "the rule asks for proof".to_owned(),
            elevation: None,
        });
        let asked = audit::Challenge {
            challenge: ChallengeId(0),
            flow: self.flow(&facts),
            rule: terms.rule.to_string(),
            realm: terms.rule.to_string(),
            factors: vec![policy::Factor::Totp],
            hold_seconds: hold.as_secs(),
        };
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
                    ..asked
                });
                if let Err(error) = self.record(now, [decision, asked]) {
                    self.abandon(id, now);
                    return Err(error);
                }
                self.tell_terminal(id, now);
                Ok(())
            }
            Err((reason, waiting)) => {
                let rule = Some(asked.rule);
                self.refuse(waiting.facts, rule, reason, CloseReason::Denied, now);
                Ok(())
            }
        }
    }

    /// Refuses an attempt: nothing was granted, so nothing opens. A parked socket is ended.
    pub(super) fn refuse(
        &mut self,
        facts: Classified,
        rule: Option<String>,
        reason: &str,
        closed: CloseReason,
        now: Now,
    ) {
        info!(uid = facts.attempt.uid, pid = facts.attempt.pid, to = %facts.destination, "refused: {reason}");
        let decision = Event::Decision(audit::Decision {
            flow: self.flow(&facts),
            outcome: DecisionOutcome::Deny,
            rule: rule.clone(),
            reason: reason.to_owned(),
            elevation: None,
        });
        self.note(now, [decision]);
        self.end_waiting(
            vec![Waiting {
                facts,
                syn: None,
                deadline: now.boot,
                watch: None,
            }],
            closed,
            rule,
            now,
        );
    }

    /// A captured SYN: it waits with its connection, or is dealt with as was decided already.
    fn on_syn(&mut self, cookie: SocketCookie, packet: &[u8]) {
        match SynPacket::parse(packet) {
            Ok(syn) => {
                if let Some(syn) = self.sockets.arrived(cookie, syn)
                    && self.challenges.set_syn(cookie, syn).is_some()
                {
                    debug!(%cookie, "a SYN of a connection that nobody waits for");
                }
            }
            Err(error) => warn!(%cookie, "a captured SYN can't be replayed: {error}"),
        }
    }

    /// The gate has cut a connection whose grant is over: its client is told.
    fn on_cut(&mut self, cut: &Cut) {
        debug!(cookie = cut.cookie, grant = cut.grant, "cut by the gate");
        self.sockets.end_all(&[(SocketCookie(cut.cookie), None)]);
    }

    /// Tells the gate whose session a slice is, so that it can find that user's grants.
    fn learn_slice(&mut self, facts: &Classified) {
        if let Subject::Learned { uid, slice } = &facts.subject
            && let Err(error) = self.teach_slice(slice, *uid)
        {
            warn!("{}: {error}", slice.display());
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
