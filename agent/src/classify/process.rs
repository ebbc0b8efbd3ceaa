// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The process behind an attempt, held by its pidfd.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use nix::errno::Errno;
use nix::unistd::{SysconfVar, sysconf};
use serde::{Deserialize, Serialize};
use stile_common::Attempt;

use super::looks::Descriptors;
use super::procfs::{ProcError, ProcFs, Program, Stat};
use super::session::{unit_cgroup, unit_of};
use super::tty::Terminal;
use crate::clock::BootTime;
use crate::ids::Uid;
use crate::sys::netns::NetNs;
use crate::sys::pidfd::{PidFd, PidFdError};

const NANOS: u64 = 1_000_000_000;

/// Facts of a process, all read while it was surely the one that connected.
///
/// It may have called execve(2) since: `program` is what runs now, with the socket in its
/// hands. Text is escaped.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its id, in the daemon's pid namespace.
    pub pid: u32,
    /// Keeps hold of it.
    pub pidfd: Arc<PidFd>,
    /// When it started, in clock ticks since boot; with the pid, its name for ever.
    pub started: u64,
    /// The main thread's name.
    pub comm: String,
    /// What it runs; None where that can't be told.
    pub program: Option<Program>,
    /// Who started it.
    pub parent: Option<Parent>,
    /// Its real uid.
    pub uid: Uid,
    /// Its effective uid.
    pub euid: Uid,
    /// Who logged in, however the uid changed since (audit's loginuid).
    pub loginuid: Option<Uid>,
    /// Audit's number of the login session.
    pub audit_session: Option<u32>,
    /// Its cgroup, from the root of version 2.
    pub cgroup: Option<PathBuf>,
    /// Its systemd unit.
    pub unit: Option<String>,
    /// Its terminal when it connected.
    pub terminal: Option<Terminal>,
    /// Whether it has a controlling terminal, of whatever kind and wherever.
    pub has_terminal: bool,
    /// The network namespace of the thread that connected.
    pub netns: Option<Arc<NetNs>>,
}

/// A process's name for ever: its id alone is another one's some day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProcessId {
    pid: u32,
    started: u64,
}

/// The parent of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// Its id.
    pub pid: u32,
    /// What it runs.
    pub program: Option<Program>,
    /// Its main thread's name, escaped.
    pub comm: String,
}

/// Why nothing is known of a process but what the kernel reported. It widens nothing: rules
/// that ask about the process don't match.
#[derive(Debug, thiserror::Error)]
pub enum Gone {
    /// It has exited.
    #[error("process {0} has exited")]
    Exited(u32),
    /// Its id is another one's now.
    #[error("process {0} has exited, and its id belongs to another one")]
    Reused(u32),
    /// It runs as somebody else now.
    #[error("process {pid} connected as uid {then} and is uid {now} now")]
    OtherUser {
        /// Its id.
        pid: u32,
        /// The uid at the attempt.
        then: Uid,
        /// The uid that was read.
        now: Uid,
    },
    /// No pidfd.
    #[error(transparent)]
    PidFd(PidFdError),
    /// It can't be read.
    #[error(transparent)]
    Unreadable(ProcError),
}

impl Gone {
    /// True if it isn't the process that is gone, but descriptors or memory of the daemon: what
    /// it doesn't see then may be what would have counted.
    #[must_use]
    pub fn is_own_fault(&self) -> bool {
        let source = match self {
            Self::PidFd(PidFdError::Open { source, .. }) => source,
            Self::Unreadable(error) => &error.source,
            Self::PidFd(PidFdError::Gone(_))
            | Self::Exited(_)
            | Self::Reused(_)
            | Self::OtherUser { .. } => return false,
        };
        let errno = source.raw_os_error().map(Errno::from_raw);
        matches!(errno, Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM))
    }
}

impl Process {
    /// Looks at the process that made an attempt.
    pub(super) fn look(
        procfs: &ProcFs,
        attempt: &Attempt,
        descriptors: &mut Descriptors,
    ) -> Result<Self, Gone> {
        let pid = attempt.pid;
        let pidfd = descriptors.process(pid).map_err(|error| match error {
            PidFdError::Gone(pid) => Gone::Exited(pid),
            error => Gone::PidFd(error),
        })?;
        let read = Self::read(procfs, (pid, attempt.tid), pidfd, descriptors);
        let process = read.map_err(Gone::Unreadable)?;
        // Alive now means alive all the time since the pidfd was opened: what was read in
        // between was this process's. Started before the attempt means it is the one.
        if !process.pidfd.is_alive() {
            return Err(Gone::Exited(pid));
        }
        process.made(attempt)?;
        Ok(process)
    }

    /// Looks at the process that has this id now, as one that holds a socket.
    ///
    /// # Errors
    /// If it can't be looked at, or has ended.
    pub fn holding(procfs: &ProcFs, pid: u32) -> Result<Self, Gone> {
        let mut descriptors = Descriptors::default();
        let pidfd = descriptors.process(pid).map_err(|error| match error {
            PidFdError::Gone(pid) => Gone::Exited(pid),
            error => Gone::PidFd(error),
        })?;
        let read = Self::read(procfs, (pid, pid), pidfd, &mut descriptors);
        let process = read.map_err(Gone::Unreadable)?;
        if process.pidfd.is_alive() {
            Ok(process)
        } else {
            Err(Gone::Exited(pid))
        }
    }

