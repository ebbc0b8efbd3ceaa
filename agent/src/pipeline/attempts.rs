// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From an attempt to a decision, and from a decision to a grant, a challenge or a refusal.

use std::sync::Arc;
use std::time::Duration;

use stile_common::{Attempt, GrantKey};
use tracing::{debug, info, warn};

use super::facts::ConnectionFacts;
use super::record::{disposition_name, factor_of};
use super::{Pipeline, StageError};
use crate::audit::{self, CloseReason, DecisionOutcome, Event};
use crate::challenge::{Admission, ChallengeKey, Waiting};
use crate::classify::{Classified, Disposition, Process, ProcessState, Subject};
use crate::clock::{BootTime, Now};
use crate::decide::{
    Bound, ChallengeOrder, Decided, Decision, ElevationFact, Holder, Known, Question, decide,
};
use crate::grant::{Grant, Scope, Target, Terms, Witness};
use crate::ids::{GrantId, SocketCookie, Uid};
use crate::policy::{First, Unknown};

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
        if let Err(error) = self.chain(now, event) {
            self.storage_failed(&error);
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
        self.history.note_attempt(subject, facts.endpoint, now);
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
            bound: elevation.bound(),
            factor: elevation.factor(),
            assurance: elevation.assurance(),
            proven: elevation.proven().boot,
            until: elevation.until(),
            reason: elevation.reason(),
        });
        let decided = {
            let process = facts.process();
            let known = Known {
                facts: &ConnectionFacts::new(question, process, self.sources(), now),
                holder: &holder_of(process),
            };
            decide(
                &self.policy,
                &self.names,
                question,
                known,
                earlier,
                now.boot,
            )
        };
        let grounds = Grounds::of(&decided);
        for (_, why) in &decided.doubts {
            if let Unknown::Names(problem) = why {
                warn!("{problem}");
            }
        }
        match decided.decision {
            Decision::Allow(permit) => {
                let terms = Terms::new(permit.offer(), None);
                let target = target_of(&facts, &terms);
                let key = target.key(subject);
                let issue = |id| Grant::from_rule(&permit, id, subject, terms, target, now);
                let outcome = (DecisionOutcome::Allow, "the rule allows it");
                self.pass(facts, key, outcome, grounds, issue, now)
            }
            Decision::Elevated(permit) => {
                if permit.is_emergency()
                    && let Err(error) = self.emergency_goes_on(question, now)
                {
                    let why = "an emergency can't be recorded";
                    self.refuse(facts, None, why, CloseReason::Fault, now);
                    return Err(error);
                }
                let terms = Terms::new(permit.offer(), Some(permit.realm()));
                let target = target_of(&facts, &terms);
                let key = target.key(subject);
                let issue = |id| Grant::from_elevation(&permit, id, subject, terms, target);
                let outcome = (DecisionOutcome::Elevated, "an earlier proof still counts");
                self.pass(facts, key, outcome, grounds, issue, now)
            }
            Decision::Challenge(order) => self.challenge(facts, &order, grounds, now),
            Decision::Deny(denial) => {
                let rule = denial.rule().map(ToString::to_string);
                let reason = denial.to_string();
                self.refuse_for(facts, rule, &reason, grounds, CloseReason::Denied, now);
                Ok(())
            }
            Decision::Observe(permit) => self.observe(facts, &permit, grounds, now),
        }
    }

    /// Grants what needs no further proof, with the batch. One grant is for all connections of
    /// the batch that it lets through.
    pub(super) fn pass(
        &mut self,
        facts: Classified,
        key: GrantKey,
        (outcome, reason): (DecisionOutcome, &str),
        grounds: Grounds,
        issue: impl FnOnce(GrantId) -> Grant,
        now: Now,
    ) -> Result<(), StageError> {
        let decision = self.decision(&facts, grounds);
        self.pass_silently(facts, key, issue, now)?;
        let Some(grant) = self.batch.grants.get(&key) else {
            return Ok(());
        };
        let decision = audit::Decision {
            outcome,
            rule: Some(grant.terms().rule.to_string()),
            reason: reason.to_owned(),
            elevation: factor_of(grant).1,
            ..decision
        };
        // A log that can't take it will not take the grant either, which then is none.
        self.chain(now, Event::Decision(decision))
    }

    /// The same for what is written down already.
    pub(super) fn pass_silently(
        &mut self,
        facts: Classified,
        key: GrantKey,
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
        self.batch.passing.push(Waiting {
            facts,
            syn: None,
            terms: None,
            deadline: now.boot,
            watch: None,
        });
        Ok(())
    }

    /// A denial for no reason yet, as the log tells it.
    pub(super) fn decision(&self, facts: &Classified, grounds: Grounds) -> audit::Decision {
        audit::Decision {
            flow: self.flow(facts),
            outcome: DecisionOutcome::Deny,
            rule: None,
            reason: String::new(),
            elevation: None,
            instead: None,
            risk: grounds.risk,
            doubts: grounds.doubts,
        }
    }

    /// Asks the user, or lets the connection wait on the question that stands.
    fn challenge(
        &mut self,
        mut facts: Classified,
        order: &ChallengeOrder,
        grounds: Grounds,
        now: Now,
    ) -> Result<(), StageError> {
        let hold = match order.first() {
            First::Hold { max_hold } => max_hold,
            First::Reject => REJECT_WINDOW,
        };
        let key = ChallengeKey {
            subject: order.question().subject,
            realm: order.realm().clone(),
            bound: order.bound().clone(),
            socket: (*order.bound() == Bound::Socket).then_some(facts.cookie),
            proof: order.proof().clone(),
        };
        let terms = Terms::new(order.offer(), Some(order.realm()));
        if order.first() == First::Reject && facts.disposition == Disposition::Held {
            self.turn_away(&mut facts, now);
        }
        let deadline = facts.at.after(hold);
        let flow = self.flow(&facts);
        let (rule, subject) = (terms.rule.to_string(), key.subject);
        let reasons = grounds.reasons();
        let decision = Event::Decision(audit::Decision {
            outcome: DecisionOutcome::Challenge,
            rule: Some(rule.clone()),
            reason: "the rule asks for proof".to_owned(),
            ..self.decision(&facts, grounds)
        });
        let watch = self.watch_exit(&facts);
        self.note_parked(now);
        let waiting = Waiting {
            facts,
            syn: None,
            terms: Some(Arc::new(terms)),
            deadline,
            watch,
        };
        let realm = key.realm.to_string();
        let hourly = self.settings.prompts_per_hour;
        match self
            .challenges
            .admit(key, waiting, reasons, now.boot, hourly)
        {
            Ok(Admission::Joined(id)) => {
                debug!(challenge = %id, "another connection waits");
                self.chain(now, decision)
            }
            Ok(Admission::Raised(id)) => {
                info!(challenge = %id, uid = %subject, "a connection waits for proof");
                let asked = Event::Challenge(audit::Challenge {
                    challenge: id,
                    flow,
                    realm,
                    rule,
                    factors: order.proof().factors(),
                    proof: order.proof().to_string(),
                    hold_seconds: hold.as_secs(),
                });
                if let Err(error) = self.record(now, [decision, asked]) {
                    self.abandon(id, now);
                    return Err(error);
                }
                self.tell_terminal(id, now);
                self.tell_raised(id, now);
                Ok(())
            }
            Err((reason, waiting)) => {
                self.refuse(waiting.facts, Some(rule), reason, CloseReason::Denied, now);
                Ok(())
            }
        }
    }

    /// Ends a parked connection whose rule rejects: the gate parked it because only the daemon can
    /// tell which rule counts. From then on it is one that was rejected.
    fn turn_away(&mut self, facts: &mut Classified, now: Now) {
        let reason = CloseReason::Denied;
        let end = self.closed_event(facts, reason, None, now.boot);
        self.append(now, end);
        self.batch
            .turned_away
            .push((facts.cookie, self.foreign_netns(facts)));
        facts.disposition = Disposition::Rejected;
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
        self.refuse_for(facts, rule, reason, Grounds::default(), closed, now);
    }

    fn refuse_for(
        &mut self,
        facts: Classified,
        rule: Option<String>,
        reason: &str,
        grounds: Grounds,
        closed: CloseReason,
        now: Now,
    ) {
        // The gate has let it pass, and asks for no word.
        if facts.disposition == Disposition::Observed {
            return self.note_observed(&facts, rule, reason, grounds, now);
        }
        info!(uid = facts.attempt.uid, pid = facts.attempt.pid, to = %facts.destination, "refused: {reason}");
        let parked = facts.disposition == Disposition::Held;
        let end = parked.then(|| self.closed_event(&facts, closed, rule.clone(), now.boot));
        let decision = Event::Decision(audit::Decision {
            rule,
            reason: reason.to_owned(),
            ..self.decision(&facts, grounds)
        });
        for event in [decision].into_iter().chain(end) {
            if let Err(error) = self.chain(now, event) {
                self.storage_failed(&error);
                break;
            }
        }
        if parked {
            self.batch.refused.push(Waiting {
                facts,
                syn: None,
                terms: None,
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
    let scope = if terms.alone {
        Scope::Socket(facts.cookie)
    } else {
        Scope::User
    };
    let endpoint = facts.endpoint;
    Target { endpoint, scope }
}

/// What of the user's connects.
fn holder_of(process: Option<&Process>) -> Holder {
    Holder {
        process: process.map(Process::id),
        unit: process.and_then(Process::unit_cgroup),
    }
}

/// What a decision rests on besides its rule, as the log tells it.
#[derive(Clone, Debug, Default)]
pub(super) struct Grounds {
    pub(super) risk: Vec<(String, u32)>,
    pub(super) doubts: Vec<String>,
}

impl Grounds {
    fn of(decided: &Decided) -> Self {
        let doubts = decided.doubts.iter();
        Self {
            risk: decided.risk.clone(),
            doubts: doubts.map(|(rule, why)| format!("{rule}: {why}")).collect(),
        }
    }

    /// For people: most points first.
    fn reasons(&self) -> Vec<String> {
        let mut risk = self.risk.clone();
        risk.sort_by_key(|(_, points)| std::cmp::Reverse(*points));
        let risk = risk
            .into_iter()
            .map(|(name, points)| format!("{name} (+{points})"));
        risk.chain(self.doubts.iter().cloned()).collect()
    }
}
