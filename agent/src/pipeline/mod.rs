// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The way of data, from the kernel's report to the kernel's map. The only module that knows
//! all stages.
//!
//! Everything here happens in one task, one thing after the other: a decision sees no half of
//! another one. What takes effect in the kernel is in the ledger and in the audit log first
//! (promises S5 and S6); whatever fails on the way is refused (promise S4).

mod adopt;
mod alone;
mod answers;
mod attempts;
mod elevating;
mod emergencies;
mod endings;
mod enrolling;
mod existing;
mod factors;
mod facts;
mod faults;
mod flood;
mod flows;
mod given_up;
mod importing;
mod judging;
mod meeting;
mod names;
mod notices;
mod observing;
mod past;
mod people;
mod policy;
mod proving;
mod reading;
mod reasons;
mod recent;
mod record;
mod replays;
mod requests;
mod revoking;
mod run;
mod sockets;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use stile_common::{BUDGET_OF_SESSION, UidRange, fault};
use tokio::sync::mpsc;
use tracing::{error, info, warn};

use crate::audit::{AuditLog, Event};
use crate::challenge::{Challenges, ExitWatch};
use crate::classify::{Classified, Classifier, Disposition, Logins, ProcFs, ProcessId, Programs};
use crate::clock::{self, BootTime, Now, WallTime};
use crate::config::Settings;
use crate::grant::Grants;
use crate::history::History;
use crate::ids::{EndpointId, Uid};
use crate::kernel::{Gate, GateOptions, Rings};
use crate::ledger::{BootId, Ledger};
use crate::policy::{Policy, Remembered, SystemNames};
use crate::service::{News, Request};
use crate::shared::Shared;
use crate::sys::cgroup::Cgroup2;
use crate::sys::netns::NetNs;
use crate::sys::slices::SliceWatch;
use crate::verify::Enrollments;

use flood::Flood;
use observing::Imagined;
use reading::Batch;
use recent::Recent;
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
    /// The gated uids of the settings, and their subordinate ones.
    gated: Vec<UidRange>,
    policy: Policy,
    /// When it was loaded.
    loaded: WallTime,
    max_hold: Duration,
    /// True if the policy in the kernel only observes.
    observes: bool,
    names: Remembered<SystemNames>,
    /// When the names of users were last forgotten.
    named: BootTime,
    options: GateOptions,
    gate: Gate,
    rings: Rings,
    sockets: Sockets,
    slices: Option<SliceWatch>,
    flood: Flood,
    /// What users would have proven, where the policy only observes.
    imagined: Imagined,
    /// True while the ring holds more than one turn reads.
    backlog: bool,
    /// Decided, and not yet written down for good.
    batch: Batch,
    /// True if attempts were read since the last look at floods and faults.
    stirred: bool,
    /// How many reports were read since memory was last given back.
    busy: usize,
    /// How many attempts were refused because their process could not be looked at.
    unseen: u64,
    /// How many attempts were refused because the gate could not be told of their session.
    untold: u64,
    /// How many grants the kernel did not take.
    unwritten: u64,
    /// How often PAM could not tell who somebody is. Each has a record of its own.
    unanswered: u64,
    known_own_faults: [u64; faults::OWN.len()],
    /// When floods and faults were last written down, and the log flushed.
    looked: BootTime,
    /// When connections that are over were last looked for.
    swept: BootTime,
    /// When connections that were given up are to be looked for, if any wait.
    given_up_due: BootTime,
    /// When the ring of connections under a grant is to be read.
    flows_due: BootTime,
    ledger: Ledger,
    audit: AuditLog,
    recent: Recent,
    enrollments: Enrollments,
    challenges: Challenges,
    past: past::Past,
    grants: Grants,
    procfs: ProcFs,
    classifier: Classifier,
    logins: Logins,
    programs: Programs,
    history: History,
    hierarchy: Cgroup2,
    netns: NetNs,
    boot: BootId,
    watches: Shared<ProcessId, ExitWatch>,
    exits: mpsc::UnboundedSender<ProcessId>,
    known_faults: [u64; fault::COUNT as usize],
    known_throttled: HashMap<u64, u64>,
    hosts: names::HostNames,
    /// To the bus.
    news: mpsc::Sender<News>,
    /// True while somebody else than the prompters hears it.
    watched: Arc<std::sync::atomic::AtomicBool>,
    /// How much of it there was no room for.
    untold_news: u64,
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
    History,
    Names,
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
    pub exits: mpsc::UnboundedReceiver<ProcessId>,
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

/// Writes records of what people see nowhere else, durably.
fn write_down(
    audit: &mut AuditLog,
    now: Now,
    events: impl IntoIterator<Item = Event>,
) -> Result<(), StageError> {
    for event in events {
        audit.append(&crate::audit::Record::new(now, event))?;
    }
    Ok(audit.commit()?)
}

impl Pipeline {
    /// Chains a record to the log, which the next commit writes for good, and keeps what people
    /// may see of it.
    fn chain(&mut self, now: Now, event: Event) -> Result<(), StageError> {
        let record = crate::audit::Record::new(now, event);
        self.audit.append(&record)?;
        self.recent.note(now, record.event());
        Ok(())
    }

    /// Writes records, durably. Nothing takes effect before this has returned.
    fn record(
        &mut self,
        now: Now,
        events: impl IntoIterator<Item = Event>,
    ) -> Result<(), StageError> {
        for event in events {
            self.chain(now, event)?;
        }
        self.audit.commit()?;
        Ok(())
    }

    /// Chains a record to the log; the next [`Self::note`] writes it for good. A log that can't
    /// take it is a problem, which from now on denies.
    fn append(&mut self, now: Now, event: Event) {
        if let Err(error) = self.chain(now, event) {
            self.storage_failed(&error);
        }
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
        self.tell_news(News::Status);
    }

    /// The endpoint's name; its number if today's policy doesn't know it.
    fn endpoint_name(&self, id: EndpointId) -> String {
        self.policy.endpoint(id).map_or_else(
            || format!("endpoint-{:08x}", id.0),
            |endpoint| endpoint.name.to_string(),
        )
    }

    /// The connection's network namespace, if it isn't the daemon's own: that of its process,
    /// which may have made the socket in the daemon's and gone elsewhere.
    fn foreign_netns(&self, facts: &Classified) -> Option<Arc<NetNs>> {
        if self.sockets.are_in(facts.attempt.netns) {
            return None;
        }
        let netns = facts.process()?.netns.as_ref()?;
        (!netns.same_as(&self.netns)).then(|| Arc::clone(netns))
    }

    /// Withdraws the held connections of a process when it ends. One that was rejected doesn't
    /// wait in its connect: its process may end, and come again.
    fn watch_exit(&mut self, facts: &Classified) -> Option<Arc<ExitWatch>> {
        let process = facts.process()?;
        if facts.disposition != Disposition::Held {
            return None;
        }
        let id = process.id();
        if let Some(watch) = self.watches.get(&id).filter(|watch| watch.is_on()) {
            return Some(watch);
        }
        let (pidfd, exits) = (Arc::clone(&process.pidfd), self.exits.clone());
        let watch = tokio::spawn(async move {
            if pidfd.exited().await.is_ok() {
                let _ = exits.send(id);
            }
        });
        Some(self.watches.insert(id, watch.abort_handle().into()))
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
        events.extend(self.new_own_faults());
        // Where there are some, there will be more.
        self.stirred |= !events.is_empty();
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
