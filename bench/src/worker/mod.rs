// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The measuring client: this same program once more, as a user in a lane, which is told over its
//! standard input what to measure. One thread does it all, without allocating while it measures.

mod connect;
mod inside;
mod job;
mod talk;
mod web;

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail};

pub(crate) use self::inside::{Place, enter, listen, run};
use self::job::{Answer, Job};
pub(crate) use self::job::{List, Protocol};
use crate::lane::Lane;
use crate::rounds::Sample;

/// The port of a worker's own listener, at every address of its network. [`Worker::connect`]
/// over TCP goes there.
pub(crate) const PORT: u16 = 7000;

/// How many bytes a ping-pong sends and gets.
pub(crate) const PING: usize = 64;

/// A block that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// A worker in a lane. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Worker {
    process: Child,
    input: ChildStdin,
    lines: Receiver<String>,
}

impl Worker {
    /// Starts one, as the lane's user in its cgroup and its network. It listens there on [`PORT`],
    /// outside of the cgroup; a second one in the same network doesn't, and can't
    /// [`connect`](Self::connect) over TCP. It stays on this processor.
    ///
    /// # Errors
    /// If it could not enter the lane.
    pub(crate) fn pinned(lane: &Lane, cpu: usize) -> Result<Self> {
        let mut command = Command::new("/proc/self/exe");
        command
            .arg("worker")
            .arg("--network")
            .arg(lane.network.path())
            .arg("--cgroup")
            .arg(&lane.cgroup)
            .arg(format!("--uid={}", lane.user.uid))
            .arg(format!("--cpu={cpu}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = command.spawn().context("could not start a worker")?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            bail!("a worker has no pipes");
        };
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let mut written = BufReader::new(output).lines().map_while(Result::ok);
            written.try_for_each(|line| sender.send(line))
        });
        let worker = Self {
            process,
            input,
            lines,
        };
        match worker
            .answer()
            .with_context(|| format!("the worker of {}", lane.who))?
        {
            Answer::Done => Ok(worker),
            other => bail!("the worker of {} began with {other:?}", lane.who),
        }
    }

    /// Gives it addresses to go to, one after the other.
    ///
    /// # Errors
    /// If it is gone.
    pub(crate) fn learn(&mut self, addresses: Vec<SocketAddr>) -> Result<List> {
        match self.ask(&Job::Learn { addresses })? {
            Answer::Learned { list } => Ok(list),
            other => bail!("a worker has learned {other:?}"),
        }
    }

    /// Times so many connect(), in nanoseconds.
    ///
    /// # Errors
    /// If one fails.
    pub(crate) fn connect(&mut self, protocol: Protocol, to: List, count: usize) -> Result<Sample> {
        self.measure(&Job::Connect {
            protocol,
            to,
            count,
        })
    }

    /// Times so many connect() over TCP that fail with this error, in nanoseconds.
    ///
    /// # Errors
    /// If one fails otherwise, or not.
    pub(crate) fn refused(
        &mut self,
        to: List,
        count: usize,
        error: std::io::Error,
    ) -> Result<Sample> {
        let errno = error.raw_os_error().context("an error of the system")?;
        self.measure(&Job::Refused { to, count, errno })
    }

    /// Times so many times connect, send and receive, in nanoseconds, of an echo server.
    ///
    /// # Errors
    /// If one of them fails.
    pub(crate) fn reply(&mut self, to: List, count: usize) -> Result<Sample> {
        self.measure(&Job::Reply { to, count })
    }

    /// Connects to a [`crate::server::Server`] for [`Self::ping_pong`] and [`Self::bulk`]. A
    /// connection that it had is closed.
    ///
    /// # Errors
    /// If it can't.
    pub(crate) fn open(&mut self, to: SocketAddr) -> Result<()> {
        match self.ask(&Job::Open { to })? {
            Answer::Done => Ok(()),
            other => bail!("a worker has connected to {to}: {other:?}"),
        }
    }

    /// Times so many round trips of [`PING`] bytes, in nanoseconds.
    ///
    /// # Errors
    /// If the connection ends.
    pub(crate) fn ping_pong(&mut self, count: usize) -> Result<Sample> {
        self.measure(&Job::PingPong { count })
    }

    /// Times so many requests to a web server, in nanoseconds.
    ///
    /// # Errors
    /// If one isn't answered with 200.
    pub(crate) fn requests(&mut self, count: usize) -> Result<Sample> {
        self.measure(&Job::Requests { count })
    }

    /// Sends so many MiB, and tells the nanoseconds for each, from the first byte to the server's
    /// word that it has the last one.
    ///
    /// # Errors
    /// If the connection ends.
    pub(crate) fn bulk(&mut self, mebibytes: usize) -> Result<Sample> {
        self.measure(&Job::Bulk { mebibytes })
    }

    fn measure(&mut self, job: &Job) -> Result<Sample> {
        match self.ask(job)? {
            Answer::Took { median, p99, cpu } => Ok(Sample { median, p99, cpu }),
            other => bail!("a worker says {other:?} to {job:?}"),
        }
    }

    fn ask(&mut self, job: &Job) -> Result<Answer> {
        let mut line = serde_json::to_string(job)?;
        line.push('\n');
        self.input
            .write_all(line.as_bytes())
            .context("the worker is gone")?;
        self.answer()
    }

    fn answer(&self) -> Result<Answer> {
        let line = match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => {
                bail!("a worker said nothing for {} s", PATIENCE.as_secs())
            }
            Err(RecvTimeoutError::Disconnected) => bail!("a worker has ended"),
        };
        match serde_json::from_str(&line).with_context(|| format!("a worker said {line:?}"))? {
            Answer::Failed { why } => bail!("a worker failed: {why}"),
            other => Ok(other),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
