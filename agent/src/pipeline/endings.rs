// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Grants that take effect and grants that end, connections that go on and connections that
//! don't.

use std::collections::HashMap;
use std::time::Duration;

use stile_common::{GrantKey, scope};
use tracing::info;

use super::attempts::witness_of;
use super::requests::count;
use super::sockets::Parked;
use super::{Pipeline, Problem, StageError};
use crate::audit::{self, ChallengeOutcome, CloseReason, Event, Passage, micros};
use crate::challenge::{Waiting, Withdrawn};
use crate::classify::Process;
use crate::clock::{BootTime, Now};
use crate::grant::{Grant, Live};
use crate::ids::{ChallengeId, GrantId, Uid};
use crate::service::News;

/// How often what the gate has counted is written down, and the log flushed, while there may be
/// something.
const LOOK: Duration = Duration::from_secs(1);

/// More reports than this leave so much freed memory behind that giving it back is worth its time.
const FLOOD: usize = 1000;

/// Why a grant ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Expired,
    Revoked(Uid),
}

impl Pipeline {
    /// Puts grants in force and lets the connections go on that wait for them. Returns how
    /// many did. First the log, then the kernel's map, then the packets.
    pub(super) fn put_in_force(
        &mut self,
        grants: Vec<Grant>,
        waiting: Vec<Waiting>,
        mut events: Vec<Event>,
        now: Now,
    ) -> Result<u32, StageError> {
        events.extend(grants.iter().map(|grant| self.grant_event(grant)));
        if let Err(error) = self.record(now, events) {
            self.end_waiting(waiting, CloseReason::Fault, None, now);
            return Err(error);
        }
        let mut by_key: HashMap<GrantKey, GrantId> = HashMap::new();
        let mut failure = None;
        let mut refused = Vec::new();
        for grant in grants {
            match self.gate.put_grant(&grant) {
                Ok(()) => {
                    by_key.insert(grant.key(), grant.id());
                    let view = Box::new(self.grant_view(&grant, now));
                    self.tell_news(News::Granted(view));
                    self.grants.insert(grant);
                }
                Err(error) => {
                    self.unwritten += 1;
                    refused.push(self.grant_end(&Live::new(grant)));
                    failure = Some(error);
                }
            }
        }
        match failure {
            None => drop(self.problems.remove(&Problem::Kernel)),
            // The log has them as given.
            Some(_) => {
                let by = Uid(0);
                let ends = refused.into_iter();
                self.note(now, ends.map(|end| Event::GrantRevoked { end, by }));
            }
        }
        let found = |waiting: &Waiting| self.key_of(waiting).and_then(|key| by_key.get(&key));
        let (through, stuck): (Vec<_>, Vec<_>) = waiting
            .into_iter()
            .map(|waiting| (found(&waiting).copied(), waiting))
            .partition(|(grant, _)| grant.is_some());
        let released = self.release(through, now);
        let stuck = stuck.into_iter().map(|(_, waiting)| waiting).collect();
        self.end_waiting(stuck, CloseReason::Fault, None, now);
        failure.map_or(Ok(released), |error| Err(error.into()))
    }

    /// The key of the grant that the gate finds for this connection.
    fn key_of(&self, waiting: &Waiting) -> Option<GrantKey> {
        let subject = waiting.facts.subject.uid()?;
        let endpoint = waiting.facts.endpoint.0;
        let user = GrantKey {
            id: u64::from(subject.0),
            scope: scope::USER,
            endpoint,
        };
        let socket = GrantKey {
            id: waiting.cookie().0,
            scope: scope::SOCKET,
            endpoint,
        };
        [socket, user].into_iter().find(|key| self.grants.has(key))
    }

