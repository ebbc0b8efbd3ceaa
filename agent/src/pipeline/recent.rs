// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The last decisions, in memory: what `stile top` shows. The audit log has all of them, and for
//! good; but only root reads that.

use std::collections::VecDeque;

use crate::audit::{Challenge, ChallengeEnd, ChallengeOutcome, Decision, DecisionOutcome, Event};
use crate::clock::Now;
use crate::ids::ChallengeId;
use crate::service::{Caller, DecisionView};

/// How many are kept: some screens full. A decision is less than a KiB, so all are less than
/// 256 KiB.
const KEPT: usize = 256;
/// How many of them may be one user's while others have some: nobody crowds the others out.
const KEPT_OF_ONE: usize = KEPT / 2;

/// A decision, and the challenge that it raised.
#[derive(Debug)]
struct Entry {
    view: DecisionView,
    challenge: Option<ChallengeId>,
}

/// The last decisions and ends of challenges, oldest first.
#[derive(Debug, Default)]
pub(super) struct Recent {
    entries: VecDeque<Entry>,
}

impl Recent {
    /// Keeps what this event tells, if it is a decision or the end of a challenge.
    pub(super) fn note(&mut self, now: Now, event: &Event) {
        match event {
            Event::Decision(decision) => self.push(Entry {
                view: decided(decision, now),
                challenge: None,
            }),
            Event::Challenge(challenge) => self.raised(challenge),
            Event::ChallengeEnded(end) => {
                let view = self.ended(end, now);
                self.push(Entry {
                    view,
                    challenge: None,
                });
            }
            _ => {}
        }
    }

    /// What the caller may see (promise S7), newest first.
    pub(super) fn visible(&self, caller: Caller) -> Vec<DecisionView> {
        let newest = self.entries.iter().rev().map(|entry| &entry.view);
        newest
            .filter(|view| caller.is_admin() || view.uid == caller.uid)
            .cloned()
            .collect()
    }

    fn push(&mut self, entry: Entry) {
        if self.entries.len() >= KEPT {
            let uid = entry.view.uid;
            let of_same = |entry: &Entry| entry.view.uid == uid;
            let crowds = self.entries.iter().filter(|entry| of_same(entry)).count() >= KEPT_OF_ONE;
            let oldest = self.entries.iter().position(of_same).filter(|_| crowds);
            self.entries.remove(oldest.unwrap_or(0));
        }
        self.entries.push_back(entry);
    }

    /// The challenge is told right after the decision that raised it.
    fn raised(&mut self, challenge: &Challenge) {
        let asks = |entry: &&mut Entry| {
            entry.view.uid == challenge.flow.subject.uid
                && entry.view.outcome == name(DecisionOutcome::Challenge)
        };
        if let Some(entry) = self.entries.iter_mut().rev().find(asks) {
            entry.challenge = Some(challenge.challenge);
        }
    }

    /// The end names no connection; the decision that raised the challenge did, if it is still
    /// kept.
    fn ended(&self, end: &ChallengeEnd, now: Now) -> DecisionView {
        let raised = |entry: &&Entry| entry.challenge == Some(end.challenge);
        let first = self.entries.iter().rev().find(raised);
        let of_first = |field: fn(&DecisionView) -> &String| {
            first.map_or_else(String::new, |first| field(&first.view).clone())
        };
        DecisionView {
            time: now.wall.seconds(),
            uid: end.subject.uid,
            outcome: end_name(end.outcome).to_owned(),
            endpoint: end.endpoint.clone(),
            destination: of_first(|view| &view.destination),
            program: of_first(|view| &view.program),
            rule: end.rule.clone(),
            reason: reason(end.outcome).to_owned(),
        }
    }
}

fn decided(decision: &Decision, now: Now) -> DecisionView {
    let flow = &decision.flow;
    DecisionView {
        time: now.wall.seconds(),
        uid: flow.subject.uid,
        outcome: name(decision.outcome).to_owned(),
        endpoint: flow.destination.endpoint.clone(),
        destination: flow.destination.shown(),
        program: flow
            .process
            .exe
            .clone()
            .unwrap_or_else(|| flow.process.comm.clone()),
        rule: decision.rule.clone().unwrap_or_default(),
        reason: decision.reason.clone(),
    }
}

/// As the audit log names it.
fn name(outcome: DecisionOutcome) -> &'static str {
    match outcome {
        DecisionOutcome::Observe => "observe",
        DecisionOutcome::Allow => "allow",
        DecisionOutcome::Elevated => "elevated",
        DecisionOutcome::Challenge => "challenge",
        DecisionOutcome::Deny => "deny",
    }
}

/// As the audit log names it.
fn end_name(outcome: ChallengeOutcome) -> &'static str {
    match outcome {
        ChallengeOutcome::Approved => "approved",
        ChallengeOutcome::Denied => "denied",
        ChallengeOutcome::TimedOut => "timed-out",
        ChallengeOutcome::Withdrawn => "withdrawn",
        ChallengeOutcome::Failed => "failed",
    }
}

