// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Connections that nobody waits for any more, though their process lives: it has closed the
//! socket, or the kernel has given the connect up.
//!
//! The kernel tells nobody that a socket in its connect is closed, so the daemon looks: once a
//! second while a connection waits, and never while none does.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Pipeline;
use super::sockets::SYN_DELAY;
use crate::audit::{ChallengeOutcome, CloseReason};
use crate::challenge::Waiting;
use crate::clock::{BootTime, Now};
use crate::ids::SocketCookie;
use crate::sys::netns::{NetNs, NetNsId};

/// How often it is looked. Who tries again within this time joins the question that stands.
const LOOK: Duration = Duration::from_secs(1);
/// A look takes at most this part of the daemon's time: the kernel lists all sockets of a host.
const SHARE: u32 = 50;

impl Pipeline {
    /// A connection is about to wait. The first one begins the looking.
    pub(super) fn note_parked(&mut self, now: Now) {
        if !self.challenges.any_parked() {
            self.given_up_due = now.boot.after(LOOK);
        }
    }

    /// When it is looked next.
    pub(super) fn next_given_up_look(&self) -> Option<BootTime> {
        self.challenges.any_parked().then_some(self.given_up_due)
    }

    /// Withdraws the connections whose sockets are no longer in their connect.
    pub(super) fn withdraw_given_up(&mut self, now: Now) {
        let due = self.next_given_up_look();
        if due.is_none_or(|due| due > now.boot) {
            return;
        }
        let began = Instant::now();
        let mut gone = HashSet::new();
        for (at, (netns, cookies)) in self.in_their_connect(now) {
            // What can't be told stays until its deadline.
            if let Some(connecting) = self.sockets.connecting(netns.as_deref(), at.socket) {
                let left = cookies.into_iter();
                gone.extend(left.filter(|cookie| !connecting.contains(cookie)));
            }
        }
        self.given_up_due = now.boot.after(LOOK.max(began.elapsed() * SHARE));
        if gone.is_empty() {
            return;
        }
        let given_up = |waiting: &Waiting| waiting.is_parked() && gone.contains(&waiting.cookie());
        let (outcome, reason) = (ChallengeOutcome::Withdrawn, CloseReason::Withdrawn);
        self.withdraw(given_up, outcome, reason, now);
    }

    /// The sockets that must be in their connect by now, by where they are.
    fn in_their_connect(&self, now: Now) -> HashMap<At, Located> {
        let mut located: HashMap<At, Located> = HashMap::new();
        for (waiting, has_syn) in self.challenges.parked() {
            // The hook comes before the socket is in its connect; its SYN proves that it was.
            if has_syn || now.boot.since(waiting.facts.at) > SYN_DELAY {
                let netns = self.foreign_netns(&waiting.facts);
                let at = At {
                    process: netns.as_deref().map(NetNs::id),
                    socket: waiting.facts.attempt.netns,
                };
                let (_, cookies) = located.entry(at).or_insert_with(|| (netns, Vec::new()));
                cookies.push(waiting.cookie());
            }
        }
        located
    }
}

/// Where a connection is. A process may have a socket of another network namespace than its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct At {
    /// The process's network namespace; the daemon's own is none.
    process: Option<NetNsId>,
    /// The socket's, as the kernel names it.
    socket: u64,
}

/// The process's network namespace, and sockets.
type Located = (Option<Arc<NetNs>>, Vec<SocketCookie>);
