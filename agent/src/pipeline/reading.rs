// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads what the gate reports, a batch at a time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stile_common::{Cut, GrantKey};
use tracing::{debug, warn};

use super::Pipeline;
use crate::challenge::Waiting;
use crate::grant::Grant;
use crate::ids::SocketCookie;
use crate::kernel::{Record, decode};
use crate::sys::netns::NetNs;
use crate::sys::replay::SynPacket;

/// Most reports that are read at one go: they are written down by one flush of the disk.
const RECORDS_PER_TURN: usize = 256;
/// And no more once this time is over. A slow machine, or one that others keep busy, has hardly
/// begun by then, and people, reloads and clocks wait.
const TURN: Duration = Duration::from_millis(50);

/// What was decided since the last commit of the log, and waits for the next: one is enough for
/// all of it, and nothing takes effect before (promise S6).
#[derive(Default)]
pub(super) struct Batch {
    /// Grants that need no further proof.
    pub(super) grants: HashMap<GrantKey, Grant>,
    /// The connections that they let through.
    pub(super) passing: Vec<Waiting>,
    /// Parked connections that are refused.
    pub(super) refused: Vec<Waiting>,
    /// Sockets that the gate has parked though their rule rejects.
    pub(super) turned_away: Vec<(SocketCookie, Option<Arc<NetNs>>)>,
    /// Connections that the gate has cut.
    cut: Vec<SocketCookie>,
}

impl Pipeline {
    /// Reads what the gate has reported and what wants an answer; what one turn leaves is read
    /// in the next, so that people and clocks have theirs in between.
    pub(super) fn drain_attempts(&mut self) {
        self.backlog = true;
        let began = Instant::now();
        for _ in 0..RECORDS_PER_TURN {
            if began.elapsed() > TURN {
                break;
            }
            let record = self.rings.attempts.next().map(|bytes| decode(&bytes));
            match record {
                Some(Ok(Record::Attempt(attempt))) => self.on_attempt(*attempt),
                Some(Ok(Record::Syn {
                    cookie,
                    interface,
                    packet,
                })) => self.on_syn(cookie, interface, &packet),
                Some(Ok(Record::Cut(cut))) => self.on_cut(&cut),
                Some(Err(error)) => warn!("the gate reported what can't be read: {error}"),
                None => {
                    self.backlog = false;
                    self.classifier.forget();
                    break;
                }
            }
            self.stirred = true;
            self.busy += 1;
        }
        self.carry_out();
        if let Err(error) = self.gate.mark_read() {
            self.storage_failed(&error.into());
        }
    }

    /// Writes down the batch, such as who joined a challenge that stands, and then does what was
    /// decided in it.
    pub(super) fn carry_out(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        let now = Self::now();
        if !batch.grants.is_empty() {
            let grants = batch.grants.into_values().collect();
            if let Err(error) = self.put_in_force(grants, batch.passing, Vec::new(), now) {
                self.storage_failed(&error);
            }
        }
        if let Err(error) = self.audit.commit() {
            self.storage_failed(&error.into());
        }
        // Also if they could not be written down: nothing was granted to them.
        self.end_parked(batch.refused, now);
        for (cookie, _) in &batch.turned_away {
            if let Err(error) = self.gate.forget_held(*cookie) {
                self.storage_failed(&error.into());
            }
        }
        self.sockets.end_all(batch.turned_away);
        let cut: Vec<_> = batch.cut.into_iter().map(|cookie| (cookie, None)).collect();
        self.sockets.end_all(cut);
    }

    /// A captured SYN: it waits with its connection, or is dealt with as was decided already.
    fn on_syn(&mut self, cookie: SocketCookie, interface: u32, packet: &[u8]) {
        match SynPacket::parse(packet).map(|syn| syn.bound_to(interface)) {
            Ok(syn) => {
                if let Some(syn) = self.sockets.arrived(cookie, syn, Self::now().boot)
                    && let Some(syn) = self.challenges.set_syn(cookie, syn)
                    && !self.batch.set_syn(cookie, syn)
                {
                    debug!(%cookie, "a SYN of a connection that nobody waits for");
                }
            }
            Err(error) => warn!(%cookie, "a captured SYN can't be replayed: {error}"),
        }
    }

    /// The gate has cut a connection whose grant is over: its client is told.
    fn on_cut(&mut self, cut: &Cut) {
        debug!(cookie = cut.cookie, grant = cut.grant, "cut by the gate");
        self.batch.cut.push(SocketCookie(cut.cookie));
    }
}

impl Batch {
    /// Hands in the SYN of a connection of this batch: most follow right after their attempt.
    /// False if there is no such connection.
    fn set_syn(&mut self, cookie: SocketCookie, syn: SynPacket) -> bool {
        let mut decided = self.passing.iter_mut().chain(&mut self.refused).rev();
        match decided.find(|waiting| waiting.cookie() == cookie) {
            Some(waiting) => {
                waiting.syn = Some(syn);
                true
            }
            None => false,
        }
    }
}
