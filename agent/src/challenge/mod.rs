// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Challenges: one pending request for proof for each subject and realm, however many
//! connections wait on it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

mod index;
#[cfg(test)]
mod tests;

use self::index::Index;
use crate::classify::{Classified, Disposition};
use tokio::task::AbortHandle;

use crate::clock::BootTime;
use crate::decide::Bound;
use crate::grant::Terms;
use crate::ids::{ChallengeId, SocketCookie, Uid};
use crate::policy::{Assurance, Factor, Proof, RuleName};
use crate::service::Caller;
use crate::sys::replay::SynPacket;

/// Most challenges that one user may have pending. A program that trips over every rule of a
/// large policy stays below it.
const MAX_PER_USER: usize = 16;
/// Most connections of one user that wait at once. The pools of a whole application server stay
/// below it; what is beyond is refused, so that one user can't fill the maps (the kernel's `HELD`
/// has room for 32,768).
const MAX_WAITING_PER_USER: usize = 12_288;
/// How long a dismissed challenge is not raised again: a client that retries would otherwise
/// ask the same question without end.
const DISMISSAL: Duration = Duration::from_secs(10);
/// What is unusual about connections that join a challenge is told too, up to this many reasons.
const MAX_REASONS: usize = 8;
/// Over which time the prompts of a user are counted.
const HOUR: Duration = Duration::from_secs(60 * 60);

/// Why a connection may not wait whose user has been asked too often.
pub const TOO_OFTEN: &str =
    "this user was asked too often within an hour; `stile elevate` asks without a connection";

/// A connection that waits.
#[derive(Debug)]
pub struct Waiting {
    /// Who and what.
    pub facts: Classified,
    /// Its SYN, once the gate has handed it out.
    pub syn: Option<SynPacket>,
    /// What it gets once somebody has answered; none where nobody is asked for it.
    pub terms: Option<Arc<Terms>>,
    /// When it is refused if nobody has answered.
    pub deadline: BootTime,
    /// Watches the process while a connection of it waits.
    pub watch: Option<Arc<ExitWatch>>,
}

/// A watch of a process. It ends, and gives its descriptors back, when this is dropped: a
/// process may live on for weeks after its connection has stopped waiting.
#[derive(Debug)]
pub struct ExitWatch(AbortHandle);

impl ExitWatch {
    /// True if it still watches.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.0.is_finished()
    }
}

impl From<AbortHandle> for ExitWatch {
    fn from(task: AbortHandle) -> Self {
        Self(task)
    }
}

impl Drop for ExitWatch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Waiting {
    /// Takes the terms from one that has the same: thousands may wait.
    fn share_terms(&mut self, others: &[Self]) {
        let same = others.iter().find(|other| other.terms == self.terms);
        if let Some(other) = same {
            self.terms.clone_from(&other.terms);
        }
    }

    /// The socket.
    #[must_use]
    pub fn cookie(&self) -> SocketCookie {
        self.facts.cookie
    }

    /// The rule that asks for proof, if one does.
    #[must_use]
    pub fn rule(&self) -> Option<&RuleName> {
        self.terms.as_ref().map(|terms| &terms.rule)
    }

    /// True if the gate has parked it; false if it was rejected, and has to come again.
    #[must_use]
    pub fn is_parked(&self) -> bool {
        self.facts.disposition == Disposition::Held
    }
}

/// What distinguishes two challenges of one user: an answer to the one would earn nothing of the
/// other. A rule of scope `socket` has one for each connection: nobody else's connection can slip
/// in under the same answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChallengeKey {
    /// Who is asked.
    pub subject: Uid,
    /// The realm in which the answer will count.
    pub realm: RuleName,
    /// For which of the user's connections.
    pub bound: Bound,
    /// The one socket, if the rule's scope is that.
    pub socket: Option<SocketCookie>,
    /// What is asked for.
    pub proof: Proof,
}

/// A factor that was given for a challenge which asks for more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// The factor.
    pub factor: Factor,
    /// How much it was worth.
    pub assurance: Assurance,
    /// When it was given.
    pub at: BootTime,
    /// The reason that came with it.
    pub reason: Option<Arc<str>>,
}

/// A pending challenge.
#[derive(Debug)]
pub struct Challenge {
    /// Its id.
    pub id: ChallengeId,
    /// What it is for.
    pub key: ChallengeKey,
    /// The connections that wait, the oldest first. Never empty.
    pub waiting: Vec<Waiting>,
    /// What is unusual about the connections, or could not be told of them: for people.
    pub reasons: Vec<String>,
    /// When it was raised.
    pub since: BootTime,
    /// What was given for it so far.
    pub proven: Vec<Proven>,
    /// The reason that the user gave, for the next factor.
    pub reason: Option<Arc<str>>,
}