    /// Lets connections go on, each under its grant, and then writes that down: people wait.
    /// Returns how many were parked; a rejected one has to come again.
    fn release(&mut self, through: Vec<(Option<GrantId>, Waiting)>, now: Now) -> u32 {
        let mut released = Vec::new();
        let mut parked = Vec::new();
        let mut rejected = Vec::new();
        for (grant, mut waiting) in through {
            if let Some(grant) = grant.filter(|_| waiting.is_parked()) {
                let netns = self.foreign_netns(&waiting.facts);
                self.grants.add_flow(grant, waiting.cookie(), netns.clone());
                let process = waiting.facts.process();
                self.grants.set_maker(grant, process.map(Process::id));
                self.grants
                    .add_witness(grant, || witness_of(&waiting.facts));
                parked.push(Parked::new(&mut waiting, netns));
                released.push((grant, waiting.facts));
            } else {
                rejected.push(waiting.facts);
            }
        }
        self.sockets.go_on(parked, now.boot);
        let done = Self::now().boot;
        // One by one: the records of thousands of connections are large, and memory that was
        // once taken for all of them at the same time would stay with the daemon.
        for (grant, facts) in &released {
            if let Err(error) = self.gate.forget_held(facts.cookie) {
                self.storage_failed(&error.into());
            }
            if let Some(live) = self.grants.get(*grant) {
                let passage = Passage::Released;
                let latency = micros(done.since(facts.at));
                let event = self.connection_event(facts, &live.grant, passage, Some(latency));
                self.append(now, event);
            }
        }
        self.note(now, []);
        let released_facts = released.iter().map(|(_, facts)| facts);
        self.remember(released_facts.chain(&rejected), now);
        u32::try_from(released.len()).unwrap_or(u32::MAX)
    }

    /// Ends connections that wait: nothing was granted to them.
    pub(super) fn end_waiting(
        &mut self,
        waiting: Vec<Waiting>,
        reason: CloseReason,
        rule: Option<String>,
        now: Now,
    ) {
        let parked: Vec<_> = waiting
            .into_iter()
            .filter(|waiting| waiting.is_parked())
            .collect();
        for waiting in &parked {
            let rule = rule.clone().or(waiting.rule().map(ToString::to_string));
            let event = self.closed_event(&waiting.facts, reason, rule, now.boot);
            self.append(now, event);
        }
        self.note(now, []);
        self.end_parked(parked, now);
    }

    /// Ends parked connections whose end is written down.
    pub(super) fn end_parked(&mut self, waiting: Vec<Waiting>, now: Now) {
        let mut parked = Vec::new();
        for mut waiting in waiting {
            if let Err(error) = self.gate.forget_held(waiting.cookie()) {
                self.storage_failed(&error.into());
            }
            let netns = self.foreign_netns(&waiting.facts);
            parked.push(Parked::new(&mut waiting, netns));
        }
        self.sockets.end(parked, now.boot);
    }

    /// Takes connections out of their challenges and ends them.
    pub(super) fn withdraw(
        &mut self,
        gone: impl FnMut(&Waiting) -> bool,
        outcome: ChallengeOutcome,
        reason: CloseReason,
        now: Now,
    ) {
        for withdrawn in self.challenges.withdraw(gone) {
            if withdrawn.ended {
                info!(challenge = %withdrawn.id, ?outcome, "a challenge is over");
                let event = self.challenge_end(&withdrawn, outcome, now.boot);
                self.note(now, event);
            }
            self.tell_end(&withdrawn.waiting, outcome);
            if withdrawn.ended {
                self.tell_over(withdrawn.id, withdrawn.key.subject, outcome);
            }
            self.end_waiting(withdrawn.waiting, reason, None, now);
        }
    }

    /// Ends a challenge that could not be recorded.
    pub(super) fn abandon(&mut self, id: ChallengeId, now: Now) {
        if let Some(challenge) = self.challenges.take(id) {
            self.end_waiting(challenge.waiting, CloseReason::Fault, None, now);
        }
    }

    pub(super) fn challenge_end(
        &self,
        withdrawn: &Withdrawn,
        outcome: ChallengeOutcome,
        now: BootTime,
    ) -> Option<Event> {
        let first = withdrawn.waiting.first()?;
        Some(Event::ChallengeEnded(audit::ChallengeEnd {
            challenge: withdrawn.id,
            subject: self.subject(withdrawn.key.subject),
            endpoint: self.endpoint_name(first.facts.endpoint),
            rule: first.rule().map_or_else(String::new, ToString::to_string),
            outcome,
            waiting: count(withdrawn.waiting.len()),
            latency_us: micros(now.since(first.facts.at)),
        }))
    }

