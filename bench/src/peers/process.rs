// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A peer's process.

use std::fs::File;
use std::io::{Read, Seek};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long one may take until it serves, or until it has ended.
const PATIENCE: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(5);

/// A process that ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: File,
    stop: Signal,
}

impl Process {
    /// Starts it, and waits until `serves`.
    ///
    /// # Errors
    /// If it ends before, or takes too long; with what it wrote.
    pub(crate) fn start(command: &mut Command, serves: impl FnMut() -> bool) -> Result<Self> {
        Self::stopped_by(Signal::SIGKILL, command, serves)
    }

    /// One that is stopped by this signal, because it would leave something if it were killed.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub(crate) fn stopped_by(
        stop: Signal,
        command: &mut Command,
        mut serves: impl FnMut() -> bool,
    ) -> Result<Self> {
        let log = tempfile::tempfile().context("no file for what a peer writes")?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log.try_clone()?)
            .spawn()
            .with_context(|| command.get_program().display().to_string())?;
        let mut process = Self { child, log, stop };
        let deadline = Instant::now() + PATIENCE;
        while !serves() {
            if let Some(status) = process.child.try_wait()? {
                bail!("it ended with {status}: {}", process.written());
            }
            if Instant::now() > deadline {
                let patience = PATIENCE.as_secs();
                bail!("it doesn't serve after {patience} s: {}", process.written());
            }
            std::thread::sleep(STEP);
        }
        Ok(process)
    }

    /// What it wrote so far.
    pub(crate) fn written(&mut self) -> String {
        let mut bytes = Vec::new();
        // It says why something else failed: nothing is better than another error.
        let _ = self.log.rewind();
        let _ = self.log.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }

    /// Stops it with its signal, and kills it if it doesn't end.
    fn stop(&mut self) -> Option<ExitStatus> {
        if self.stop != Signal::SIGKILL
            && let Ok(pid) = self.child.id().try_into()
        {
            let _ = kill(Pid::from_raw(pid), self.stop);
            let deadline = Instant::now() + PATIENCE;
            while Instant::now() < deadline {
                if let Ok(Some(status)) = self.child.try_wait() {
                    return Some(status);
                }
                std::thread::sleep(STEP);
            }
        }
        let _ = self.child.kill();
        self.child.wait().ok()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn one_that_ends_at_once_says_why() {
        let started = Process::start(&mut shell("echo no configuration; exit 4"), || false);
        let error = started.unwrap_err().to_string();
        assert!(error.ends_with("no configuration"), "{error}");
    }

    #[test]
    fn its_end_comes_with_its_owner() {
        let process = Process::start(&mut shell("exec sleep 1000"), || true).unwrap();
        let pid = Pid::from_raw(process.child.id().try_into().unwrap());
        drop(process);
        assert_eq!(kill(pid, None), Err(nix::errno::Errno::ESRCH));
    }

    #[test]
    fn one_with_something_to_clean_up_gets_its_signal() {
        let folder = tempfile::tempdir().unwrap();
        let [ready, clean] = ["ready", "clean"].map(|name| folder.path().join(name));
        let script = format!(
            "trap 'touch {}; exit' TERM; touch {}; while :; do sleep 0.01; done",
            clean.display(),
            ready.display()
        );
        let process = Process::stopped_by(Signal::SIGTERM, &mut shell(&script), || ready.exists());
        drop(process.unwrap());
        assert!(clean.exists());
    }
}