impl Challenge {
    /// The rule of the first connection.
    #[must_use]
    pub fn rule(&self) -> Option<&RuleName> {
        self.waiting.first().and_then(Waiting::rule)
    }

    /// The shortest time that a proof counts for one of its connections.
    #[must_use]
    pub fn shortest_ttl(&self) -> Duration {
        let terms = self.waiting.iter().filter_map(|it| it.terms.as_ref());
        terms.map(|terms| terms.given.ttl).min().unwrap_or_default()
    }

    /// When the last connection stops waiting.
    #[must_use]
    pub fn deadline(&self) -> BootTime {
        self.waiting
            .iter()
            .map(|waiting| waiting.deadline)
            .max()
            .unwrap_or(self.since)
    }
}

/// Whether an attempt may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Admission {
    /// It raised a new challenge.
    Raised(ChallengeId),
    /// It waits on one that is pending.
    Joined(ChallengeId),
}

/// Connections that stop waiting together, and the challenge that they waited on.
#[derive(Debug)]
pub struct Withdrawn {
    /// The challenge.
    pub id: ChallengeId,
    /// What it is, or was, for.
    pub key: ChallengeKey,
    /// The connections. Never empty.
    pub waiting: Vec<Waiting>,
    /// True if nobody waits on it any longer, so that it ended with them.
    pub ended: bool,
}

/// All pending challenges.
#[derive(Debug, Default)]
pub struct Challenges {
    last: u64,
    pending: BTreeMap<ChallengeId, Challenge>,
    /// Each connection that waits.
    index: Index,
    dismissed: HashMap<ChallengeKey, BootTime>,
    /// When each user was asked within the last hour, oldest first.
    asked: HashMap<Uid, VecDeque<BootTime>>,
}

impl Challenges {
    /// Lets a connection wait for an answer. Gives it back if it may not.
    ///
    /// # Errors
    /// The connection, with the reason why it may not wait.
    pub fn admit(
        &mut self,
        key: ChallengeKey,
        mut waiting: Waiting,
        reasons: Vec<String>,
        now: BootTime,
        hourly: usize,
    ) -> Result<Admission, (&'static str, Box<Waiting>)> {
        if let Some(reason) = self.refusal(&key, now, hourly) {
            return Err((reason, Box::new(waiting)));
        }
        if let Some(pending) = self.pending.values_mut().find(|pending| pending.key == key) {
            // One that was rejected comes again and again, and stands for the same question.
            let known = |other: &Waiting| {
                let same = (other.facts.endpoint, &other.terms);
                !other.is_parked() && same == (waiting.facts.endpoint, &waiting.terms)
            };
            if waiting.is_parked() || !pending.waiting.iter().any(known) {
                waiting.share_terms(&pending.waiting);
                self.index.add(&waiting);
                pending.waiting.push(waiting);
            }
            for reason in reasons {
                if pending.reasons.len() < MAX_REASONS && !pending.reasons.contains(&reason) {
                    pending.reasons.push(reason);
                }
            }
            return Ok(Admission::Joined(pending.id));
        }
        self.index.add(&waiting);
        self.asked.entry(key.subject).or_default().push_back(now);
        self.last += 1;
        let id = ChallengeId(self.last);
        let challenge = Challenge {
            id,
            key,
            waiting: vec![waiting],
            reasons,
            since: now,
            proven: Vec::new(),
            reason: None,
        };
        self.pending.insert(id, challenge);
        Ok(Admission::Raised(id))
    }

