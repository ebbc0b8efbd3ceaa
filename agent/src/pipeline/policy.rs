// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The policy in the kernel: loaded, reloaded, and held against what is granted already.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use stile_common::{Config, MAX_UID_RANGES, Search, UidRange};
use tracing::{error, info, warn};

use super::endings::Why;
use super::existing::owner_of;
use super::facts::ConnectionFacts;
use super::sockets::Parked;
use super::{Pipeline, Problem};
use crate::audit::{ChallengeOutcome, CloseReason, Event};
use crate::challenge::Waiting;
use crate::classify::Process;
use crate::clock::Now;
use crate::config::Settings;
use crate::decide::{Question, observed_by, offered};
use crate::grant::Terms;
use crate::ids::Uid;
use crate::kernel::{GateError, TablesError};
use crate::policy::{self, KernelTables};
use crate::service::News;
use crate::sys::cgroup::Cgroup2;

/// How long the daemon may leave attempts unread before the gate refuses at once. Reading one
/// takes microseconds; a daemon that is stopped or stuck for longer than this answers nobody.
const PATIENCE: Duration = Duration::from_secs(2);

/// One attempt in this time is always admitted, however many a subject makes.
const ATTEMPT: Duration = Duration::from_nanos(1_000_000_000 / 64);
/// How many attempts a subject may make at once: more than any program of a person does, and
/// less than the kernel has room for (`HELD` in the kernel program).
const BURST: u32 = 12_288;
/// How many while the ring is more than half full.
const BUSY_BURST: u32 = 64;

