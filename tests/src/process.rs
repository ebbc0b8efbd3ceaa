// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Processes that a test starts.

use std::process::{Child, Command, ExitStatus, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait::until;

/// A process that ends, at the latest, when this is dropped.
#[derive(Debug)]
pub struct Running(Option<Child>);

impl Running {
    /// Starts a command whose output is collected.
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::new(command)
    }

    pub(crate) fn new(command: &mut Command) -> Self {
        let child = command.spawn();
        Self(Some(child.unwrap_or_else(|error| {
            panic!("{}: {error}", command.get_program().display())
        })))
    }

    /// Its pipes are there.
    ///
    /// # Panics
    /// Never, for it is taken only by [`Self::output`], which ends this value.
    pub fn child(&mut self) -> &mut Child {
        self.0.as_mut().unwrap()
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.0.as_ref().unwrap().id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid().try_into().unwrap()), signal).unwrap();
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child().try_wait().unwrap()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If that takes longer than [`crate::patience`].
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        until("a process ends", || self.ended())
    }

    /// Waits for its end, and for its output: not more than a pipe holds.
    ///
    /// # Panics
    /// If that takes longer than [`crate::patience`].
    #[track_caller]
    #[must_use]
    pub fn output(mut self) -> Output {
        self.wait();
        self.0.take().unwrap().wait_with_output().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
