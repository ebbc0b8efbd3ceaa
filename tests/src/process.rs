// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Processes that a test starts.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread::JoinHandle;

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

    /// Starts a command whose output goes where it says.
    #[must_use]
    pub fn new(command: &mut Command) -> Self {
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

    /// Waits for its end, and for its output, which may be more than a pipe holds.
    ///
    /// # Panics
    /// If that takes longer than [`crate::patience`].
    #[track_caller]
    #[must_use]
    pub fn output(mut self) -> Output {
        let child = self.child();
        let stdout = child.stdout.take().map(read);
        let stderr = child.stderr.take().map(read);
        let status = self.wait();
        let all = |reader: Option<JoinHandle<Vec<u8>>>| {
            reader.map_or_else(Vec::new, |reader| reader.join().unwrap())
        };
        Output {
            status,
            stdout: all(stdout),
            stderr: all(stderr),
        }
    }
}

/// Reads a pipe to its end.
fn read(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        bytes
    })
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