    /// Ends what has come to its end by now.
    pub(super) fn on_alarm(&mut self) {
        let now = Self::now();
        let whole = now.boot >= self.looked.after(LOOK);
        if whole {
            self.looked = now.boot;
            self.stirred = false;
        }
        self.drain_attempts();
        self.read_flows(now);
        self.end_late(now);
        self.withdraw_given_up(now);
        self.tell_endings(now);
        for live in self.grants.take_expired(now.boot) {
            if let Err(error) = self.end_grant(live, Why::Expired, now) {
                self.storage_failed(&error);
            }
        }
        self.sockets.tidy(now.boot);
        self.save_history(now);
        if whole {
            self.end_spent(now);
            self.note(now, []);
            self.report_flood(now);
            self.report_faults(now);
            self.calm_down();
        }
    }

    /// Ends what nobody has answered in time.
    pub(super) fn end_late(&mut self, now: Now) {
        let next = self.challenges.next_deadline();
        if next.is_some_and(|next| next <= now.boot) {
            let late = |waiting: &Waiting| waiting.deadline <= now.boot;
            self.withdraw(late, ChallengeOutcome::TimedOut, CloseReason::TimedOut, now);
        }
    }

    /// After a flood, gives back the memory that it took, also for code.
    fn calm_down(&mut self) {
        if self.is_flooded() && !self.stirred {
            self.busy = 0;
            super::run::shrink();
        }
    }

    /// True if a flood has left memory behind that nobody needs any more.
    fn is_flooded(&self) -> bool {
        self.busy > FLOOD && self.challenges.is_empty()
    }

    /// Ends a grant that was taken out of the table, and the connections under it (promise
    /// S3), unless its rule lets them outlive it.
    pub(super) fn end_grant(&mut self, live: Live, why: Why, now: Now) -> Result<(), StageError> {
        let end = self.grant_end(&live);
        let keeps = live.grant.terms().keeps() && why == Why::Expired;
        self.tell_news(News::GrantEnded {
            id: live.grant.id(),
            uid: live.grant.subject(),
            why: match why {
                Why::Expired => "expired",
                Why::Revoked(_) => "revoked",
            },
        });
        info!(grant = %live.grant.id(), uid = %live.grant.subject(), ?why, connections = end.connections, "a grant is over");
        self.note(
            now,
            [match why {
                Why::Expired => Event::GrantExpired(end),
                Why::Revoked(by) => Event::GrantRevoked { end, by },
            }],
        );
        if keeps {
            // The entry stays in the kernel: it lets nothing new through, and tells the
            // connections that were let through that nobody revoked it.
            return Ok(());
        }
        // Each of these is done, whatever becomes of the others.
        let removed = self.gate.remove_grant(&live.grant.key());
        let asked = match why {
            Why::Expired => Ok(()),
            Why::Revoked(_) => self.gate.bump_epoch(),
        };
        self.sockets.end_all(live.flows.into_iter().collect());
        Ok(removed.and(asked)?)
    }

    /// The next time at which something ends by itself.
    pub(super) fn next_alarm(&self) -> Option<BootTime> {
        // While a grant is live, the connections that it lets through are written down at
        // least once a second. So is, once after something was reported, what the gate has
        // counted; otherwise nothing wakes the daemon. Counted from the last look, so that a
        // busy daemon doesn't put it off with every event.
        let stirred = self.stirred || self.is_flooded() || self.flood.is_on();
        let soon = !self.grants.is_empty() || stirred;
        let soon = soon.then(|| self.looked.after(LOOK));
        let flows = (!self.grants.is_empty()).then_some(self.flows_due);
        let ends = [self.grants.next_end(), self.sockets.next_deadline()];
        let saved = self.history.save_due();
        let given_up = self.next_given_up_look();
        let first = [
            self.challenges.next_deadline(),
            given_up,
            soon,
            flows,
            saved,
        ];
        first.into_iter().chain(ends).flatten().min()
    }
}
