// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The worker's side: it enters its lane, and does one job after the other.

use std::fs::File;
use std::io::{BufRead, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::sched::{CloneFlags, CpuSet, sched_setaffinity, setns};
use nix::unistd::{Gid, Pid, Uid, setgroups, setresgid, setresuid};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with, sockopt};

use super::job::{Answer, Job, List};
use super::{PORT, connect, talk, web};
use crate::stats;

/// Where a worker works.
#[derive(Debug, clap::Args)]
pub(crate) struct Place {
    /// The file of its network namespace.
    #[arg(long)]
    network: PathBuf,
    /// Its cgroup.
    #[arg(long)]
    cgroup: PathBuf,
    /// Who it is.
    #[arg(long)]
    uid: u32,
    /// The only processor that it runs on.
    #[arg(long)]
    cpu: usize,
}

/// Enters the network namespace and stays on the processor, if one is given.
pub(crate) fn enter(network: &Path, cpu: Option<usize>) -> Result<()> {
    let file = File::open(network).with_context(|| format!("{}", network.display()))?;
    setns(&file, CloneFlags::CLONE_NEWNET).context("could not enter the network namespace")?;
    if let Some(cpu) = cpu {
        let mut set = CpuSet::new();
        set.set(cpu)?;
        sched_setaffinity(Pid::from_raw(0), &set).context("could not stay on a processor")?;
    }
    Ok(())
}

/// Does what it is told until its input ends.
pub(crate) fn run(place: &Place) -> Result<()> {
    let mut bench = match Bench::set_up(place) {
        Ok(bench) => bench,
        Err(error) => return say(&failed(&error)),
    };
    say(&Answer::Done)?;
    for line in std::io::stdin().lock().lines() {
        let job = serde_json::from_str(&line?).context("no job")?;
        let answer = bench.work(job);
        say(&answer.unwrap_or_else(|error| failed(&error)))?;
    }
    Ok(())
}

fn failed(error: &anyhow::Error) -> Answer {
    Answer::Failed {
        why: format!("{error:#}"),
    }
}

fn say(answer: &Answer) -> Result<()> {
    let mut output = std::io::stdout().lock();
    serde_json::to_writer(&mut output, answer)?;
    output.write_all(b"\n")?;
    output.flush()?;
    Ok(())
}

/// All that a worker has.
pub(super) struct Bench {
    listeners: Option<[OwnedFd; 2]>,
    lists: Vec<Addresses>,
    kept: Option<OwnedFd>,
    /// What each operation of a block took, in nanoseconds.
    times: Vec<f64>,
    cpu: Meter,
}

/// Addresses in turn.
pub(super) struct Addresses {
    all: Vec<SocketAddr>,
    next: usize,
}

impl Addresses {
    /// The one whose turn it is.
    pub(super) fn turn(&mut self) -> SocketAddr {
        let address = self.all[self.next];
        self.next += 1;
        if self.next == self.all.len() {
            self.next = 0;
        }
        address
    }
}

