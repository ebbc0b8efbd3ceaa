// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Looks names up when they are due, listens for answers to others, and tells what it knows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, Id, JoinSet};
use tracing::error;

use super::known::Known;
use super::lookup::{Failed, Lookup, SystemResolver};
use super::resolved::{self, Observed, Sight};
use super::seen::Seen;
use super::store;
use super::{News, Sources};
use crate::clock::{self, BootTime};
use crate::policy::{HostName, Learned};
use crate::sys::boot_timer::{BootTimer, TimerError};

/// How many names are looked up at once.
const AT_ONCE: usize = 16;

/// How many answers of systemd-resolved may wait. Those that don't fit wait with it, and after a
/// while it lets go of who doesn't read; then the connection is made anew.
const WAITING: usize = 256;

/// The stage.
pub(super) struct Worker {
    state_dir: PathBuf,
    sources: Sources,
    resolver: SystemResolver,
    names: watch::Receiver<BTreeSet<HostName>>,
    /// What the last daemon knew of names that nobody has asked for yet.
    remembered: Learned,
    exact: BTreeMap<Arc<str>, Known>,
    below: BTreeMap<Arc<str>, Seen>,
    lookups: JoinSet<Lookup>,
    asked: BTreeMap<Arc<str>, Id>,
    sights_in: mpsc::Sender<Sight>,
    sights: mpsc::Receiver<Sight>,
    observer: Option<AbortHandle>,
    /// Why nothing is seen of what resolved answers, or was not understood.
    blind: Option<String>,
    misread: Option<String>,
    /// What is on disk, if that is known.
    stored: Option<Learned>,
    unstored: Option<String>,
    news: watch::Sender<News>,
}

impl Worker {
    pub(super) fn new(
        sources: Sources,
        state_dir: PathBuf,
        names: watch::Receiver<BTreeSet<HostName>>,
        remembered: Learned,
        news: watch::Sender<News>,
    ) -> Self {
        let (sights_in, sights) = mpsc::channel(WAITING);
        let (resolv_conf, hosts) = (sources.resolv_conf.clone(), sources.hosts.clone());
        Self {
            resolver: SystemResolver::new(resolv_conf, hosts, sources.port),
            state_dir,
            sources,
            names,
            stored: Some(remembered.clone()),
            remembered,
            exact: BTreeMap::new(),
            below: BTreeMap::new(),
            lookups: JoinSet::new(),
            asked: BTreeMap::new(),
            sights_in,
            sights,
            observer: None,
            blind: None,
            misread: None,
            unstored: None,
            news,
        }
    }

    /// Runs until nobody wants its news any more.
    pub(super) async fn run(mut self) {
        if let Err(error) = self.turn().await {
            error!("host names aren't looked up any more: {error}");
        }
    }

    async fn turn(&mut self) -> Result<(), TimerError> {
        let mut alarm = BootTimer::new()?;
        self.adopt_names(now());
        loop {
            let now = now();
            self.expire(now);
            self.tell();
            self.ask(now);
            match self.next_alarm() {
                Some(at) => alarm.arm(at)?,
                None => alarm.disarm()?,
            }
            tokio::select! {
                changed = self.names.changed() => match changed {
                    Ok(()) => self.adopt_names(now),
                    Err(_) => return Ok(()),
                },
                Some(done) = self.lookups.join_next_with_id() => match done {
                    Ok((task, lookup)) => self.on_lookup(task, lookup),
                    Err(broken) => {
                        let why = Failed::Servers(broken.to_string());
                        self.on_lookup(broken.id(), Lookup::failed(why));
                    }
                },
                Some(sight) = self.sights.recv() => {
                    self.on_sight(sight);
                    while let Ok(sight) = self.sights.try_recv() {
                        self.on_sight(sight);
                    }
                }
                expired = alarm.expired() => expired?,
            }
        }
    }

    /// Takes over the names of the policy, with what is known of them.
    fn adopt_names(&mut self, now: BootTime) {
        let names = self.names.borrow_and_update().clone();
        let is_wanted = |name: &HostName| names.contains(name);
        self.exact
            .retain(|name, _| is_wanted(&HostName::Exact(Arc::clone(name))));
        self.below
            .retain(|name, _| is_wanted(&HostName::Below(Arc::clone(name))));
        for name in names {
            let remembered = self.remembered.remove(&name).unwrap_or_default();
            match name {
                HostName::Exact(name) => {
                    let new = || Known::remembered(&remembered, now);
                    self.exact.entry(name).or_insert_with(new);
                }
                HostName::Below(suffix) => {
                    let new = || Seen::remembered(&remembered, now);
                    self.below.entry(suffix).or_insert_with(new);
                }
            }
        }
        self.remembered.clear();
        self.observe();
    }

