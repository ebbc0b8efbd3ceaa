// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The way of data, from the kernel's report to the kernel's map. The only module that knows
//! all stages.
//!
//! Everything here happens in one task, one thing after the other: a decision sees no half of
//! another one. What takes effect in the kernel is in the ledger and in the audit log first
//! (promises S5 and S6); whatever fails on the way is refused (promise S4).

mod adopt;
mod answers;
mod attempts;
mod endings;
mod enrolling;
mod existing;
mod flood;
mod notices;
mod policy;
mod record;
mod requests;
mod revoking;
mod run;
mod sockets;

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use stile_common::{BUDGET_OF_SESSION, fault};
use tokio::sync::mpsc;
use tracing::{error, info, warn};

use crate::audit::{AuditLog, Event};
use crate::challenge::{Challenges, ExitWatch};
use crate::classify::{Classified, Classifier, Disposition, ProcFs};
use crate::clock::{self, BootTime, Now};
use crate::config::Settings;
use crate::grant::Grants;
use crate::ids::{EndpointId, SocketCookie, Uid};
use crate::kernel::{Gate, GateOptions, Rings};
use crate::ledger::{BootId, Ledger};
use crate::policy::{Policy, SystemNames};
use crate::service::Request;
use crate::sys::cgroup::Cgroup2;
use crate::sys::netns::{NetNs, NetNsId};
use crate::sys::slices::SliceWatch;
use crate::verify::Enrollments;

use flood::Flood;
use sockets::Sockets;

pub use run::{Overrides, StartError, run};

/// Where everything lies.
#[derive(Clone, Debug)]
pub struct Places {
    /// `stile.toml`.
    pub settings: PathBuf,
    /// The folder of policy files.
    pub policy: PathBuf,
}

/// Everything that the stages work on.
pub struct Pipeline {
    places: Places,
    settings: Settings,
    policy: Policy,
    max_hold: Duration,
    names: SystemNames,
    options: GateOptions,
    gate: Gate,
    rings: Rings,
    sockets: Sockets,
    slices: Option<SliceWatch>,
    flood: Flood,
    /// True while the ring holds more than one turn reads.
    backlog: bool,
    /// When flows, floods and faults were last written down.
    looked: BootTime,
    /// True if the gate has reported something since then.
    stirred: bool,
    ledger: Ledger,
    audit: AuditLog,
    enrollments: Enrollments,
    challenges: Challenges,
    grants: Grants,
    procfs: ProcFs,
    classifier: Classifier,
    hierarchy: Cgroup2,
    netns: NetNs,
    namespaces: RefCell<HashMap<NetNsId, Weak<NetNs>>>,
    boot: BootId,
    exits: mpsc::UnboundedSender<SocketCookie>,
    known_faults: [u64; fault::COUNT as usize],
    known_throttled: HashMap<u64, u64>,
    problems: HashMap<Problem, String>,
}

/// What may be broken while the agent runs; `stile status` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Problem {
    Bus,
    Policy,
    Storage,
    Kernel,
    Preflight,
}

impl Problem {
    /// True if nothing can be granted while it lasts.
    fn stops_grants(self) -> bool {
        matches!(self, Self::Storage | Self::Bus)
    }
}

/// What the pipeline waits for, besides the kernel.
pub struct Inputs {
    /// From the bus.
    pub requests: mpsc::Receiver<Request>,
    /// Processes that ended while a connection of theirs was held.
    pub exits: mpsc::UnboundedReceiver<SocketCookie>,
    /// What the bus is like: `None` if people can be reached.
    pub bus: mpsc::Receiver<Option<String>>,
}

