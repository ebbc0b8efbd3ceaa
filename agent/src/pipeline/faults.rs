// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the daemon itself could not do, counted like what goes wrong in the gate.

use tracing::warn;

use super::Pipeline;
use crate::audit::Event;

/// The names of the daemon's own counters.
pub(super) const OWN: [&str; 5] = [
    // A grant that was earned, and that the kernel's map had no room for.
    "grant-not-written",
    // A refused attempt: no descriptor was left to look at its process.
    "process-not-seen",
    // A refused attempt: the gate could not be told whose session it is in.
    "session-not-told",
    // A refused connection that stays parked: its client hears nothing.
    "socket-not-ended",
    // Not a denial: a connection that goes on with its own retransmission.
    "syn-not-replayed",
];

/// The name of what is counted besides, and recorded one by one: PAM could not tell.
pub(super) const UNANSWERED: &str = "factor-failed";

impl Pipeline {
    /// The counters, in the order of [`OWN`].
    pub(super) fn own_faults(&self) -> [u64; OWN.len()] {
        let [unended, unreplayed] = self.sockets.failures();
        [
            self.unwritten,
            self.unseen,
            self.untold,
            unended,
            unreplayed,
        ]
    }

    /// What was counted since the last call.
    pub(super) fn new_own_faults(&mut self) -> Vec<Event> {
        let faults = self.own_faults();
        let counts = faults.iter().zip(self.known_own_faults);
        let new = counts.map(|(count, known)| count - known);
        let events = OWN.into_iter().zip(new).filter(|(_, new)| *new > 0);
        let events = events.map(|(kind, count)| {
            warn!("the daemon counted {count} of {kind}");
            let kind = kind.to_owned();
            Event::EventsLost { kind, count }
        });
        let events = events.collect();
        self.known_own_faults = faults;
        events
    }
}
