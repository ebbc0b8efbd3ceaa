// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The live grants, and the connections known under each.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use stile_common::GrantKey;

use super::Grant;
use crate::classify::{Process, ProcessId};
use crate::clock::BootTime;
use crate::ids::{GrantId, SocketCookie, Uid};
use crate::sys::netns::NetNs;

/// Most connections that are remembered for one grant. Beyond that the gate still cuts them at
/// the end; only the client's error comes with its next packet instead of at once.
const MAX_FLOWS: usize = 1 << 14;

/// Most people that are told before a grant ends: those of its first connections.
const MAX_WITNESSES: usize = 32;

/// Connections of one grant that may come at once and still have a record each in the audit log:
/// most of what the gate's ring holds.
const DETAILED: u32 = 4096;
/// Every how long a grant may have one more: 1,000 a second.
const DETAIL: Duration = Duration::from_millis(1);

/// Somebody at a terminal who has a connection under a grant.
#[derive(Clone, Debug)]
pub struct Witness {
    /// The process that connected.
    pub process: Process,
    /// Its program's name.
    pub program: String,
    /// Where to.
    pub destination: SocketAddr,
}

/// A live grant.
#[derive(Debug)]
pub struct Live {
    /// The grant.
    pub grant: Grant,
    /// Its connections, each with its network namespace where that isn't the daemon's.
    pub flows: HashMap<SocketCookie, Option<Arc<NetNs>>>,
    /// What made its one connection, if it is for one and that is known.
    pub maker: Option<ProcessId>,
    /// Who is told before it ends, if its rule says that somebody is.
    witnesses: Vec<Witness>,
    warned: bool,
    /// How many connections may still have a record each, and since when that is so.
    details: (u32, BootTime),
}

impl Live {
    /// A grant without connections.
    #[must_use]
    pub fn new(grant: Grant) -> Self {
        Self {
            grant,
            flows: HashMap::new(),
            maker: None,
            witnesses: Vec::new(),
            warned: false,
            details: (DETAILED, BootTime(0)),
        }
    }

    /// When somebody is to be told that it ends.
    fn warning(&self) -> Option<BootTime> {
        let warn = self.grant.terms().given.warn.filter(|_| !self.warned)?;
        Some(self.grant.expires().before(warn))
    }
}

/// All live grants, one for each key of the kernel's map.
#[derive(Debug, Default)]
pub struct Grants {
    live: BTreeMap<GrantId, Live>,
    by_key: HashMap<GrantKey, GrantId>,
}

impl Grants {
    /// Adds a grant. One with the same key is replaced, and its connections go over to the
    /// new one, as they do in the kernel.
    pub fn insert(&mut self, grant: Grant) {
        let key = grant.key();
        let id = grant.id();
        let old = self
            .by_key
            .insert(key, id)
            .and_then(|old| self.live.remove(&old));
        let mut live = Live::new(grant);
        if let Some(old) = old {
            live.flows = old.flows;
            live.maker = old.maker;
            live.witnesses = old.witnesses;
        }
        self.live.insert(id, live);
    }

    /// Puts back what was taken out.
    pub fn restore(&mut self, live: Live) {
        self.by_key.insert(live.grant.key(), live.grant.id());
        self.live.insert(live.grant.id(), live);
    }

    /// Takes a grant out.
    pub fn remove(&mut self, id: GrantId) -> Option<Live> {
        let live = self.live.remove(&id)?;
        self.by_key.remove(&live.grant.key());
        Some(live)
    }

    /// Takes out what has ended by `now`.
    pub fn take_expired(&mut self, now: BootTime) -> Vec<Live> {
        let ended: Vec<_> = self
            .iter()
            .filter(|live| live.grant.expires() <= now)
            .map(|live| live.grant.id())
            .collect();
        ended.into_iter().filter_map(|id| self.remove(id)).collect()
    }