    /// Observes resolved while there are wildcards.
    fn observe(&mut self) {
        match (&self.observer, self.below.is_empty()) {
            (None, false) => {
                let (socket, sights) = (self.sources.monitor.clone(), self.sights_in.clone());
                let task = tokio::spawn(resolved::observe(socket, sights));
                self.observer = Some(task.abort_handle());
                self.blind = Some("systemd-resolved has not answered yet".to_owned());
            }
            (Some(observer), true) => {
                observer.abort();
                (self.observer, self.blind, self.misread) = (None, None, None);
            }
            _ => {}
        }
    }

    fn expire(&mut self, now: BootTime) {
        for known in self.exact.values_mut() {
            known.expire(now);
        }
        for seen in self.below.values_mut() {
            seen.expire(now);
        }
    }

    /// Starts to look up what is due.
    fn ask(&mut self, now: BootTime) {
        let asking = self.resolver.asking();
        for (name, known) in &self.exact {
            if self.asked.len() >= AT_ONCE {
                return;
            }
            if known.due() <= now && !self.asked.contains_key(name) {
                let (asking, wanted) = (asking.clone(), Arc::clone(name));
                let lookup = async move { asking.addresses(&wanted).await };
                let task = self.lookups.spawn(lookup);
                self.asked.insert(Arc::clone(name), task.id());
            }
        }
    }

    fn on_lookup(&mut self, task: Id, lookup: Lookup) {
        let mut ended = self.asked.extract_if(.., |_, asked| *asked == task);
        let Some((name, _)) = ended.next() else {
            return;
        };
        drop(ended);
        // It may have left the policy in the meantime.
        if let Some(known) = self.exact.get_mut(&name) {
            known.learn(lookup, now());
        }
    }

    fn on_sight(&mut self, sight: Sight) {
        match sight {
            Sight::Open => self.blind = None,
            Sight::Blind(why) => self.blind = self.observer.is_some().then_some(why),
            Sight::Misread(why) => self.misread = Some(why),
            Sight::Answer(observed) => self.on_answer(&observed),
        }
    }

    fn on_answer(&mut self, observed: &Observed) {
        let now = now();
        for (suffix, seen) in &mut self.below {
            if observed.names.iter().any(|name| is_below(name, suffix)) {
                seen.learn(observed, now);
            }
        }
    }

    fn next_alarm(&self) -> Option<BootTime> {
        let is_full = self.asked.len() >= AT_ONCE;
        let is_free = |name: &Arc<str>| !is_full && !self.asked.contains_key(name);
        let due = self.exact.iter().filter(|(name, _)| is_free(name));
        let due = due.map(|(_, known)| known.due());
        let leaves = self.exact.values().filter_map(Known::next_leave);
        let fade = self.below.values().filter_map(Seen::next_leave);
        due.chain(leaves).chain(fade).min()
    }

    /// Tells what is new, and only then keeps it: a connect doesn't wait for the disk.
    fn tell(&mut self) {
        let learned = self.learned();
        self.send(learned.clone());
        if self.stored.as_ref() != Some(&learned) {
            let written = store::write(&self.state_dir, &learned);
            self.stored = written.is_ok().then(|| learned.clone());
            self.unstored = written.err().map(|error| error.to_string());
            self.send(learned);
        }
    }

    fn send(&self, learned: Learned) {
        let problems = self.problems();
        let news = News { learned, problems };
        self.news.send_if_modified(|old| {
            let changes = *old != news;
            *old = news;
            changes
        });
    }

    fn learned(&self) -> Learned {
        let exact = self.exact.iter().map(|(name, known)| {
            let name = HostName::Exact(Arc::clone(name));
            (name, known.addresses())
        });
        let below = self.below.iter().map(|(suffix, seen)| {
            let name = HostName::Below(Arc::clone(suffix));
            (name, seen.addresses())
        });
        let all = exact.chain(below);
        all.filter(|(_, addresses)| !addresses.is_empty()).collect()
    }

    fn problems(&self) -> Vec<String> {
        let exact = self.exact.iter();
        let exact = exact.filter_map(|(name, known)| known.problem(name));
        let below = self.below.iter();
        let below = below.filter_map(|(suffix, seen)| seen.problem(&format!("*{suffix}")));
        let wildcards: Vec<_> = self
            .below
            .keys()
            .map(|suffix| format!("*{suffix}"))
            .collect();
        let wildcards = wildcards.join(", ");
        let blind = self.blind.as_ref().map(|why| {
            format!(
                "{wildcards}: wildcards catch nothing on this host, they are NOT protected ({why})"
            )
        });
        let misread = self.misread.as_ref().map(|why| {
            format!("{wildcards}: an answer of systemd-resolved was not understood ({why})")
        });
        let others = blind
            .into_iter()
            .chain(misread)
            .chain(self.unstored.clone());
        exact.chain(below).chain(others).collect()
    }
}

/// True if a name ends with `.suffix`; the suffix has the dot.
fn is_below(name: &str, suffix: &str) -> bool {
    name.len() > suffix.len() && name.ends_with(suffix)
}

fn now() -> BootTime {
    clock::now().boot
}
