// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Starts the stages, and turns the crank.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tracing::{debug, error, info, warn};

use super::names::HostNames;
use super::policy::EnforceError;
use super::sockets::Sockets;
use super::{Inputs, Pipeline, Places, Problem};
use crate::audit::{self, AuditLog, ChallengeOutcome, CloseReason, Event};
use crate::challenge::{Challenges, Waiting};
use crate::classify::{Classifier, Logins, ProcFs, ProcessId, Programs};
use crate::clock;
use crate::config::Settings;
use crate::grant::Grants;
use crate::history::History;
use crate::kernel::{Gate, GateOptions, SystemProbe, preflight};
use crate::ledger::{BootId, KeyPlaces, KeySource, Ledger};
use crate::policy::{self, Remembered, SystemNames};
use crate::sys::boot_timer::BootTimer;
use crate::sys::cgroup::Cgroup2;
use crate::sys::memory;
use crate::sys::netns::NetNs;
use crate::sys::slices::SliceWatch;
use crate::sys::watch::Watched;
use crate::verify::Enrollments;

/// Why the daemon can't start. Nothing was attached, or what an earlier one attached stays.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Settings or policy have mistakes, or don't fit into the kernel.
    #[error("{0}")]
    Enforce(#[from] EnforceError),
    /// This machine lacks what the gate needs.
    #[error("this machine can't hold connections:\n{0}")]
    Preflight(String),
    /// No cgroup to attach to.
    #[error(transparent)]
    Cgroup(#[from] crate::sys::cgroup::CgroupError),
    /// The kernel refuses.
    #[error(transparent)]
    Gate(#[from] crate::kernel::GateError),
    /// The ledger can't be opened.
    #[error("the ledger: {0}")]
    Ledger(#[from] crate::ledger::LedgerError),
    /// The audit log can't be opened.
    #[error("the audit log: {0}")]
    Audit(#[from] audit::AuditError),
    /// Something of the system that always works didn't.
    #[error("{what}: {why}")]
    System {
        /// What.
        what: &'static str,
        /// Why.
        why: String,
    },
}

/// What the command line may say otherwise than the settings do.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// The cgroup to attach to.
    pub cgroup: Option<PathBuf>,
    /// The directory of the pins.
    pub bpffs: Option<PathBuf>,
    /// Where ledger and audit log lie.
    pub state_dir: Option<PathBuf>,
}

/// Runs the daemon until it is told to stop. The gate stays when it returns.
///
/// # Errors
/// If it can't start.
pub async fn run(places: Places, overrides: Overrides) -> Result<(), StartError> {
    let (exits, exited) = mpsc::unbounded_channel();
    let (requests_in, requests) = mpsc::channel(64);
    let (bus_in, bus) = mpsc::channel(1);
    let (news_in, news) = mpsc::channel(NEWS);
    let pipeline = Pipeline::start(places, overrides, exits, news_in)?;
    let settings = crate::bus::BusSettings {
        prompt_group: pipeline.settings.prompt_group.clone(),
        pam_helper: pipeline.settings.pam_helper.clone(),
        watched: std::sync::Arc::clone(&pipeline.watched),
    };
    tokio::spawn(stay_on_bus(settings, requests_in, news, bus_in));
    pipeline
        .turn(Inputs {
            requests,
            exits: exited,
            bus,
        })
        .await
}

/// How much news the bus may be behind.
const NEWS: usize = 1024;

/// Keeps the agent on the bus; where there is none, tries again, ever more slowly.
async fn stay_on_bus(
    settings: crate::bus::BusSettings,
    requests: mpsc::Sender<crate::service::Request>,
    mut news: mpsc::Receiver<crate::service::News>,
    states: mpsc::Sender<Option<String>>,
) {
    const LONGEST: std::time::Duration = std::time::Duration::from_secs(60);
    let mut pause = std::time::Duration::from_secs(1);
    loop {
        match crate::bus::serve(&settings, requests.clone()).await {
            Ok(service) => {
                pause = std::time::Duration::from_secs(1);
                if states.send(None).await.is_err() {
                    return;
                }
                service.work(&mut news).await;
                let _ = states
                    .send(Some("the D-Bus system bus was lost".to_owned()))
                    .await;
            }
            Err(error) => {
                if states.send(Some(error.to_string())).await.is_err() {
                    return;
                }
            }
        }
        // What happens meanwhile nobody hears of; who comes back asks what is pending.
        let until = tokio::time::Instant::now() + pause;
        while let Ok(Some(_)) = tokio::time::timeout_at(until, news.recv()).await {}
        pause = (pause * 2).min(LONGEST);
    }
}

/// How long elevations are kept: no rule's time is longer.
const ELEVATIONS_KEPT: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);

/// How long the log calls a uid by the name that it had.
const NAMES_KEPT: std::time::Duration = std::time::Duration::from_secs(60);

impl Pipeline {
    /// Checks everything, opens everything, and puts up the gate last.
    fn start(
        places: Places,
        overrides: Overrides,
        exits: mpsc::UnboundedSender<ProcessId>,
        news: mpsc::Sender<crate::service::News>,
    ) -> Result<Self, StartError> {
        let settings = settings(&places.settings, overrides)?;
        let mut loaded = policy::load(&places.policy).map_err(EnforceError::from)?;
        loaded.policy.add_nat64(&settings.nat64);
        loaded.policy.levels = settings.levels();
        for warning in &loaded.warnings {
            warn!("{warning}");
        }
        let mut hosts = HostNames::remembered(&settings.state_dir, &loaded.policy);
        let untaken = hosts.teach(&mut loaded.policy, &settings.nat64);
        hosts.took(&untaken);
        let names = Remembered::new(SystemNames);
        let tables = policy::compile(&loaded.policy, &names).map_err(EnforceError::from)?;
        let found = preflight(&SystemProbe, &settings.bpffs);
        if !found.passes() {
            let lines: Vec<_> = found
                .findings
                .iter()
                .map(|finding| format!("  {finding}"))
                .collect();
            return Err(StartError::Preflight(lines.join("\n")));
        }
        let hierarchy = Cgroup2::find()?;
        let options = gate_options(&settings, &hierarchy)?;
        let sessions = super::policy::user_slice(&hierarchy, &options.cgroup);
        let logins = Logins::new(sessions.clone());
        let classifier = Classifier::new(ProcFs::default(), sessions);
        let mut ledger = Ledger::open_with(&KeyPlaces::of_process(&settings.state_dir))?;
        ledger.lock_after(settings.lock_after);
        if let KeySource::File(path) = ledger.key_source() {
            warn!(
                "the secrets of factors are sealed with {}, which lies on the same disk; give \
                 stiled a credential (docs/factors.md) to protect backups as well",
                path.display()
            );
        }
        let now = clock::now();
        let boot = clock::boot_id().map_err(|error| system("the boot id", error))?;
        let boot = BootId::from(boot);
        let history = History::open(&settings.state_dir, &boot, now);
        let (audit, opened) = AuditLog::open(&settings.state_dir.join(audit::DIR_NAME), now)?;
        let (mut gate, rings) = Gate::open(&options, &tables)?;
        let sockets = Sockets::open(&mut gate);
        let mut pipeline = Self {
            places,
            gated: settings.gated_uids.clone(),
            settings,
            policy: loaded.policy,
            loaded: now.wall,
            max_hold: tables.max_hold,
            observes: tables.observes,
            names,
            named: now.boot,
            hierarchy,
            options,
            gate,
            rings,
            sockets,
            slices: slice_watch(),
            flood: super::flood::Flood::default(),
            backlog: false,
            recent: super::recent::Recent::default(),
            imagined: super::observing::Imagined::default(),
            batch: super::reading::Batch::default(),
            unseen: 0,
            untold: 0,
            unwritten: 0,
            unanswered: 0,
            known_own_faults: [0; super::faults::OWN.len()],
            looked: now.boot,
            swept: now.boot,
            given_up_due: now.boot,
            flows_due: now.boot,
            stirred: false,
            busy: 0,
            ledger,
            audit,
            enrollments: Enrollments::default(),
            challenges: Challenges::default(),
            past: super::past::Past::default(),
            grants: Grants::default(),
            procfs: ProcFs::default(),
            classifier,
            logins,
            programs: Programs::new(ProcFs::default()),
            history,
            netns: NetNs::own().map_err(|error| system("this network namespace", error))?,
            boot,
            watches: crate::shared::Shared::default(),
            exits,
            known_faults: [0; stile_common::fault::COUNT as usize],
            known_throttled: std::collections::HashMap::new(),
            hosts,
            news,
            untold_news: 0,
            watched: std::sync::Arc::default(),
            problems: std::collections::HashMap::new(),
        };
        for finding in found.findings {
            warn!("{finding}");
            pipeline
                .problems
                .insert(Problem::Preflight, finding.to_string());
        }
        pipeline.report_history();
        pipeline.known_faults = pipeline.gate.faults()?;
        pipeline.known_throttled = pipeline.gate.throttled()?;
        pipeline.enforce(&tables)?;
        pipeline.look_at_slices();
        pipeline
            .ledger
            .prune(now.boot, &pipeline.boot, ELEVATIONS_KEPT)?;
        pipeline.gate.attach(&pipeline.options)?;
        pipeline.opened(opened.repaired_bytes)?;
        pipeline.look_after_names();
        Ok(pipeline)
    }

    /// Writes down that the gate stands, and takes over what stood before.
    fn opened(&mut self, repaired_bytes: u64) -> Result<(), StartError> {
        let now = Self::now();
        let started = Event::DaemonStarted {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            policy: self.policy.version.to_string(),
            repaired_bytes,
            adopted: self.gate.adopted(),
        };
        let loaded = Event::PolicyLoaded {
            policy: self.policy.version.to_string(),
            endpoints: self.policy.endpoints.len(),
            rules: self.policy.rules.len(),
        };
        self.note(now, [started, loaded]);
        if let Err(error) = self.adopt() {
            self.storage_failed(&error);
        }
        self.log_start();
        Ok(())
    }

    /// Waits for the kernel, for people, for processes that end and for time that runs out.
    async fn turn(mut self, mut inputs: Inputs) -> Result<(), StartError> {
        let mut alarm = BootTimer::new().map_err(|error| system("a timer", error))?;
        let mut reports =
            Watched::new(&self.rings.attempts).map_err(|error| system("the ring", error))?;
        let mut flows =
            Watched::new(&self.rings.flows).map_err(|error| system("the ring", error))?;
        let mut sessions = self
            .slices
            .as_ref()
            .map(Watched::new)
            .transpose()
            .unwrap_or(None);
        let mut hangup = handler(SignalKind::hangup())?;
        let mut terminate = handler(SignalKind::terminate())?;
        let mut interrupt = handler(SignalKind::interrupt())?;
        self.drain_attempts();
        loop {
            self.set_alarm(&mut alarm);
            self.forget_names();
            // While attempts pour in there is always one to read, and the tasks that talk with
            // the bus, and so with people, would never have their turn.
            tokio::task::yield_now().await;
            tokio::select! {
                ready = reports.ready() => match ready {
                    Ok(()) => self.drain_attempts(),
                    Err(error) => return Err(system("the ring", error)),
                },
                ready = flows.ready() => match ready {
                    Ok(()) => self.drain_flows(),
                    Err(error) => return Err(system("the ring", error)),
                },
                () = std::future::ready(()), if self.backlog => self.drain_attempts(),
                Some(()) = appeared(&mut sessions) => self.look_at_slices(),
                Some(request) = inputs.requests.recv() => self.serve(request),
                Some(process) = inputs.exits.recv() => self.on_exit(process, &mut inputs.exits),
                news = self.hosts.changed() => self.on_news(news),
                Some(state) = inputs.bus.recv() => self.on_bus(state),
                expired = alarm.expired() => match expired {
                    Ok(()) => self.on_alarm(),
                    Err(error) => return Err(system("a timer", error)),
                },
                _ = hangup.recv() => {
                    let _ = self.reload_and_say();
                }
                _ = terminate.recv() => return self.stop(),
                _ = interrupt.recv() => return self.stop(),
            }
        }
    }

    /// Forgets what the name services said: who somebody is for a decision with each turn, how a
    /// uid is called in the log after a minute. A directory may take its time, and people wait.
    fn forget_names(&mut self) {
        self.names.forget();
        let now = Self::now().boot;
        if now.since(self.named) > NAMES_KEPT {
            self.names.forget_users();
            self.named = now;
        }
    }

    /// Reads settings and policy anew, and tells the service manager meanwhile.
    pub(super) fn reload_and_say(&mut self) -> Result<(), String> {
        let _ = sd_notify::notify(&[NotifyState::Reloading]);
        let reloaded = self.reload();
        shrink();
        let _ = sd_notify::notify(&[NotifyState::Ready]);
        reloaded
    }

    /// Processes have ended while connections of theirs were held: nobody waits for those any
    /// more.
    fn on_exit(&mut self, first: ProcessId, more: &mut mpsc::UnboundedReceiver<ProcessId>) {
        let mut ended = HashSet::from([first]);
        while let Ok(process) = more.try_recv() {
            ended.insert(process);
        }
        let its_own = |waiting: &Waiting| {
            let process = waiting.facts.process();
            waiting.is_parked() && process.is_some_and(|process| ended.contains(&process.id()))
        };
        let (outcome, reason) = (ChallengeOutcome::Withdrawn, CloseReason::Withdrawn);
        self.withdraw(its_own, outcome, reason, Self::now());
    }

    fn set_alarm(&self, alarm: &mut BootTimer) {
        let set = match self.next_alarm() {
            Some(at) => alarm.arm(at),
            None => alarm.disarm(),
        };
        if let Err(error) = set {
            error!("{error}");
        }
    }

    /// The bus is there, or isn't. The first word of it ends the start: the gate has stood
    /// since before, and now people are reached as well, or can't be. What the start took goes
    /// back only now, since to join the bus takes memory and code of its own.
    fn on_bus(&mut self, state: Option<String>) {
        let _ = sd_notify::notify(&[NotifyState::Ready]);
        match state {
            None => {
                info!("people are reached on the system bus");
                shrink();
                self.problems.remove(&Problem::Bus);
            }
            Some(problem) => {
                if self.problems.get(&Problem::Bus) != Some(&problem) {
                    error!("nobody can answer a challenge: {problem}");
                    shrink();
                }
                self.problems.insert(Problem::Bus, problem);
            }
        }
    }

    /// Leaves the gate as it stands: live grants run to their end, what is parked stays so,
    /// and new attempts are refused at once.
    fn stop(&mut self) -> Result<(), StartError> {
        let _ = sd_notify::notify(&[NotifyState::Stopping]);
        if let Err(error) = self.gate.stop_asking() {
            warn!("what connects right now may wait for the next start: {error}");
        }
        self.drain_flows();
        self.history.close(Self::now());
        self.note(Self::now(), [Event::DaemonStopped {}]);
        info!("stopped; protected endpoints stay closed (`stile detach` opens them)");
        Ok(())
    }
}

/// Waits for a new session; for ever where sessions can't be watched.
async fn appeared(sessions: &mut Option<Watched>) -> Option<()> {
    sessions.as_mut()?.ready().await.ok()
}

/// Gives back what the start or a flood took. The start has read policy, kernel types and kernel
/// program, and freed most of that; much of the code and the constants has done its work.
pub(super) fn shrink() {
    memory::give_back();
    if let Err(error) = memory::forget_files() {
        debug!("the daemon stays as large as at its start: {error}");
    }
}

fn slice_watch() -> Option<SliceWatch> {
    SliceWatch::new()
        .inspect_err(|error| warn!("new sessions are noticed with a reload only: {error}"))
        .ok()
}

fn settings(path: &Path, overrides: Overrides) -> Result<Settings, StartError> {
    let mut settings = Settings::load(path).map_err(EnforceError::from)?;
    if let Some(cgroup) = overrides.cgroup {
        settings.cgroup = Some(cgroup);
    }
    if let Some(bpffs) = overrides.bpffs {
        settings.bpffs = bpffs;
    }
    if let Some(state_dir) = overrides.state_dir {
        settings.state_dir = state_dir;
    }
    Ok(settings)
}

fn gate_options(settings: &Settings, hierarchy: &Cgroup2) -> Result<GateOptions, StartError> {
    let cgroup = settings
        .cgroup
        .clone()
        .unwrap_or_else(|| hierarchy.root().to_owned());
    let below = cgroup
        .strip_prefix(hierarchy.root())
        .map_err(|_| StartError::System {
            what: "the cgroup to attach to",
            why: format!(
                "{} is not below {}",
                cgroup.display(),
                hierarchy.root().display()
            ),
        })?;
    let cgroup_id = hierarchy.id_of(&Path::new("/").join(below))?;
    Ok(GateOptions {
        pins: settings.bpffs.clone(),
        cgroup,
        cgroup_id,
    })
}

fn handler(kind: SignalKind) -> Result<Signal, StartError> {
    signal(kind).map_err(|error| system("a signal handler", error))
}

fn system(what: &'static str, why: impl ToString) -> StartError {
    StartError::System {
        what,
        why: why.to_string(),
    }
}
