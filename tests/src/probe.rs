// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A user's program that looks for a way around the gate.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};

use nix::errno::Errno;

use crate::host::Host;
use crate::process::Running;
use crate::sandbox::{self, User};
use crate::wait::patience;

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The kernel took the data.
    Sent,
    /// The kernel refused.
    Error(Errno),
}

/// One attempt to get data through (`tests/src/bin/stile-test-probe/main.rs`). Its sockets are open
/// until it is dropped.
#[derive(Debug)]
pub struct Probe {
    process: Running,
    lines: Receiver<String>,
}

impl Probe {
    /// Starts a command that runs the probe; see [`Host::probe`].
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        let mut process = Running::new(command.stdout(Stdio::piped()));
        let output = BufReader::new(process.child().stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let mut written = output.lines().map_while(Result::ok);
            written.try_for_each(|line| sender.send(line))
        });
        Self { process, lines }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Waits until the kernel has said yes or no.
    #[track_caller]
    pub fn fate(&self) -> Fate {
        let line = match self.lines.recv_timeout(patience()) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => {
                panic!("the probe said nothing for {} s", patience().as_secs())
            }
            Err(RecvTimeoutError::Disconnected) => panic!("the probe has ended"),
        };
        match line.split_once(' ') {
            None if line == "sent" => Fate::Sent,
            Some(("error", number)) => Fate::Error(Errno::from_raw(number.parse().unwrap())),
            _ => panic!("the probe said {line:?}"),
        }
    }

    /// Ends a loop of connects: how many came through, and how many didn't.
    #[track_caller]
    pub fn end_loop(mut self) -> (u64, u64) {
        drop(self.process.child().stdin.take());
        let line = self.lines.recv_timeout(patience()).unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["connected", connected, "failed", failed] => {
                (connected.parse().unwrap(), failed.parse().unwrap())
            }
            _ => panic!("the probe said {line:?}"),
        }
    }

    /// Tells a way of two steps to take the second one, which has a fate of its own.
    pub fn go_on(&mut self) {
        let input = self.process.child().stdin.as_mut().unwrap();
        writeln!(input).unwrap();
    }

    /// Waits until its process has ended.
    #[track_caller]
    pub fn wait(&mut self) {
        self.process.wait();
    }

    /// Panics if the kernel has said yes or no.
    #[track_caller]
    pub fn still_waits(&self) {
        match self.lines.try_recv() {
            Err(TryRecvError::Empty) => {}
            other => panic!("its attempt is over: {other:?}"),
        }
    }
}

/// Where the sandbox's users find the probe.
#[must_use]
pub fn probe_program() -> std::path::PathBuf {
    sandbox::bin("stile-test-probe")
}

impl Host {
    /// The probe, about to try this way to these addresses; for [`Probe::start`].
    pub fn probe(&self, user: User, way: &str, addresses: &[SocketAddr]) -> Command {
        let mut command = self.as_user(user, probe_program());
        command
            .arg(way)
            .args(addresses.iter().map(SocketAddr::to_string))
            .stdin(Stdio::piped());
        command
    }
}
