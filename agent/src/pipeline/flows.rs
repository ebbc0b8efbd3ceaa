// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Connections that passed under a live grant: each is written down, or counted where there are
//! too many (promise S6).

use std::collections::HashMap;
use std::time::Duration;

use stile_common::{Attempt, record_kind};
use zerocopy::FromBytes as _;

use super::Pipeline;
use super::attempts::witness_of;
use crate::audit::{self, Event, Passage};
use crate::clock::{BootTime, Now};
use crate::grant::Grant;
use crate::ids::{EndpointId, GrantId, SocketCookie, Uid};

/// What the ring holds at most: one look reads no more, for a program that connects in a loop
/// writes as fast as that is read.
const RING: usize = (1 << 19) / size_of::<Attempt>();
/// How often the ring is looked at while a grant lives, if little is in it.
const PAUSE: Duration = Duration::from_secs(1);
/// And if there is more than a sixteenth of what it holds: it would be full within 16 times this
/// at 300,000 connections a second, which is what two processors make.
const SHORT_PAUSE: Duration = Duration::from_millis(1);

impl Pipeline {
    /// Reads which connections passed under a grant, and has them on disk when it returns.
    pub(super) fn drain_flows(&mut self) {
        let now = Self::now();
        self.read_flows(now);
        self.note(now, []);
    }

    /// Reads which connections passed under a grant. They are in the file of the log when this
    /// returns, where the end of the daemon can't take them away; [`Self::note`] has it flushed.
    pub(super) fn read_flows(&mut self, mut now: Now) {
        let mut counted: HashMap<GrantId, audit::Connections> = HashMap::new();
        let mut read = 0;
        while read < RING
            && let Some(attempt) = self.rings.flows.next().map(|bytes| flow(&bytes))
        {
            read += 1;
            let Some(attempt) = attempt else {
                continue;
            };
            // A look at a process counts for what it did before: once for all that came since.
            if attempt.boot_ns >= now.boot.0 {
                now = Self::now();
            }
            let grant = GrantId(attempt.grant);
            if self.grants.may_detail(grant, now.boot) {
                self.write_flow(&attempt, now);
                continue;
            }
            // Of its network namespace nobody knows: the gate cuts it at the end of its grant,
            // wherever it is.
            self.grants
                .add_flow(grant, SocketCookie(attempt.cookie), None);
            let several = counted
                .entry(grant)
                .or_insert_with(|| self.none_of(&attempt));
            several.count += 1;
            several.last_boot_ns = BootTime(attempt.boot_ns);
        }
        self.busy += read;
        for several in counted.into_values() {
            self.append(now, Event::Connections(several));
        }
        if let Err(error) = self.audit.write_out() {
            self.storage_failed(&error.into());
        }
        self.flows_due = now.boot.after(match read {
            RING.. => Duration::ZERO,
            few if few < RING / 16 => PAUSE,
            _ => SHORT_PAUSE,
        });
    }

    fn write_flow(&mut self, attempt: &Attempt, now: Now) {
        let facts = self.classifier.classify(attempt, now.boot);
        let netns = self.foreign_netns(&facts);
        let grant = GrantId(attempt.grant);
        self.grants.add_flow(grant, facts.cookie, netns);
        self.grants.add_witness(grant, || witness_of(&facts));
        let event = Event::Attempt(self.attempt_record(&facts));
        self.append(now, event);
        if let Some(live) = self.grants.get(grant) {
            let event = self.connection_event(&facts, &live.grant, Passage::Passed, None);
            self.append(now, event);
        }
    }

    /// No connections yet of the grant of this one, which is the first.
    fn none_of(&self, first: &Attempt) -> audit::Connections {
        let id = GrantId(first.grant);
        let grant = self.grants.get(id).map(|live| &live.grant);
        let uid = grant.map_or(Uid(first.subject), Grant::subject);
        let at = BootTime(first.boot_ns);
        audit::Connections {
            grant: id,
            subject: self.subject(uid),
            endpoint: self.endpoint_name(EndpointId(first.endpoint)),
            rule: grant.map(|grant| grant.terms().rule.to_string()),
            count: 0,
            first_boot_ns: at,
            last_boot_ns: at,
        }
    }
}

/// A report of a connection. Anything else is a fault of the build, and no connection.
fn flow(bytes: &[u8]) -> Option<Attempt> {
    let (attempt, _) = Attempt::read_from_prefix(bytes).ok()?;
    (attempt.kind == record_kind::ATTEMPT).then_some(attempt)
}
