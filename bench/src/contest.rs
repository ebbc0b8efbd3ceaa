// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Lanes whose workers do the same thing in turn.

use std::fs;

use anyhow::{Context, Result, ensure};
use stile_tests::{Host, ROOT, User};

use crate::lane::Lane;
use crate::machine::quiet_cpu;
use crate::rounds::{Contender, Measured, Sample, take_turns};
use crate::worker::Worker;

/// Lanes with a worker in each, kept on one processor. The workers end before their lanes.
pub(crate) struct Contest {
    workers: Vec<Worker>,
    lanes: Vec<Lane>,
}

impl Contest {
    /// Starts the workers. The first lane is the baseline.
    ///
    /// # Errors
    /// If one can't enter its lane.
    pub(crate) fn new(lanes: Vec<Lane>) -> Result<Self> {
        let cpu = quiet_cpu();
        let workers = lanes.iter().map(|lane| Worker::pinned(lane, cpu));
        Ok(Self {
            workers: workers.collect::<Result<_>>()?,
            lanes,
        })
    }

    /// Does something with each worker, which may take what it finds to the block.
    ///
    /// # Errors
    /// If it fails for one.
    pub(crate) fn each<T>(
        &mut self,
        mut prepare: impl FnMut(&Lane, &mut Worker) -> Result<T>,
    ) -> Result<Vec<T>> {
        let pairs = self.lanes.iter().zip(&mut self.workers);
        pairs
            .map(|(lane, worker)| prepare(lane, worker).with_context(|| lane.who.to_owned()))
            .collect()
    }

    /// Lets each do this block when it is its turn, with what was prepared for it.
    ///
    /// # Errors
    /// If a block fails.
    pub(crate) fn measure<T>(
        &mut self,
        rounds: usize,
        prepared: &[T],
        block: impl Fn(&mut Worker, &T) -> Result<Sample>,
    ) -> Result<Vec<(&'static str, Measured)>> {
        let block = &block;
        let pairs = self.workers.iter_mut().zip(prepared);
        let mut blocks: Vec<_> = pairs
            .zip(&self.lanes)
            .map(|((worker, prepared), lane)| {
                move || block(worker, prepared).with_context(|| lane.who.to_owned())
            })
            .collect();
        let mut contenders: Vec<&mut dyn Contender> = blocks
            .iter_mut()
            .map(|block| block as &mut dyn Contender)
            .collect();
        let measured = take_turns(rounds, &mut contenders)?;
        let names = self.lanes.iter().map(|lane| lane.who);
        Ok(names.zip(measured).collect())
    }
}

/// A peer's lane in which this has worked once: what fails must not be found out in a contest.
///
/// # Errors
/// If the lane isn't there, or if it fails.
pub(crate) fn tried<T>(
    lane: Result<Lane>,
    trial: impl FnOnce(&Lane, &mut Worker) -> Result<T>,
) -> Result<Lane> {
    let lane = lane?;
    let mut worker = Worker::pinned(&lane, quiet_cpu())?;
    trial(&lane, &mut worker)?;
    drop(worker);
    Ok(lane)
}

/// Lets the daemon read what passed under its grants, so that the next block finds room for its
/// own reports. Returns the CPU time that this took, in nanoseconds.
///
/// # Errors
/// If the daemon is gone.
pub(crate) fn settle(host: &Host) -> Result<f64> {
    let before = cpu_time(host.pid())?;
    // It reads them before it answers this.
    let _ = host.grants(ROOT);
    Ok(cpu_time(host.pid())? - before)
}

/// Makes sure that what was measured has gone through the gate.
///
/// # Errors
/// If this user has no grant.
pub(crate) fn ensure_granted(host: &Host, user: User) -> Result<()> {
    let grants = host.grants(user);
    ensure!(
        !grants.is_empty(),
        "{} has passed without a grant",
        user.name
    );
    Ok(())
}

/// How long the threads of a process have run, in nanoseconds: the first number of
/// `/proc/PID/schedstat` (Documentation/scheduler/sched-stats.rst).
fn cpu_time(pid: u32) -> Result<f64> {
    let mut sum = 0.0;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).context("the daemon is gone")? {
        // A thread may have ended meanwhile.
        let text = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
        let ran = text.split(' ').next().and_then(|ran| ran.parse().ok());
        sum += ran.unwrap_or(0.0);
    }
    Ok(sum)
}
