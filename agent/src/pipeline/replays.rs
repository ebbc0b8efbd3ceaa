// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sends the SYNs of connections that may go on.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tracing::{debug, warn};

use super::sockets::{Parked, by_netns, count, inside};
use crate::clock::BootTime;
use crate::ids::SocketCookie;
use crate::kernel::Gate;
use crate::sys::netns::{NetNs, NetNsId};
use crate::sys::replay::Replayer;

/// After this time the SYNs of sockets that are still in their connect are sent once more, and
/// then after twice the time each if none of them got through meanwhile. A server drops what its queue has no room for, and many
/// connections that are let go on at once fill it; the client's own next retransmission may be
/// half a minute away.
const FIRST_ROUND: Duration = Duration::from_millis(250);
/// The longest pause after which that is done. Whatever is then left is the client's.
const LAST_ROUND: Duration = Duration::from_secs(4);

/// Sockets whose SYN was sent again together.
#[derive(Debug)]
struct Round {
    at: BootTime,
    pause: Duration,
    sockets: Vec<Parked>,
}

/// Sends SYNs again.
#[derive(Default)]
pub(super) struct Replays {
    replayer: Option<Replayer>,
    /// Sockets that may need their SYN once more.
    again: Vec<Round>,
    /// How many SYNs could not be sent.
    failures: u64,
}

impl Replays {
    /// Opens the raw sockets, and lets the gate pass them. Without them connections go on with
    /// their next retransmission.
    pub(super) fn open(gate: &mut Gate) -> Self {
        let replayer = Replayer::new();
        let replayer = replayer.inspect_err(|error| {
            warn!("approved connections go on late, with their own retransmission: {error}");
        });
        for socket in replayer.iter().flat_map(Replayer::sockets) {
            if let Err(error) = gate.exempt(socket) {
                warn!("the gate may hold the agent's own packets: {error}");
            }
        }
        Self {
            replayer: replayer.ok(),
            ..Self::default()
        }
    }

    /// Sends the SYNs of these sockets, and some once more later.
    pub(super) fn send(&mut self, sockets: Vec<Parked>, now: BootTime) {
        self.send_round(sockets, FIRST_ROUND, now);
    }

    /// Sends SYNs again, and once more after a pause where that was not enough.
    fn send_round(&mut self, sockets: Vec<Parked>, pause: Duration, now: BootTime) {
        for (netns, sockets) in by_netns(sockets, |socket| &socket.netns) {
            self.replay(&sockets, netns.as_deref());
            if pause <= LAST_ROUND {
                let at = now.after(pause);
                self.again.push(Round { at, pause, sockets });
            }
        }
    }

    /// Sends the SYNs that are due once more, as far as their sockets are still in their connect.
    pub(super) fn send_due(
        &mut self,
        mut connecting: impl FnMut(Option<&NetNs>) -> HashSet<SocketCookie>,
        now: BootTime,
    ) {
        let due: Vec<_> = self.again.extract_if(.., |round| round.at <= now).collect();
        let mut looked: HashMap<Option<NetNsId>, HashSet<SocketCookie>> = HashMap::new();
        for Round {
            pause, mut sockets, ..
        } in due
        {
            let netns = sockets.first().and_then(|socket| socket.netns.clone());
            // One look at the sockets of a network namespace is enough for all rounds.
            let id = netns.as_deref().map(NetNs::id);
            let connecting = looked
                .entry(id)
                .or_insert_with(|| connecting(netns.as_deref()));
            let before = sockets.len();
            sockets.retain(|socket| connecting.contains(&socket.cookie));
            // As long as some get through, the server is only busy.
            let busy = sockets.len() < before;
            let pause = if busy { pause } else { pause * 2 };
            if !sockets.is_empty() {
                debug!("{} SYNs are sent once more", sockets.len());
                self.send_round(sockets, pause, now);
            }
        }
    }

    /// When the next SYNs are due.
    pub(super) fn next_due(&self) -> Option<BootTime> {
        self.again.iter().map(|round| round.at).min()
    }

    /// How many SYNs could not be sent so far.
    pub(super) fn failures(&self) -> u64 {
        self.failures
    }

    fn replay(&mut self, sockets: &[Parked], netns: Option<&NetNs>) {
        let send = |replayer: &Replayer| {
            let syns = sockets.iter().filter_map(|socket| socket.syn.as_ref());
            let sent = syns.filter_map(|syn| replayer.send(syn).err());
            sent.map(|error| error.to_string()).collect::<Vec<_>>()
        };
        let failed = match netns {
            // Raw sockets belong to one namespace; another's are opened for these packets.
            Some(netns) => inside(netns, || Replayer::new().map(|replayer| send(&replayer)))
                .unwrap_or_else(|error| vec![error; sockets.len()]),
            None => match &self.replayer {
                Some(replayer) => send(replayer),
                None => return,
            },
        };
        if let Some(error) = failed.first() {
            warn!(
                "{} SYNs can't be replayed, their connections go on late: {error}",
                failed.len()
            );
        }
        self.failures += count(&failed);
    }
}