impl Bench {
    fn set_up(place: &Place) -> Result<Self> {
        let cpu = Meter::open()?;
        enter(&place.network, Some(place.cpu))?;
        // Before the cgroup is joined: a socket belongs to that of its maker, and what comes in
        // is not what is measured.
        let listeners = [
            listen(SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT))),
            listen(SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT))),
        ];
        let listeners = match listeners {
            [Ok(v4), Ok(v6)] => Some([v4, v6]),
            _ => None,
        };
        std::fs::write(place.cgroup.join("cgroup.procs"), "0")
            .with_context(|| format!("could not join {}", place.cgroup.display()))?;
        let (uid, gid) = (Uid::from_raw(place.uid), Gid::from_raw(place.uid));
        setgroups(&[])?;
        setresgid(gid, gid, gid)?;
        setresuid(uid, uid, uid)?;
        Ok(Self {
            listeners,
            lists: Vec::new(),
            kept: None,
            times: Vec::new(),
            cpu,
        })
    }

    fn work(&mut self, job: Job) -> Result<Answer> {
        match job {
            Job::Learn { addresses } => {
                if addresses.is_empty() {
                    bail!("a list without addresses");
                }
                self.lists.push(Addresses {
                    all: addresses,
                    next: 0,
                });
                let list = List(self.lists.len() - 1);
                Ok(Answer::Learned { list })
            }
            Job::Connect {
                protocol,
                to,
                count,
            } => {
                let listeners = self.listeners.as_ref();
                let listeners = listeners.with_context(|| format!("port {PORT} was taken"))?;
                let to = self.lists.get_mut(to.0).context("no such list")?;
                self.times.clear();
                self.times.reserve(count);
                let times = &mut self.times;
                let cpu = self.cpu.during(count, || {
                    connect::connect(protocol, to, listeners, count, times)
                })?;
                Ok(self.took(cpu))
            }
            Job::Refused { to, count, errno } => {
                let to = self.lists.get_mut(to.0).context("no such list")?;
                self.times.clear();
                self.times.reserve(count);
                let times = &mut self.times;
                let cpu = self
                    .cpu
                    .during(count, || connect::refused(to, errno, count, times))?;
                Ok(self.took(cpu))
            }
            Job::Reply { to, count } => {
                let to = self.lists.get_mut(to.0).context("no such list")?;
                self.times.clear();
                self.times.reserve(count);
                let times = &mut self.times;
                let cpu = self
                    .cpu
                    .during(count, || connect::reply(to, count, times))?;
                Ok(self.took(cpu))
            }
            Job::Open { to } => {
                self.kept = None;
                self.kept = Some(talk::open(to)?);
                Ok(Answer::Done)
            }
            Job::PingPong { count } => {
                let kept = self.kept.as_ref().context("no connection is open")?;
                self.times.clear();
                self.times.reserve(count);
                let times = &mut self.times;
                let cpu = self
                    .cpu
                    .during(count, || talk::ping_pong(kept, count, times))?;
                Ok(self.took(cpu))
            }
            Job::Requests { count } => {
                let kept = self.kept.as_ref().context("no connection is open")?;
                self.times.clear();
                self.times.reserve(count);
                let times = &mut self.times;
                let cpu = self
                    .cpu
                    .during(count, || web::requests(kept, count, times))?;
                Ok(self.took(cpu))
            }
            Job::Bulk { mebibytes } => {
                let kept = self.kept.as_ref().context("no connection is open")?;
                let mut each = 0.0;
                let cpu = self.cpu.during(mebibytes, || {
                    each = talk::bulk(kept, mebibytes)?;
                    Ok(())
                })?;
                Ok(Answer::Took {
                    median: each,
                    p99: None,
                    cpu,
                })
            }
        }
    }

    fn took(&self, cpu: Option<f64>) -> Answer {
        Answer::Took {
            median: stats::median(&self.times),
            p99: Some(stats::quantile(&self.times, 0.99)),
            cpu,
        }
    }
}

/// A listening socket with as long a queue as the kernel gives.
pub(crate) fn listen(address: SocketAddr) -> Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    rustix::net::bind(&socket, &address)
        .with_context(|| format!("could not listen on {address}"))?;
    rustix::net::listen(&socket, 65535)?;
    Ok(socket)
}

/// Tells the CPU time of everything in the sandbox: the kernel counts it for each cgroup.
struct Meter(File);

impl Meter {
    fn open() -> Result<Self> {
        let cgroup = std::env::var_os("STILE_TEST_CGROUP").context("not in a sandbox")?;
        let path = PathBuf::from(cgroup).join("cpu.stat");
        let file = File::open(&path).with_context(|| format!("{}", path.display()))?;
        Ok(Self(file))
    }

    /// In nanoseconds for each of so many operations.
    fn during(&self, operations: usize, work: impl FnOnce() -> Result<()>) -> Result<Option<f64>> {
        let before = self.nanoseconds();
        work()?;
        let after = self.nanoseconds();
        Ok(before
            .zip(after)
            .map(|(before, after)| (after - before) / operations as f64))
    }

    fn nanoseconds(&self) -> Option<f64> {
        let mut buffer = [0; 1024];
        let length = self.0.read_at(&mut buffer, 0).ok()?;
        let text = std::str::from_utf8(buffer.get(..length)?).ok()?;
        let micros = text
            .lines()
            .find_map(|line| line.strip_prefix("usage_usec "))?;
        micros.parse::<f64>().ok().map(|micros| micros * 1000.0)
    }
}
