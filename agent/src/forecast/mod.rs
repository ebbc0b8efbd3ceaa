// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How often a policy would have asked and refused, had it been in force when an audit log was
//! written: what `stile policy forecast` shows.
//!
//! The log is read once and line by line, however long it is. What is kept are counts by user,
//! endpoint, rule and day, and the proofs that still count.
//!
//! Each prompt is taken for one that was answered at once: the proof then counts in its realm,
//! for as much as its scope says and until its time is over, as it does where a policy only
//! observes. What a log doesn't tell is unknown, so that the stricter outcome counts.

mod attempt;
mod count;
mod facts;
mod read;
mod replay;
#[cfg(test)]
mod tests;

pub use count::{Asking, Forecast, Prompts, Refused};
pub use read::{BadLine, ReadError};

use std::io::BufRead;

use crate::policy::{Names, Policy};

/// Replays an audit log under a policy. Only the last `days` days of the log count, if given;
/// days are those of UTC.
///
/// # Errors
/// If the log can't be read, or at the first line that is no record.
pub fn forecast(
    policy: &Policy,
    names: &dyn Names,
    log: impl BufRead,
    days: Option<u16>,
) -> Result<Forecast, ReadError> {
    let mut replay = replay::Replay::new(policy, names);
    read::each(log, |attempt| replay.take(&attempt))?;
    Ok(replay.finish(days))
}