    fn refusal(
        &mut self,
        key: &ChallengeKey,
        now: BootTime,
        hourly: usize,
    ) -> Option<&'static str> {
        self.dismissed.retain(|_, until| now < *until);
        if self.dismissed.contains_key(&ChallengeKey {
            socket: None,
            ..key.clone()
        }) {
            return Some("the user has just dismissed this challenge");
        }
        let own = || {
            self.pending
                .values()
                .filter(|pending| pending.key.subject == key.subject)
        };
        if own().map(|pending| pending.waiting.len()).sum::<usize>() >= MAX_WAITING_PER_USER {
            return Some("too many connections of this user are waiting");
        }
        let joins = self.pending.values().any(|pending| pending.key == *key);
        if !joins && own().count() >= MAX_PER_USER {
            return Some("too many challenges of this user are pending");
        }
        self.asked.retain(|_, times| {
            while times.front().is_some_and(|at| now.since(*at) > HOUR) {
                times.pop_front();
            }
            !times.is_empty()
        });
        let asked = self.asked.get(&key.subject).map_or(0, VecDeque::len);
        if !joins && asked >= hourly {
            return Some(TOO_OFTEN);
        }
        None
    }

    /// A challenge.
    #[must_use]
    pub fn get(&self, id: ChallengeId) -> Option<&Challenge> {
        self.pending.get(&id)
    }

    /// Keeps what was given for a challenge that asks for more.
    pub fn note_proven(&mut self, id: ChallengeId, proven: Proven) {
        if let Some(challenge) = self.pending.get_mut(&id) {
            challenge.proven.push(proven);
        }
    }

    /// Keeps the reason that the user gave for a challenge; the last one counts.
    pub fn note_reason(&mut self, id: ChallengeId, reason: &str) {
        if let Some(challenge) = self.pending.get_mut(&id) {
            challenge.reason = Some(Arc::from(reason));
        }
    }

    /// All challenges, oldest first.
    pub fn all(&self) -> impl Iterator<Item = &Challenge> {
        self.pending.values()
    }

    /// A challenge that the caller may see: their own, or any for root (promise S7).
    #[must_use]
    pub fn visible(&self, id: ChallengeId, caller: Caller) -> Option<&Challenge> {
        self.pending
            .get(&id)
            .filter(|pending| may_see(pending, caller))
    }

    /// A challenge that the caller may answer at this time. None can be answered on which a
    /// connection waits whose time is over: that one is withdrawn first, whatever it is that has
    /// not done so yet. Late is late, and no answer is used up for nothing.
    #[must_use]
    pub fn answerable(&self, id: ChallengeId, caller: Caller, now: BootTime) -> Option<&Challenge> {
        self.visible(id, caller)
            .filter(|pending| pending.waiting.iter().all(|it| now < it.deadline))
    }

    /// All challenges that the caller may see, oldest first.
    pub fn all_visible(&self, caller: Caller) -> impl Iterator<Item = &Challenge> {
        self.pending
            .values()
            .filter(move |pending| may_see(pending, caller))
    }

    /// Ends a challenge.
    pub fn take(&mut self, id: ChallengeId) -> Option<Challenge> {
        let mut challenge = self.pending.remove(&id)?;
        self.index.leave(&mut challenge.waiting);
        Some(challenge)
    }

    /// Ends a challenge that its user doesn't want, and keeps it from coming back at once.
    pub fn dismiss(&mut self, id: ChallengeId, now: BootTime) -> Option<Challenge> {
        let challenge = self.take(id)?;
        let key = ChallengeKey {
            socket: None,
            ..challenge.key.clone()
        };
        self.dismissed.insert(key, now.after(DISMISSAL));
        Some(challenge)
    }

    /// True if this very attempt waits already. A daemon that takes over what an earlier one left
    /// finds it in the map of held connections, and perhaps also in the ring.
    #[must_use]
    pub fn has(&self, cookie: SocketCookie, since: BootTime) -> bool {
        self.index.has(cookie, since)
    }

    /// Hands in the SYN of a waiting connection. Gives it back if none waits.
    pub fn set_syn(&mut self, cookie: SocketCookie, syn: SynPacket) -> Option<SynPacket> {
        self.index.set_syn(cookie, syn)
    }

    /// True if any connection waits in its connect.
    #[must_use]
    pub fn any_parked(&self) -> bool {
        self.index.any_parked()
    }

    /// The connections that wait in their connect, each with whether its SYN was handed in.
    pub fn parked(&self) -> impl Iterator<Item = (&Waiting, bool)> {
        let waiting = self.pending.values().flat_map(|pending| &pending.waiting);
        let parked = waiting.filter(|waiting| waiting.is_parked());
        parked.map(|waiting| (waiting, self.index.has_syn(waiting.cookie())))
    }

    /// Takes out the connections for which `gone` holds, by the challenge that they waited on. A
    /// challenge on which nobody waits any longer ends with them.
    pub fn withdraw(&mut self, mut gone: impl FnMut(&Waiting) -> bool) -> Vec<Withdrawn> {
        let mut out = Vec::new();
        for pending in self.pending.values_mut() {
            let leave = pending.waiting.extract_if(.., |waiting| gone(waiting));
            let mut waiting: Vec<_> = leave.collect();
            if waiting.is_empty() {
                continue;
            }
            self.index.leave(&mut waiting);
            out.push(Withdrawn {
                id: pending.id,
                key: pending.key.clone(),
                waiting,
                ended: pending.waiting.is_empty(),
            });
        }
        self.pending
            .retain(|_, pending| !pending.waiting.is_empty());
        out
    }

    /// The earliest time at which a connection stops waiting.
    #[must_use]
    pub fn next_deadline(&self) -> Option<BootTime> {
        self.index.next_deadline()
    }

    /// How many are pending.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// True if none is pending.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }
}

fn may_see(challenge: &Challenge, caller: Caller) -> bool {
    caller.is_admin() || challenge.key.subject == caller.uid
}