/// What a stage could not do. The connection that it was about is refused.
#[derive(Debug, thiserror::Error)]
enum StageError {
    #[error("the ledger: {0}")]
    Ledger(#[from] crate::ledger::LedgerError),
    #[error("the audit log: {0}")]
    Audit(#[from] crate::audit::AuditError),
    #[error("the kernel: {0}")]
    Gate(#[from] crate::kernel::GateError),
}

impl Pipeline {
    /// Writes records, durably. Nothing takes effect before this has returned.
    fn record(
        &mut self,
        now: Now,
        events: impl IntoIterator<Item = Event>,
    ) -> Result<(), StageError> {
        for event in events {
            self.audit.append(&crate::audit::Record::new(now, event))?;
        }
        self.audit.commit()?;
        Ok(())
    }

    /// Writes records about what has already been refused or has ended by itself. A log that
    /// can't be written is a problem, which from now on denies.
    fn note(&mut self, now: Now, events: impl IntoIterator<Item = Event>) {
        if let Err(error) = self.record(now, events) {
            self.storage_failed(&error);
        }
    }

    fn storage_failed(&mut self, error: &StageError) {
        error!("nothing is granted any more: {error}");
        let problem = match error {
            StageError::Gate(_) => Problem::Kernel,
            StageError::Ledger(_) | StageError::Audit(_) => Problem::Storage,
        };
        self.problems.insert(problem, error.to_string());
    }

    /// The endpoint's name; its number if today's policy doesn't know it.
    fn endpoint_name(&self, id: EndpointId) -> String {
        self.policy.endpoint(id).map_or_else(
            || format!("endpoint-{:08x}", id.0),
            |endpoint| endpoint.name.to_string(),
        )
    }

    /// The process's network namespace, if it isn't the daemon's own. Connections of one
    /// namespace share one descriptor of it.
    fn foreign_netns(&self, facts: &Classified) -> Option<Arc<NetNs>> {
        let netns = facts.process()?.netns.clone()?;
        if netns.same_as(&self.netns) {
            return None;
        }
        let mut known = self.namespaces.borrow_mut();
        known.retain(|_, netns| netns.strong_count() > 0);
        if let Some(same) = known.get(&netns.id()).and_then(Weak::upgrade) {
            return Some(same);
        }
        known.insert(netns.id(), Arc::downgrade(&netns));
        Some(netns)
    }

    /// Withdraws a held connection when its process ends. One that was rejected doesn't wait in
    /// its connect: its process may end, and come again.
    fn watch_exit(&self, facts: &Classified) -> Option<ExitWatch> {
        let process = facts.process()?;
        if facts.disposition != Disposition::Held {
            return None;
        }
        let (pidfd, cookie, exits) = (Arc::clone(&process.pidfd), facts.cookie, self.exits.clone());
        let watch = tokio::spawn(async move {
            if pidfd.exited().await.is_ok() {
                let _ = exits.send(cookie);
            }
        });
        Some(watch.abort_handle().into())
    }

    /// Writes down what a flood of answers was refused.
    fn report_flood(&mut self, now: Now) {
        let refused = self.flood.take_refused(now.boot);
        let events = refused.into_iter().map(|(uid, count)| {
            warn!(%uid, "{count} answers were refused: too many at once");
            Event::EventsLost {
                kind: format!("answers-of-uid-{uid}"),
                count,
            }
        });
        let events: Vec<_> = events.collect();
        if !events.is_empty() {
            self.note(now, events);
        }
    }

    /// Writes down what the gate has counted since it was last asked.
    fn report_faults(&mut self, now: Now) {
        let faults = match self.gate.faults() {
            Ok(faults) => faults,
            Err(error) => return self.storage_failed(&error.into()),
        };
        let mut events = Vec::new();
        for (kind, (count, known)) in faults.iter().zip(&self.known_faults).enumerate() {
            let new = count.saturating_sub(*known);
            if new > 0 {
                let kind = record::fault_name(kind).to_owned();
                warn!("the gate counted {new} of {kind}");
                events.push(Event::EventsLost { kind, count: new });
            }
        }
        let throttled = fault::THROTTLED as usize;
        if faults[throttled] != self.known_faults[throttled] {
            events.extend(self.newly_throttled());
        }
        self.known_faults = faults;
        if !events.is_empty() {
            self.note(now, events);
        }
    }

    /// Whose attempts the gate has refused because they were too many.
    fn newly_throttled(&mut self) -> Vec<Event> {
        let throttled = match self.gate.throttled() {
            Ok(throttled) => throttled,
            Err(error) => {
                self.storage_failed(&error.into());
                return Vec::new();
            }
        };
        let news = throttled.iter().filter_map(|(key, count)| {
            // A budget that was forgotten and begun anew counts from zero.
            let known = self
                .known_throttled
                .get(key)
                .filter(|known| *known <= count);
            let count = count - known.copied().unwrap_or(0);
            let of = match key & BUDGET_OF_SESSION {
                0 => format!("uid-{key}"),
                flag => format!("session-{}", key ^ flag),
            };
            (count > 0).then(|| Event::EventsLost {
                kind: format!("attempts-of-{of}"),
                count,
            })
        });
        let news = news.collect();
        self.known_throttled = throttled;
        news
    }

    fn now() -> Now {
        clock::now()
    }

    fn subject_name(&self, uid: Uid) -> Option<String> {
        use crate::policy::Names as _;
        self.names.name_of(uid).ok().flatten()
    }

    fn log_start(&self) {
        info!(
            endpoints = self.policy.endpoints.len(),
            rules = self.policy.rules.len(),
            policy = %self.policy.version,
            cgroup = %self.options.cgroup.display(),
            adopted = self.gate.adopted(),
            "enforcing",
        );
    }
}
