// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Numbers that become rows without a round of contenders, and what they are taken from.

use std::time::Duration;

use anyhow::{Context, Result};
use nix::time::{ClockId, clock_gettime};

use crate::report::{Bound, Goal, Of, Row};
use crate::stats;

/// Who the daemon is in the tables.
pub(crate) const DAEMON: &str = "stiled";

/// A row of single measurements: their median, and the 99th of a hundred.
pub(crate) fn row(id: &str, what: &str, who: &str, unit: &str, numbers: &[f64]) -> Row {
    Row {
        id: id.to_owned(),
        what: what.to_owned(),
        who: who.to_owned(),
        unit: unit.to_owned(),
        median: stats::median(numbers),
        p99: (numbers.len() > 1).then(|| stats::quantile(numbers, 0.99)),
        cpu: None,
        ratio: None,
        rounds: numbers.len(),
        goal: None,
    }
}

/// A number that should not be above this one.
pub(crate) fn at_most(of: Of, value: f64) -> Option<Goal> {
    let bound = Bound::AtMost;
    Some(Goal { of, bound, value })
}

/// Nanoseconds since boot: the clock of the daemon and of the crowds.
///
/// # Errors
/// If it can't be read.
pub(crate) fn boot_nanos() -> Result<u64> {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME)?;
    Ok(u64::try_from(Duration::from(now).as_nanos())?)
}

/// Nanoseconds as milliseconds.
pub(crate) fn millis(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}

/// What a process has used of the processors since it began, in seconds (proc_pid_stat(5)).
///
/// # Errors
/// If it is gone.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64> {
    /// `USER_HZ`, 100 on every architecture that Rust's std knows.
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields = stat.rsplit_once(')').context("a stat without a name")?.1;
    let times = fields.split_ascii_whitespace().skip(11).take(2);
    let ticks: Result<Vec<f64>, _> = times.map(str::parse).collect();
    Ok(ticks?.iter().sum::<f64>() / TICKS)
}

/// Resident memory of a process in MiB.
pub(crate) fn resident(pid: u32) -> f64 {
    stile_tests::Footprint::of(pid).resident as f64 / 1024.0
}
