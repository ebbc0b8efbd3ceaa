// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From the kernel's record of an attempt to who connects, from what, and where to.
//!
//! The record is trusted; /proc is asked for the rest and checked, as the process may be gone
//! and its id another's. What can't be told for sure is left out, and what is left out
//! widens nothing (promise S4): a rule that asks for it doesn't match.

pub mod escape;
#[cfg(any(test, feature = "fuzzing"))]
mod fuzz;
mod login;
mod looks;
mod process;
mod procfs;
mod programs;
mod session;
#[cfg(test)]
mod tests;
mod tty;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use stile_common::{Attempt, disposition, protocol};

pub(crate) use self::escape::is_hidden;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use self::fuzz::{fuzz, fuzz_attempt, fuzz_login};
pub use self::login::{Logins, NoLogin};
use self::looks::Looks;
pub use self::process::{Gone, Parent, Process, ProcessId};
pub use self::procfs::{ProcError, ProcFs, Program};
pub use self::programs::{
    Doubt, Examined, MAX_HASHED, NoDigest, NoProgram, Programs, doubt_of_program_at,
};
pub use self::session::Subject;
pub(crate) use self::session::{unit_cgroup, unit_named_by_root};
pub use self::tty::{Terminal, TtyName};
use crate::clock::BootTime;
use crate::ids::{EndpointId, GrantId, SocketCookie, Uid};

/// What the gate did with an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Passed under this grant.
    Granted(GrantId),
    /// The socket is parked.
    Held,
    /// Refused; a challenge may let a later attempt through.
    Rejected,
    /// Let through whatever the policy says: it only observes.
    Observed,
    /// Refused for good. Also anything that this daemon doesn't know.
    Denied,
}

/// The transport of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// TCP, and MPTCP.
    Tcp,
    /// UDP, and UDP-Lite.
    Udp,
    /// Another one, by its IANA number.
    Other(u8),
}

/// The process of an attempt.
#[derive(Debug)]
pub enum ProcessState {
    /// It is there.
    Seen(Arc<Process>),
    /// Nothing is known of it for sure; see [`Classified::attempt`] for what the kernel said.
    Gone(Gone),
}

/// An attempt, understood.
#[derive(Debug)]
pub struct Classified {
    /// The kernel's record.
    pub attempt: Attempt,
    /// When.
    pub at: BootTime,
    /// The socket.
    pub cookie: SocketCookie,
    /// The endpoint that it reaches for.
    pub endpoint: EndpointId,
    /// Where to; IPv4 is IPv4.
    pub destination: SocketAddr,
    /// How.
    pub protocol: Protocol,
    /// What the gate did with it.
    pub disposition: Disposition,
    /// Who is asked.
    pub subject: Subject,
    /// What connects.
    pub process: ProcessState,
}

impl Classified {
    /// The process, if it is there.
    #[must_use]
    pub fn process(&self) -> Option<&Process> {
        match &self.process {
            ProcessState::Seen(process) => Some(process),
            ProcessState::Gone(_) => None,
        }
    }

    /// The uid that connected, as the kernel saw it; not always who is asked.
    #[must_use]
    pub fn uid(&self) -> Uid {
        Uid(self.attempt.uid)
    }

    /// The name of the thread that connected, as the kernel saw it, escaped.
    #[must_use]
    pub fn comm(&self) -> String {
        let comm = &self.attempt.comm;
        let end = comm.iter().position(|byte| *byte == 0);
        // Each byte may need four characters.
        escape::printable(&comm[..end.unwrap_or(comm.len())], 4 * comm.len())
    }

    /// What connects, for people: the path of the program, or the thread's name in brackets.
    #[must_use]
    pub fn program_shown(&self) -> String {
        match self.process() {
            Some(process) => process.shown(),
            None => format!("[{}]", self.comm()),
        }
    }
}

/// Reads what it takes to understand attempts.
#[derive(Debug)]
pub struct Classifier {
    procfs: ProcFs,
    user_slice: PathBuf,
    looks: Looks,
}

impl Classifier {
    /// `user_slice` is the cgroup below which sessions are, as /proc/PID/cgroup would write
    /// it: usually `/user.slice`.
    #[must_use]
    pub fn new(procfs: ProcFs, user_slice: impl Into<PathBuf>) -> Self {
        let user_slice = user_slice.into();
        let looks = Looks::default();
        Self {
            procfs,
            user_slice,
            looks,
        }
    }

    /// Finds out who and what made an attempt. Never fails: what can't be found out is said
    /// to be unknown. Attempts of one process that were made before `now` share one look.
    #[must_use]
    pub fn classify(&mut self, attempt: &Attempt, now: BootTime) -> Classified {
        let process = match self.looks.at(&self.procfs, attempt, now) {
            Ok(process) => ProcessState::Seen(process),
            Err(gone) => ProcessState::Gone(gone),
        };
        let cgroup = match &process {
            ProcessState::Seen(process) => process.cgroup.as_deref(),
            ProcessState::Gone(_) => None,
        };
        Classified {
            attempt: *attempt,
            at: BootTime(attempt.boot_ns),
            cookie: SocketCookie(attempt.cookie),
            endpoint: EndpointId(attempt.endpoint),
            destination: destination(attempt),
            protocol: Protocol::new(attempt.protocol),
            disposition: Disposition::new(attempt),
            subject: Subject::new(attempt.subject, cgroup, &self.user_slice),
            process,
        }
    }

    /// Forgets processes that were looked at. To be called when everything that was reported
    /// is classified: they would only take descriptors.
    pub fn forget(&mut self) {
        self.looks.forget();
    }
}

impl Disposition {
    fn new(attempt: &Attempt) -> Self {
        match attempt.disposition {
            disposition::GRANTED => Self::Granted(GrantId(attempt.grant)),
            disposition::HELD => Self::Held,
            disposition::REJECTED => Self::Rejected,
            disposition::OBSERVED => Self::Observed,
            _ => Self::Denied,
        }
    }
}

impl Protocol {
    fn new(number: u8) -> Self {
        match number {
            protocol::TCP => Self::Tcp,
            protocol::UDP | protocol::UDP_LITE => Self::Udp,
            other => Self::Other(other),
        }
    }
}

fn destination(attempt: &Attempt) -> SocketAddr {
    let address = IpAddr::V6(Ipv6Addr::from(attempt.address)).to_canonical();
    SocketAddr::new(address, attempt.port)
}
