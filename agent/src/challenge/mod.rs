// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Challenges: one pending request for proof for each subject and rule, however many
//! connections wait on it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

mod index;

use self::index::Index;
use crate::classify::{Classified, Disposition};
use tokio::task::AbortHandle;

use crate::clock::BootTime;
use crate::decide::Bound;
use crate::grant::Terms;
use crate::ids::{ChallengeId, SocketCookie, Uid};
use crate::policy::{self, RuleName};
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

/// A connection that waits.
#[derive(Debug)]
pub struct Waiting {
    /// Who and what.
    pub facts: Classified,
    /// Its SYN, once the gate has handed it out.
    pub syn: Option<SynPacket>,
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
    /// The socket.
    #[must_use]
    pub fn cookie(&self) -> SocketCookie {
        self.facts.cookie
    }

    /// True if the gate has parked it; false if it was rejected, and has to come again.
    #[must_use]
    pub fn is_parked(&self) -> bool {
        self.facts.disposition == Disposition::Held
    }
}

/// What distinguishes two challenges of one user. A rule of scope `socket` has one for each
/// connection: nobody else's connection can slip in under the same answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChallengeKey {
    /// Who is asked.
    pub subject: Uid,
    /// The rule.
    pub rule: RuleName,
    /// The realm in which the answer will count.
    pub realm: RuleName,
    /// What the rule gives; risk may make that less for one connection than for another.
    pub given: policy::Terms,
    /// For which of the user's connections.
    pub bound: Bound,
    /// The one socket, if the rule's scope is that.
    pub socket: Option<SocketCookie>,
}

/// A pending challenge.
#[derive(Debug)]
pub struct Challenge {
    /// Its id.
    pub id: ChallengeId,
    /// What it is for.
    pub key: ChallengeKey,
    /// What an answer earns.
    pub terms: Terms,
    /// The connections that wait, the first of which raised it. Never empty.
    pub waiting: Vec<Waiting>,
    /// What is unusual about the first connection, or could not be told of it: for people.
    pub reasons: Vec<String>,
    /// When it was raised.
    pub since: BootTime,
}

impl Challenge {
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
}

impl Challenges {
    /// Lets a connection wait for an answer. Gives it back if it may not.
    ///
    /// # Errors
    /// The connection, with the reason why it may not wait.
    pub fn admit(
        &mut self,
        key: ChallengeKey,
        terms: Terms,
        waiting: Waiting,
        reasons: Vec<String>,
        now: BootTime,
    ) -> Result<Admission, (&'static str, Box<Waiting>)> {
        if let Some(reason) = self.refusal(&key, now) {
            return Err((reason, Box::new(waiting)));
        }
        if let Some(pending) = self.pending.values_mut().find(|pending| pending.key == key) {
            // One that was rejected comes again and again, and stands for the same question.
            if waiting.is_parked() {
                self.index.add(&waiting);
                pending.waiting.push(waiting);
            }
            return Ok(Admission::Joined(pending.id));
        }
        self.index.add(&waiting);
        self.last += 1;
        let id = ChallengeId(self.last);
        let challenge = Challenge {
            id,
            key,
            terms,
            waiting: vec![waiting],
            reasons,
            since: now,
        };
        self.pending.insert(id, challenge);
        Ok(Admission::Raised(id))
    }

    fn refusal(&mut self, key: &ChallengeKey, now: BootTime) -> Option<&'static str> {
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
        None
    }

    /// A challenge.
    #[must_use]
    pub fn get(&self, id: ChallengeId) -> Option<&Challenge> {
        self.pending.get(&id)
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
