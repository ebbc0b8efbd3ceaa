// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The process in which modules run, and the group of all that they start.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::failure::PamFailure;
use super::service::PamService;
use crate::sys::child::isolate;
use crate::sys::pidfd::PidFd;

/// Most descendants that are ended one by one.
const MAX_DESCENDANTS: usize = 1000;
/// Where modules that start programs look for them.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// A `stile-pam` that runs.
#[derive(Debug)]
pub(super) struct Helper {
    child: Child,
    process: PidFd,
    leash: Leash,
}

impl Helper {
    /// Starts one. It leads a session of its own, has a clean environment and two pipes, and
    /// ends with the thread that calls this.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn start(
        program: &Path,
        service: &PamService,
        user: &str,
    ) -> io::Result<(Self, ChildStdin, ChildStdout)> {
        let mut command = Command::new(program);
        command
            .args([service.name(), user])
            .env_clear()
            .env("PATH", PATH)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // What modules print on their standard error goes where the agent's goes.
            .stderr(Stdio::inherit())
            .kill_on_drop(true);
        isolate(command.as_std_mut());
        let mut child = command.spawn()?;
        let id = child.id().ok_or(io::ErrorKind::NotFound)?;
        // Whatever fails from here on, the leash is dropped with it.
        let leash = Leash::of(id);
        let process = PidFd::open(id).map_err(io::Error::other)?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (input, output) = pipes.ok_or(io::ErrorKind::BrokenPipe)?;
        let helper = Self {
            child,
            process,
            leash,
        };
        Ok((helper, input, output))
    }

    /// What ends it.
    pub(super) fn leash(&self) -> &Leash {
        &self.leash
    }

    /// Waits until it has exited. It isn't reaped by that, so its id stays its own.
    pub(super) async fn exited(&self) -> Result<(), PamFailure> {
        let exited = self.process.exited().await;
        exited.map_err(failed("wait for stile-pam"))
    }

    /// Waits until it has exited, ends what it has left behind, and reaps it.
    pub(super) async fn status(&mut self) -> Result<ExitStatus, PamFailure> {
        self.exited().await?;
        self.leash.kill();
        self.leash.release();
        let status = self.child.wait().await;
        status.map_err(failed("wait for stile-pam"))
    }
}

fn failed(operation: &'static str) -> impl FnOnce(io::Error) -> PamFailure {
    move |error| PamFailure::System {
        operation,
        cause: error.to_string(),
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // Before the child is dropped, which may reap it.
        self.leash.kill();
        self.leash.release();
    }
}

/// Ends a whole process group, for as long as its id can't be another's: until its leader is
/// reaped.
#[derive(Clone, Debug)]
pub(super) struct Leash(Arc<Mutex<Option<Pid>>>);

impl Leash {
    fn of(leader: u32) -> Self {
        let leader = i32::try_from(leader).ok().map(Pid::from_raw);
        Self(Arc::new(Mutex::new(leader)))
    }

    /// Ends the group at once, unless it was reaped.
    pub(super) fn kill(&self) {
        if let Some(leader) = *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            // Found before their parents end; pam_exec gives what it starts a session of its own.
            let others = descendants(leader);
            // Nothing is left of it: that is what is wanted.
            let _ = killpg(leader, Signal::SIGKILL);
            others.iter().for_each(PidFd::kill);
        }
    }

    fn release(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// What a process has started, and what those have, also where they have left its group.
fn descendants(of: Pid) -> Vec<PidFd> {
    let mut found = Vec::new();
    let mut parents: Vec<u32> = of.as_raw().try_into().into_iter().collect();
    while let Some(parent) = parents.pop() {
        for child in children(parent) {
            let Ok(process) = PidFd::open(child) else {
                continue;
            };
            // Between the two looks its number may have become another's; then it is no child.
            if found.len() < MAX_DESCENDANTS && children(parent).contains(&child) {
                found.push(process);
                parents.push(child);
            }
        }
    }
    found
}

/// The children of a process, of all its threads. None where the kernel doesn't tell
/// (`CONFIG_PROC_CHILDREN`).
fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task"));
    let threads = threads.into_iter().flatten().flatten();
    let lists =
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| {
            let numbers = list.split_ascii_whitespace().map(str::parse);
            numbers.filter_map(Result::ok).collect::<Vec<u32>>()
        })
        .collect()
}