    /// Looks again at a process.
    ///
    /// # Errors
    /// If it can't be looked at, or has ended.
    pub fn again(procfs: &ProcFs, id: ProcessId) -> Result<Self, Gone> {
        let process = Self::holding(procfs, id.pid)?;
        if process.id() == id {
            Ok(process)
        } else {
            Err(Gone::Reused(id.pid))
        }
    }

    /// Checks that it is the process of this attempt, if it was alive after the attempt.
    pub(super) fn made(&self, attempt: &Attempt) -> Result<(), Gone> {
        let pid = attempt.pid;
        if start_time(self.started) > BootTime(attempt.boot_ns) {
            return Err(Gone::Reused(pid));
        }
        let then = Uid(attempt.uid);
        if self.uid != then {
            let now = self.uid;
            return Err(Gone::OtherUser { pid, then, now });
        }
        Ok(())
    }

    fn read(
        procfs: &ProcFs,
        (pid, tid): (u32, u32),
        pidfd: Arc<PidFd>,
        descriptors: &mut Descriptors,
    ) -> Result<Self, ProcError> {
        let stat = procfs.stat(pid)?;
        let uids = procfs.uids(pid)?;
        let cgroup = procfs.cgroup(pid).ok();
        Ok(Self {
            pid,
            pidfd,
            program: procfs.program(pid),
            parent: read_parent(procfs, pid, &stat),
            uid: uids.real,
            euid: uids.effective,
            loginuid: procfs.audit_number(pid, "loginuid").map(Uid),
            audit_session: procfs.audit_number(pid, "sessionid"),
            unit: cgroup.as_deref().and_then(unit_of),
            cgroup,
            terminal: procfs.terminal_of(pid),
            has_terminal: stat.has_terminal,
            netns: descriptors.netns(procfs, pid, tid).ok(),
            started: stat.started,
            comm: stat.comm,
        })
    }

    /// Its name for ever.
    #[must_use]
    pub fn id(&self) -> ProcessId {
        let (pid, started) = (self.pid, self.started);
        ProcessId { pid, started }
    }

    /// The cgroup of its unit: up to and with the innermost service or scope.
    #[must_use]
    pub fn unit_cgroup(&self) -> Option<PathBuf> {
        self.cgroup.as_deref().and_then(unit_cgroup)
    }

    /// Its terminal now; None also if it has exited.
    #[must_use]
    pub fn terminal_now(&self, procfs: &ProcFs) -> Option<Terminal> {
        let terminal = procfs.terminal_of(self.pid);
        terminal.filter(|_| self.pidfd.is_alive())
    }

    /// What runs, for people: the program's path, or the thread's name where there is none.
    #[must_use]
    pub fn shown(&self) -> String {
        match &self.program {
            Some(program) if program.exe_deleted => format!("{} (deleted)", program.shown()),
            Some(program) => program.shown(),
            None => format!("[{}]", self.comm),
        }
    }

    /// Where it came from, for people: `bash on pts/3`.
    #[must_use]
    pub fn origin(&self) -> String {
        let parent = match &self.parent {
            Some(parent) => parent.name(),
            None => "an unknown program".to_owned(),
        };
        match self.terminal {
            Some(terminal) => format!("{parent} on {}", terminal.tty),
            None => parent,
        }
    }
}

impl Parent {
    /// The file name of what it runs, or its thread's name.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.program {
            Some(program) => program.name(),
            None => format!("[{}]", self.comm),
        }
    }
}

/// The parent, if it can be told for sure: one that started no later than its child, and that
/// was still its parent after it was read.
fn read_parent(procfs: &ProcFs, child: u32, stat: &Stat) -> Option<Parent> {
    let pid = stat.parent;
    if pid == 0 {
        return None;
    }
    let parent = procfs.stat(pid).ok()?;
    let program = procfs.program(pid);
    let still = procfs.stat(child).ok()?.parent == pid;
    (still && parent.started <= stat.started).then_some(Parent {
        pid,
        program,
        comm: parent.comm,
    })
}

/// The start of a process, rounded down to a clock tick. A process whose id was reused
/// within the tick of the attempt would pass; 32,768 others would have to start in between.
fn start_time(ticks: u64) -> BootTime {
    static TICKS_PER_SECOND: LazyLock<u64> = LazyLock::new(|| {
        let ticks = sysconf(SysconfVar::CLK_TCK).ok().flatten();
        // USER_HZ is 100 on every architecture that Rust's std knows (proc_pid_stat(5)).
        ticks
            .and_then(|ticks| u64::try_from(ticks).ok())
            .unwrap_or(100)
            .max(1)
    });
    let nanos = u128::from(ticks) * u128::from(NANOS) / u128::from(*TICKS_PER_SECOND);
    BootTime(u64::try_from(nanos).unwrap_or(u64::MAX))
}
