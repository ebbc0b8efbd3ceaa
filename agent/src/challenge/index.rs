// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Finds what waits by its socket and by its deadline, with thousands of others around it.

use std::collections::{BTreeSet, HashMap};

use super::Waiting;
use crate::clock::BootTime;
use crate::ids::SocketCookie;
use crate::sys::replay::SynPacket;

/// What is known of a socket that waits.
#[derive(Debug)]
struct Entry {
    /// When it connected.
    since: BootTime,
    /// Its SYN, once the gate has handed it out. Until the connection leaves it is kept here, so
    /// that nobody has to look for the connection.
    syn: Option<SynPacket>,
}

/// Every connection that waits on a challenge.
#[derive(Debug, Default)]
pub(super) struct Index {
    sockets: HashMap<SocketCookie, Entry>,
    deadlines: BTreeSet<(BootTime, SocketCookie)>,
    /// How many of them are in their connect.
    parked: usize,
}

impl Index {
    pub(super) fn add(&mut self, waiting: &Waiting) {
        let entry = self.sockets.entry(waiting.cookie());
        let since = waiting.facts.at;
        entry.or_insert(Entry { since, syn: None }).since = since;
        self.deadlines.insert(key(waiting));
        self.parked += usize::from(waiting.is_parked());
    }

    /// True if any connection waits in its connect.
    pub(super) fn any_parked(&self) -> bool {
        self.parked > 0
    }

    /// True if the SYN of this socket has been handed in.
    pub(super) fn has_syn(&self, cookie: SocketCookie) -> bool {
        let entry = self.sockets.get(&cookie);
        entry.is_some_and(|entry| entry.syn.is_some())
    }

    /// True if this socket waits since that very time.
    pub(super) fn has(&self, cookie: SocketCookie, since: BootTime) -> bool {
        let entry = self.sockets.get(&cookie);
        entry.is_some_and(|entry| entry.since == since)
    }

    /// Gives the SYN back if no such connection waits.
    pub(super) fn set_syn(&mut self, cookie: SocketCookie, syn: SynPacket) -> Option<SynPacket> {
        match self.sockets.get_mut(&cookie) {
            Some(entry) => {
                entry.syn = Some(syn);
                None
            }
            None => Some(syn),
        }
    }

    pub(super) fn next_deadline(&self) -> Option<BootTime> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Strikes connections out, and gives each its SYN.
    pub(super) fn leave(&mut self, leaving: &mut [Waiting]) {
        for waiting in leaving {
            self.deadlines.remove(&key(waiting));
            self.parked = self.parked.saturating_sub(usize::from(waiting.is_parked()));
            if let Some(entry) = self.sockets.remove(&waiting.cookie()) {
                waiting.syn = entry.syn;
            }
        }
        if self.sockets.is_empty() {
            self.sockets = HashMap::new();
        }
    }
}

fn key(waiting: &Waiting) -> (BootTime, SocketCookie) {
    (waiting.deadline, waiting.cookie())
}
