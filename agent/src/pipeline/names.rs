// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The addresses behind the host names of the policy: what the stage that looks them up has
//! found is learned, written to the kernel, and held against what is connected already.

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;
use std::path::Path;

use ipnet::Ipv6Net;
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::policy::EnforceError;
use super::{Pipeline, Problem};
use crate::audit::Event;
use crate::hosts::{self, Hosts, News, Sources};
use crate::policy::{self, HostName, Learned, NotTaken, Policy};

/// Why no news comes any more.
const ENDED: &str = "host names aren't looked up any more, their known addresses stay protected: \
                     restart stiled";

/// What is known of the policy's host names, and who looks after them.
#[derive(Debug, Default)]
pub(super) struct HostNames {
    stage: Option<Stage>,
    learned: Learned,
    /// What is wrong with the names; with what was read at the start, and with the policy.
    problems: Vec<String>,
    unread: Option<String>,
    untaken: Vec<String>,
}

#[derive(Debug)]
struct Stage {
    hosts: Hosts,
    news: watch::Receiver<News>,
}

impl HostNames {
    /// What an earlier daemon knew. It is protected before any name server has answered.
    pub(super) fn remembered(state_dir: &Path, policy: &Policy) -> Self {
        let mut names = Self::default();
        match hosts::read(state_dir) {
            Ok(learned) => names.learned = learned,
            // Nobody misses it where no names are.
            Err(_) if policy.host_names().is_empty() => {}
            Err(error) => names.unread = Some(error.to_string()),
        }
        names
    }

    /// Fills a policy in with what is known. To be kept with [`Self::took`] once it holds.
    pub(super) fn teach(&self, policy: &mut Policy, nat64: &[Ipv6Net]) -> Vec<NotTaken> {
        policy.learn(&self.learned, nat64)
    }

    /// Keeps what the policy that holds now could not take.
    pub(super) fn took(&mut self, untaken: &[NotTaken]) {
        self.untaken = untaken.iter().map(ToString::to_string).collect();
    }

    /// Looks after the names of this policy from now on. A host whose policy has none never has
    /// a thread for them.
    fn look_after(&mut self, names: BTreeSet<HostName>, state_dir: &Path) {
        if let Some(stage) = &self.stage {
            return stage.hosts.look_after(names);
        }
        if names.is_empty() {
            return;
        }
        let (state_dir, learned) = (state_dir.to_owned(), self.learned.clone());
        match hosts::spawn(Sources::default(), state_dir, names, learned) {
            Ok((hosts, news)) => self.stage = Some(Stage { hosts, news }),
            Err(error) => self.problems = vec![format!("{ENDED} ({error})")],
        }
    }

    /// The next news; never, where nobody looks for any.
    pub(super) async fn changed(&mut self) -> News {
        if let Some(stage) = &mut self.stage {
            if stage.news.changed().await.is_ok() {
                return stage.news.borrow_and_update().clone();
            }
            error!("{ENDED}");
            self.stage = None;
            let (learned, problems) = (self.learned.clone(), vec![ENDED.to_owned()]);
            return News { learned, problems };
        }
        std::future::pending().await
    }

    fn problems(&self) -> Vec<&str> {
        let problems = self.problems.iter().chain(&self.untaken);
        problems.chain(&self.unread).map(String::as_str).collect()
    }
}

impl Pipeline {
    /// Looks after the names of the policy that holds now.
    pub(super) fn look_after_names(&mut self) {
        let names = self.policy.host_names();
        self.hosts.look_after(names, &self.settings.state_dir);
        self.tell_of_names();
    }

    /// Takes over what was found out about names.
    pub(super) fn on_news(&mut self, news: News) {
        let now = Self::now();
        self.hosts.problems = news.problems;
        let changes = changes(&self.hosts.learned, &news.learned);
        let before = std::mem::replace(&mut self.hosts.learned, news.learned);
        if changes.is_empty() {
            return self.tell_of_names();
        }
        if let Err(refused) = self.learn() {
            error!("new addresses of host names are NOT protected: {refused}");
            // With the next news they are tried again.
            self.hosts.learned = before;
            self.hosts.problems.push(format!(
                "new addresses of host names are NOT protected: {refused}"
            ));
            return self.tell_of_names();
        }
        let adds = changes.iter().any(|change| !change.added.is_empty());
        self.note(now, changes.into_iter().map(Change::into_event));
        self.let_go_what_is_free(now);
        if adds {
            let found = self.find_sockets();
            self.judge_existing(found, now);
        }
        self.tell_of_names();
    }

    /// Puts what is known of names into the policy and the kernel.
    fn learn(&mut self) -> Result<(), EnforceError> {
        let mut policy = self.policy.clone();
        let untaken = self.hosts.teach(&mut policy, &self.settings.nat64);
        let tables = policy::compile(&policy, &self.names)?;
        self.enforce(&tables)?;
        self.policy = policy;
        self.hosts.took(&untaken);
        Ok(())
    }

    /// Shows what is wrong with names, and logs what is newly so.
    fn tell_of_names(&mut self) {
        let problems = self.hosts.problems();
        let text = problems.join("\n");
        let known = self.problems.get(&Problem::Names);
        let known: HashSet<_> = known
            .map(|known| known.lines())
            .into_iter()
            .flatten()
            .collect();
        for problem in text.lines().filter(|line| !known.contains(line)) {
            warn!("{problem}");
        }
        if text.is_empty() {
            self.problems.remove(&Problem::Names);
        } else {
            self.problems.insert(Problem::Names, text);
        }
    }
}

/// What is new about one name.
struct Change {
    host: HostName,
    added: Vec<IpAddr>,
    removed: Vec<IpAddr>,
}

impl Change {
    fn into_event(self) -> Event {
        let Self {
            host,
            added,
            removed,
        } = self;
        info!(%host, ?added, ?removed, "its addresses have changed");
        Event::host_learned(&host, &added, &removed)
    }
}

/// How what is known of each name differs.
fn changes(before: &Learned, after: &Learned) -> Vec<Change> {
    let none = BTreeSet::new();
    let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let change = |host: &HostName| {
        let had = before.get(host).unwrap_or(&none);
        let has = after.get(host).unwrap_or(&none);
        Change {
            host: host.clone(),
            added: has.difference(had).copied().collect(),
            removed: had.difference(has).copied().collect(),
        }
    };
    let all = names.into_iter().map(change);
    all.filter(|change| !change.added.is_empty() || !change.removed.is_empty())
        .collect()
}