/// Why a policy can't be enforced. The one before stays in force.
#[derive(Debug, thiserror::Error)]
pub enum EnforceError {
    /// It has mistakes.
    #[error("{0}")]
    Policy(#[from] crate::config::Diagnostics),
    /// It doesn't fit.
    #[error(transparent)]
    Compile(#[from] policy::CompileError),
    /// It doesn't fit, or the kernel refuses.
    #[error(transparent)]
    Tables(#[from] TablesError),
    /// The kernel refuses.
    #[error(transparent)]
    Gate(#[from] GateError),
}

impl Pipeline {
    /// Writes a policy to the kernel. What both policies protect stays protected throughout.
    pub(super) fn enforce(&mut self, tables: &KernelTables) -> Result<(), EnforceError> {
        for problem in &tables.problems {
            warn!("{problem}");
        }
        self.gate.protect(tables)?;
        self.max_hold = tables.max_hold;
        self.observes = tables.observes;
        self.gated = policy::gated_uids(
            &self.settings.gated_uids,
            Path::new(policy::SUBUID),
            &self.names,
            MAX_UID_RANGES,
        );
        self.gate.configure(self.config())?;
        Ok(())
    }

    /// Reads settings and policy anew. All or nothing: a mistake keeps what runs.
    ///
    /// # Errors
    /// What is wrong with the new one. It is in the log and in the status as well.
    pub(super) fn reload(&mut self) -> Result<(), String> {
        let now = Self::now();
        let reloaded = match self.try_reload() {
            Ok(()) => {
                info!(policy = %self.policy.version, "reloaded");
                self.problems.remove(&Problem::Policy);
                let event = Event::PolicyLoaded {
                    policy: self.policy.version.to_string(),
                    endpoints: self.policy.endpoints.len(),
                    rules: self.policy.rules.len(),
                };
                self.note(now, [event]);
                self.judge_again(now);
                let found = self.find_sockets();
                self.judge_existing(found, now);
                self.look_after_names();
                Ok(())
            }
            Err(refused) => {
                error!("the running policy stays, the new one was refused:\n{refused}");
                let text = refused.to_string();
                self.problems.insert(
                    Problem::Policy,
                    format!("the policy on disk was refused: {text}"),
                );
                let lines: Vec<_> = text.lines().collect();
                self.note(now, [Event::policy_refused(&lines)]);
                Err(text)
            }
        };
        self.tell_news(News::Status);
        reloaded
    }

    fn try_reload(&mut self) -> Result<(), EnforceError> {
        let settings = Settings::load(&self.places.settings)?;
        let mut loaded = policy::load(&self.places.policy)?;
        loaded.policy.add_nat64(&settings.nat64);
        loaded.policy.levels = settings.levels();
        let untaken = self.hosts.teach(&mut loaded.policy, &settings.nat64);
        let tables = policy::compile(&loaded.policy, &self.names)?;
        self.warn_of_restart(&settings);
        let before = std::mem::replace(&mut self.settings, settings);
        self.settings.cgroup.clone_from(&before.cgroup);
        self.settings.bpffs.clone_from(&before.bpffs);
        self.settings.state_dir.clone_from(&before.state_dir);
        if let Err(refused) = self.enforce(&tables) {
            self.settings = before;
            return Err(refused);
        }
        self.ledger.lock_after(self.settings.lock_after);
        self.policy = loaded.policy;
        self.loaded = Self::now().wall;
        self.hosts.took(&untaken);
        Ok(())
    }

    fn warn_of_restart(&self, new: &Settings) {
        let old = &self.settings;
        let changed = [
            ("cgroup", new.cgroup != old.cgroup),
            ("bpffs", new.bpffs != old.bpffs),
            ("state_dir", new.state_dir != old.state_dir),
        ];
        for (key, _) in changed.iter().filter(|(_, changed)| *changed) {
            warn!("{key} has changed; that takes effect with a restart of stiled");
        }
    }

    /// Holds grants and waiting connections against a new policy: what it wouldn't give any
    /// more ends now.
    fn judge_again(&mut self, now: Now) {
        for id in self.grants.ids_of(None) {
            let Some(live) = self.grants.remove(id) else {
                continue;
            };
            let question = Question {
                subject: live.grant.subject(),
                endpoint: live.grant.target().endpoint,
            };
            let process = live
                .maker
                .and_then(|id| Process::again(&self.procfs, id).ok());
            let terms = self.terms_for(question, process.as_ref(), now);
            let (earlier, expires) = (live.grant.terms(), live.grant.expires());
            if terms.iter().any(|terms| terms.uphold(earlier, expires)) {
                self.grants.restore(live);
            } else if let Err(error) = self.end_grant(live, Why::Revoked(Uid(0)), now) {
                self.storage_failed(&error);
            }
        }
        self.let_go_what_is_free(now);
        let mut stale = HashSet::new();
        for challenge in self.challenges.all() {
            for waiting in &challenge.waiting {
                let question = Question {
                    subject: challenge.key.subject,
                    endpoint: waiting.facts.endpoint,
                };
                let terms = self.terms_for(question, waiting.facts.process(), now);
                let earlier = waiting.terms.as_deref();
                let upheld = |terms: &Terms| earlier.is_some_and(|it| terms.uphold(it, now.boot));
                if !terms.iter().any(upheld) {
                    stale.insert(waiting.cookie());
                }
            }
        }
        let gone = |waiting: &Waiting| stale.contains(&waiting.cookie());
        self.withdraw(gone, ChallengeOutcome::Withdrawn, CloseReason::Denied, now);
    }

    /// Lets waiting connections go on whose destination is protected no more: the gate has
    /// nothing against them now.
    pub(super) fn let_go_what_is_free(&mut self, now: Now) {
        let policy = &self.policy;
        let is_free = |waiting: &Waiting| {
            let facts = &waiting.facts;
            let (address, port) = (facts.destination.ip(), facts.destination.port());
            let number = facts.attempt.protocol;
            let protected = policy.endpoint_at(address, port, number);
            protected.is_none()
        };
        let mut parked = Vec::new();
        for withdrawn in self.challenges.withdraw(is_free) {
            if withdrawn.ended {
                let outcome = ChallengeOutcome::Withdrawn;
                let event = self.challenge_end(&withdrawn, outcome, now.boot);
                self.note(now, event);
            }
            for mut waiting in withdrawn.waiting {
                if let Err(error) = self.gate.forget_held(waiting.cookie()) {
                    self.storage_failed(&error.into());
                }
                if waiting.is_parked() {
                    let netns = self.foreign_netns(&waiting.facts);
                    parked.push(Parked::new(&mut waiting, netns));
                }
            }
        }
        self.sockets.go_on(parked, now.boot);
    }

    /// What today's policy gives to a user at an endpoint, for a connection of this process: in
    /// each way that it gives it, the laxest first.
    pub(super) fn terms_for(
        &self,
        question: Question,
        process: Option<&Process>,
        now: Now,
    ) -> Vec<Terms> {
        let facts = ConnectionFacts::new(question, process, self.sources(), now);
        let observed = observed_by(&self.policy, &self.names, question, &facts);
        let observed = observed.into_iter().flat_map(|(rule, always)| {
            let wide = always.then(|| Terms::observed(rule.clone(), false));
            wide.into_iter().chain([Terms::observed(rule, true)])
        });
        let offered = offered(&self.policy, &self.names, question, &facts, now.boot);
        let offered = offered.map(|(offer, realm)| Terms::new(&offer, realm.as_ref()));
        let emergency = self.emergency_terms(question, now);
        observed.chain(offered).chain(emergency).collect()
    }

    /// Tells the gate where sessions are and whose, and watches for new ones: systemd makes
    /// `user.slice` with the first login, which may be long after the gate stands.
    pub(super) fn look_at_slices(&mut self) {
        let slice = user_slice(&self.hierarchy, &self.options.cgroup);
        let Ok(directory) = self.hierarchy.directory_of(&slice) else {
            return;
        };
        if let Some(watch) = &self.slices {
            let watched = watch
                .clear()
                .and_then(|()| watch.add(&self.options.cgroup))
                .and_then(|()| watch.add(&directory));
            if let Err(error) = watched {
                warn!("new sessions may go unnoticed until a reload: {error}");
            }
        }
        if let Err(error) = self.gate.configure(self.config()) {
            self.storage_failed(&error.into());
        }
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if let Some(owner) = name.to_str().and_then(owner_of)
                && let Err(error) = self.teach_slice(&slice.join(&name), owner)
            {
                warn!("{}: {error}", entry.path().display());
            }
        }
    }

    /// Tells the gate whose session one cgroup is.
    pub(super) fn teach_slice(&mut self, slice: &Path, owner: Uid) -> Result<(), String> {
        let id = self
            .hierarchy
            .id_of(slice)
            .map_err(|error| error.to_string())?;
        self.gate
            .set_slice(id, owner)
            .map_err(|error| error.to_string())
    }

    /// The gate's settings.
    fn config(&self) -> Config {
        let mut uids = [UidRange { first: 1, last: 0 }; MAX_UID_RANGES];
        for (slot, range) in uids.iter_mut().zip(&self.gated) {
            *slot = *range;
        }
        let slice = user_slice(&self.hierarchy, &self.options.cgroup);
        let found = (
            self.hierarchy.id_of(&slice),
            self.hierarchy.level_of(&slice),
        );
        // A host without sessions of systemd's has no such cgroup: its users are told by uid.
        let (user_slice, user_slice_level) = match found {
            (Ok(id), Ok(level)) => (id, level),
            _ => (0, 0),
        };
        Config {
            user_slice,
            patience_ns: nanos(PATIENCE),
            attempt_ns: nanos(ATTEMPT),
            ahead_ns: nanos(ATTEMPT * BURST),
            ahead_busy_ns: nanos(ATTEMPT * BUSY_BURST),
            epoch: 0,
            generation: 0,
            user_slice_level,
            syn_count: syn_count(self.max_hold, linear_timeouts()),
            uid_ranges: u32::try_from(self.gated.len()).unwrap_or(0),
            observes: u32::from(self.observes),
            search: Search::default(),
            uids,
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The cgroup of all sessions, below the one that the gate is attached to, as /proc/PID/cgroup
/// writes it.
pub(super) fn user_slice(hierarchy: &Cgroup2, attached: &Path) -> PathBuf {
    let attached = attached
        .strip_prefix(hierarchy.root())
        .unwrap_or(Path::new(""));
    Path::new("/").join(attached).join("user.slice")
}

/// `net.ipv4.tcp_syn_linear_timeouts` (ip-sysctl.rst); kernels before 6.5 have none.
fn linear_timeouts() -> u32 {
    fs::read_to_string("/proc/sys/net/ipv4/tcp_syn_linear_timeouts")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0)
}

/// The fewest SYN retransmissions (`TCP_SYNCNT`) that keep a socket in its connect for a
/// whole hold. Not more: where the daemon dies, they are what ends the client's wait.
///
/// A SYN is sent again after one second, `linear` more times at that pace, then after twice
/// the time each, up to 120 s; the socket gives up when the pause after its last
/// retransmission is over (`tcp_retransmit_timer` in the kernel's net/ipv4/tcp_timer.c).
fn syn_count(hold: Duration, linear: u32) -> u32 {
    const LONGEST: u64 = 120;
    const MOST: u32 = 127;
    // One second on top, so that the daemon's own end of the hold comes first.
    let enough = hold.as_secs() + 1;
    let (mut waited, mut pause, mut pauses) = (0, 1, 0);
    while waited < enough || pauses < linear + 2 {
        waited += pause;
        pauses += 1;
        if pauses > linear {
            pause = (pause * 2).min(LONGEST);
        }
    }
    (pauses - linear - 1).min(MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_socket_retries_just_longer_than_the_hold() {
        // Pauses of 1, 2, 4, 8, 16 and 32 s: 63 s.
        assert_eq!(syn_count(Duration::from_secs(60), 0), 5);
        // Five of 1 s, then 2, 4, 8, 16 and 32 s: 67 s.
        assert_eq!(syn_count(Duration::from_secs(60), 4), 5);
        // 1 and 2 s.
        assert_eq!(syn_count(Duration::from_secs(1), 0), 1);
        // 1 + 2 + ... + 64 = 127 s, and four of 120 s: 607 s is enough for 601 s.
        assert_eq!(syn_count(Duration::from_secs(600), 0), 10);
    }
}
