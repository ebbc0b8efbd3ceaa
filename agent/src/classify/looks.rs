// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Looks at processes, and at each one only as often as it must: a thousand attempts of one
//! process that were reported before it was looked at share what was seen, and however many
//! connections of it wait, they hold it by one descriptor.

use std::collections::HashMap;
use std::sync::Arc;

use stile_common::Attempt;

use super::process::{Gone, Process};
use super::procfs::ProcFs;
use crate::clock::BootTime;
use crate::shared::Shared;
use crate::sys::netns::{NetNs, NetNsError, NetNsId};
use crate::sys::pidfd::{PidFd, PidFdError};

/// Most threads whose facts are kept at once. More of them than this rarely have attempts in
/// the ring at the same time; what is beyond is looked at anew.
const MAX_THREADS: usize = 1024;

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Looks {
    seen: HashMap<Thread, Seen>,
    descriptors: Descriptors,
}

/// A process id and a thread id: the network namespace is the thread's own.
type Thread = (u32, u32);

#[derive(Debug)]
struct Seen {
    /// Before anything of it was read.
    since: BootTime,
    process: Arc<Process>,
}

/// Descriptors that attempts share.
#[derive(Debug, Default)]
pub(super) struct Descriptors {
    processes: Shared<u32, PidFd>,
    namespaces: Shared<NetNsId, NetNs>,
}

impl Looks {
    /// The process of an attempt, as it was seen after the attempt.
    pub(super) fn at(
        &mut self,
        procfs: &ProcFs,
        attempt: &Attempt,
        now: BootTime,
    ) -> Result<Arc<Process>, Gone> {
        let thread = (attempt.pid, attempt.tid);
        // What was seen before the attempt may be another program's, which has run since.
        if let Some(seen) = self.seen.get(&thread)
            && attempt.boot_ns < seen.since.0
            && seen.process.made(attempt).is_ok()
        {
            return Ok(Arc::clone(&seen.process));
        }
        let process = Arc::new(Process::look(procfs, attempt, &mut self.descriptors)?);
        if self.seen.len() >= MAX_THREADS {
            self.seen.clear();
        }
        let seen = Seen {
            since: now,
            process: Arc::clone(&process),
        };
        self.seen.insert(thread, seen);
        Ok(process)
    }

    /// Forgets everything: there is no earlier attempt any more for which it would do.
    pub(super) fn forget(&mut self) {
        self.seen.clear();
    }
}

impl Descriptors {
    /// Holds the process that has this id now.
    pub(super) fn process(&mut self, pid: u32) -> Result<Arc<PidFd>, PidFdError> {
        // As long as it is alive, nobody else gets its id.
        if let Some(held) = self.processes.get(&pid).filter(|held| held.is_alive()) {
            return Ok(held);
        }
        Ok(self.processes.insert(pid, PidFd::open(pid)?))
    }

    /// The network namespace of a thread.
    pub(super) fn netns(
        &mut self,
        procfs: &ProcFs,
        pid: u32,
        tid: u32,
    ) -> Result<Arc<NetNs>, NetNsError> {
        let netns = procfs.netns(pid, tid)?;
        let known = self.namespaces.get(&netns.id());
        Ok(known.unwrap_or_else(|| self.namespaces.insert(netns.id(), netns)))
    }
}