    /// Remembers what made the one connection that a grant is for.
    pub fn set_maker(&mut self, id: GrantId, maker: Option<ProcessId>) {
        if let Some(live) = self.live.get_mut(&id)
            && live.grant.terms().alone
        {
            live.maker = maker;
        }
    }

    /// Remembers a connection of a grant.
    pub fn add_flow(&mut self, id: GrantId, socket: SocketCookie, netns: Option<Arc<NetNs>>) {
        if let Some(live) = self.live.get_mut(&id)
            && live.flows.len() < MAX_FLOWS
        {
            live.flows.insert(socket, netns);
        }
    }

    /// True if one more connection of a grant is to have a record of its own in the audit log;
    /// otherwise it is counted. Each grant has its own measure, so that nobody's flood hides what
    /// another user does; one that has ended meanwhile has none, and no more than the ring holds.
    pub fn may_detail(&mut self, id: GrantId, now: BootTime) -> bool {
        let Some(live) = self.live.get_mut(&id) else {
            return true;
        };
        let (left, since) = &mut live.details;
        let earned = now.since(*since).as_nanos() / DETAIL.as_nanos();
        if earned > 0 {
            let earned = u32::try_from(earned).unwrap_or(DETAILED);
            (*left, *since) = (DETAILED.min(left.saturating_add(earned)), now);
        }
        let detailed = *left > 0;
        *left = left.saturating_sub(1);
        detailed
    }

    /// Remembers who is at the terminal of a connection, if its rule wants them told.
    pub fn add_witness(&mut self, id: GrantId, witness: impl FnOnce() -> Option<Witness>) {
        if let Some(live) = self.live.get_mut(&id)
            && live.grant.terms().given.warn.is_some()
            && live.witnesses.len() < MAX_WITNESSES
            && let Some(witness) = witness()
            && let Some(terminal) = &witness.process.terminal
        {
            // One line for each terminal, about its last connection.
            let other = |known: &Witness| {
                let known = known.process.terminal.as_ref();
                known.is_none_or(|known| known.tty != terminal.tty)
            };
            live.witnesses.retain(other);
            live.witnesses.push(witness);
        }
    }

    /// The grants of which somebody is to be told by now that they end, with those who are.
    pub fn take_warnings(&mut self, now: BootTime) -> Vec<(GrantId, Vec<Witness>)> {
        let due = |live: &&mut Live| live.warning().is_some_and(|at| at <= now);
        let due = self.live.values_mut().filter(due);
        due.map(|live| {
            live.warned = true;
            (live.grant.id(), live.witnesses.clone())
        })
        .collect()
    }

    /// The number of the grant with this key.
    #[must_use]
    pub fn id_of(&self, key: &GrantKey) -> Option<GrantId> {
        self.by_key.get(key).copied()
    }

    /// True if there is a grant with this key.
    #[must_use]
    pub fn has(&self, key: &GrantKey) -> bool {
        self.by_key.contains_key(key)
    }

    /// A grant.
    #[must_use]
    pub fn get(&self, id: GrantId) -> Option<&Live> {
        self.live.get(&id)
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Live> {
        self.live.values()
    }

    /// All of them, oldest first, to forget connections that are gone.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Live> {
        self.live.values_mut()
    }

    /// The numbers of a user's grants, or of everybody's.
    #[must_use]
    pub fn ids_of(&self, subject: Option<Uid>) -> Vec<GrantId> {
        let of = |live: &&Live| subject.is_none_or(|uid| live.grant.subject() == uid);
        self.iter().filter(of).map(|live| live.grant.id()).collect()
    }

    /// When the next one ends, or somebody is to be told that it will.
    #[must_use]
    pub fn next_end(&self) -> Option<BootTime> {
        let ends = self.iter().map(|live| live.grant.expires());
        let warnings = self.iter().filter_map(Live::warning);
        ends.chain(warnings).min()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// True if there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }
}