fn reason(outcome: ChallengeOutcome) -> &'static str {
    match outcome {
        ChallengeOutcome::Approved => "with proof",
        ChallengeOutcome::Denied => "not wanted",
        ChallengeOutcome::TimedOut => "nobody answered in time",
        ChallengeOutcome::Withdrawn => "nothing waits any more",
        ChallengeOutcome::Failed => "a fault of stile",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Destination, Flow, ProcessFacts, Subject};
    use crate::clock::{BootTime, WallTime};
    use crate::ids::{SocketCookie, Uid};

    const ALICE: Uid = Uid(1000);
    const BOB: Uid = Uid(1001);

    fn at(seconds: u64) -> Now {
        Now {
            boot: BootTime(seconds * 1_000_000_000),
            wall: WallTime(seconds * 1_000_000_000),
        }
    }

    fn flow(uid: Uid) -> Flow {
        Flow {
            socket: SocketCookie(1),
            subject: Subject { uid, user: None },
            process: ProcessFacts {
                pid: 7,
                uid,
                exe: Some("/usr/bin/psql".into()),
                comm: "psql".into(),
                parent_pid: None,
                parent_exe: None,
                cgroup: None,
            },
            destination: Destination {
                address: "2001:db8::1".into(),
                port: 5432,
                protocol: "tcp".into(),
                endpoint: "prod-db".into(),
            },
        }
    }

    fn decision(uid: Uid, outcome: DecisionOutcome) -> Event {
        Event::Decision(Decision {
            flow: flow(uid),
            outcome,
            rule: Some("dba".into()),
            reason: "the rule asks for proof".into(),
            elevation: None,
            instead: None,
            risk: Vec::new(),
            doubts: Vec::new(),
        })
    }

    fn challenge(uid: Uid, id: u64) -> Event {
        Event::Challenge(Challenge {
            challenge: ChallengeId(id),
            flow: flow(uid),
            rule: "dba".into(),
            realm: "default".into(),
            factors: Vec::new(),
            proof: String::new(),
            hold_seconds: 60,
        })
    }

    fn end(uid: Uid, id: u64) -> Event {
        Event::ChallengeEnded(ChallengeEnd {
            challenge: ChallengeId(id),
            subject: Subject { uid, user: None },
            endpoint: "prod-db".into(),
            rule: "dba".into(),
            outcome: ChallengeOutcome::TimedOut,
            waiting: 1,
            latency_us: 5,
        })
    }

    fn seen_by(recent: &Recent, uid: Uid) -> Vec<DecisionView> {
        recent.visible(Caller::user(uid))
    }

    #[test]
    fn the_newest_comes_first_and_says_where_it_goes() {
        let mut recent = Recent::default();
        recent.note(at(10), &decision(ALICE, DecisionOutcome::Deny));
        recent.note(at(11), &decision(ALICE, DecisionOutcome::Challenge));
        let seen = seen_by(&recent, ALICE);
        assert_eq!(
            seen.iter().map(|view| view.time).collect::<Vec<_>>(),
            [11, 10]
        );
        assert_eq!(
            seen[0],
            DecisionView {
                time: 11,
                uid: ALICE,
                outcome: "challenge".into(),
                endpoint: "prod-db".into(),
                destination: "[2001:db8::1]:5432".into(),
                program: "/usr/bin/psql".into(),
                rule: "dba".into(),
                reason: "the rule asks for proof".into(),
            }
        );
    }

    #[test]
    fn the_end_of_a_challenge_says_what_it_was_about() {
        let mut recent = Recent::default();
        recent.note(at(1), &decision(ALICE, DecisionOutcome::Challenge));
        recent.note(at(1), &challenge(ALICE, 4));
        recent.note(at(2), &decision(BOB, DecisionOutcome::Challenge));
        recent.note(at(9), &end(ALICE, 4));
        let seen = seen_by(&recent, ALICE);
        assert_eq!((seen.len(), seen[0].time), (2, 9));
        assert_eq!(seen[0].outcome, "timed-out");
        assert_eq!(seen[0].destination, "[2001:db8::1]:5432");
        assert_eq!(seen[0].program, "/usr/bin/psql");
        // One that is forgotten still ends, without its connection.
        recent.note(at(9), &end(ALICE, 5));
        assert_eq!(seen_by(&recent, ALICE)[0].program, "");
    }

    #[test]
    fn users_see_what_is_theirs_and_root_everything() {
        let mut recent = Recent::default();
        recent.note(at(1), &decision(ALICE, DecisionOutcome::Allow));
        recent.note(at(2), &decision(BOB, DecisionOutcome::Allow));
        recent.note(at(3), &end(BOB, 1));
        assert_eq!(seen_by(&recent, ALICE).len(), 1);
        assert_eq!(seen_by(&recent, BOB).len(), 2);
        assert_eq!(seen_by(&recent, Uid(0)).len(), 3);
        assert!(seen_by(&recent, Uid(4711)).is_empty());
    }

    #[test]
    fn a_busy_user_does_not_crowd_the_others_out() {
        let mut recent = Recent::default();
        recent.note(at(1), &decision(ALICE, DecisionOutcome::Deny));
        for second in 0..5_000 {
            recent.note(at(second), &decision(BOB, DecisionOutcome::Deny));
        }
        assert_eq!(seen_by(&recent, ALICE).len(), 1);
        assert_eq!(seen_by(&recent, BOB).len(), KEPT - 1);
        assert_eq!(seen_by(&recent, BOB)[0].time, 4_999);
        // Whoever has less takes the place of the oldest.
        for second in 0..100 {
            recent.note(at(second), &decision(Uid(1002), DecisionOutcome::Deny));
        }
        assert_eq!(seen_by(&recent, Uid(0)).len(), KEPT);
        assert_eq!(seen_by(&recent, Uid(1002)).len(), 100);
    }
}
