// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which addresses the host names of a policy have.
//!
//! Names are looked up as the host's own resolver does, and again when their TTL is over. Names
//! below a suffix (`*.db.example.com`) can't be looked up: for them, the answers that
//! systemd-resolved gives to the programs of this host are observed. What is known lies in the
//! state directory, too, and is known from the first moment of the next start.
//!
//! All of that runs on a thread of its own, beside the pipeline, which hears of each change and is
//! never waited for. Its errors only ever leave addresses protected: `docs/names.md`.

mod answer;
#[cfg(any(test, feature = "fuzzing"))]
mod fuzz;
mod known;
mod lookup;
mod resolved;
mod seen;
mod store;
mod worker;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::thread;

use tokio::sync::watch;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use fuzz::fuzz;
pub use known::{GRACE, LONGEST, LONGEST_GRACE, SHORTEST};
pub use resolved::MONITOR;
pub use seen::MAX_SEEN;
pub use store::{FILE_NAME, StoreError, read};

use crate::policy::{HostName, Learned};
use worker::Worker;

/// Where the host's resolver has its things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    /// resolv.conf(5).
    pub resolv_conf: PathBuf,
    /// hosts(5).
    pub hosts: PathBuf,
    /// The socket of systemd-resolved's monitor.
    pub monitor: PathBuf,
    /// At which port name servers are asked.
    pub port: u16,
}

impl Default for Sources {
    fn default() -> Self {
        Self {
            resolv_conf: "/etc/resolv.conf".into(),
            hosts: "/etc/hosts".into(),
            monitor: MONITOR.into(),
            port: 53,
        }
    }
}

/// All that is known now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// The addresses to protect.
    pub learned: Learned,
    /// What people should know: names without an address, lookups that fail, answers that are
    /// refused, wildcards that catch nothing.
    pub problems: Vec<String>,
}

/// The running stage; it ends when this goes.
#[derive(Debug)]
pub struct Hosts {
    names: watch::Sender<BTreeSet<HostName>>,
}

impl Hosts {
    /// Looks after these names from now on, and forgets all others.
    pub fn look_after(&self, names: BTreeSet<HostName>) {
        self.names.send_if_modified(|now| {
            let changes = *now != names;
            *now = names;
            changes
        });
    }
}

/// Starts looking after names. `remembered` is what [`read()`] has found in the state directory,
/// where each change is written.
///
/// The receiver always has the latest news, and wakes with each change of them. It is closed if
/// the stage ends, which it does by itself only if the kernel has no descriptor for it.
///
/// # Errors
/// If there is no thread to be had.
pub fn spawn(
    sources: Sources,
    state_dir: PathBuf,
    names: BTreeSet<HostName>,
    remembered: Learned,
) -> io::Result<(Hosts, watch::Receiver<News>)> {
    let (news_in, news) = watch::channel(News::default());
    let (names_in, names) = watch::channel(names);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    thread::Builder::new()
        .name("hosts".to_owned())
        .spawn(move || {
            let worker = Worker::new(sources, state_dir, names, remembered, news_in);
            runtime.block_on(worker.run());
        })?;
    Ok((Hosts { names: names_in }, news))
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
