// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One life of the program that uses up steps, from its start to the kill.

use std::collections::{BTreeMap, HashSet};
use std::fmt::{self, Write};
use std::hash::{BuildHasher, RandomState};
use std::process::Child;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::said::{Said, Step, Wrong, parse};
use crate::kernels::lines_of;

/// A machine or a process that says nothing for longer hangs. A boot takes seconds.
const PATIENCE: Duration = Duration::from_secs(180);
/// More steps than a life takes.
const STEPS: u64 = 1_000_000;

/// When a life ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    /// While the store is made or opened.
    Opening,
    /// After so many acknowledgements.
    After(usize),
}

/// What was seen of a life.
#[derive(Debug, Default)]
pub(super) struct Life {
    /// The seconds since 1970 that its clock showed.
    pub(super) clock: u64,
    /// How many acknowledged steps were tried again.
    pub(super) checked: Option<usize>,
    /// Those that were accepted.
    pub(super) again: Vec<Step>,
    /// Wrong answers that were forgotten.
    pub(super) lost: Vec<Wrong>,
    /// How many fresh ones were acknowledged.
    pub(super) fresh: usize,
    /// How long after the last one that was waited for the kill came.
    pub(super) kill: Duration,
}

/// All that was acknowledged.
#[derive(Debug, Default)]
pub(super) struct History {
    steps: Vec<Step>,
    /// How many wrong answers of each user.
    wrong: BTreeMap<u32, u64>,
    known: HashSet<Step>,
    lives: u64,
}

impl History {
    /// The list that the program reads.
    pub(super) fn list(&self) -> String {
        let mut list = String::new();
        for Step { user, step } in &self.steps {
            // Writing to a string doesn't fail.
            let _ = writeln!(list, "{user} {step}");
        }
        for (user, count) in &self.wrong {
            let _ = writeln!(list, "{user} x {count}");
        }
        list
    }

    /// The first step of the next life. It is fresh whatever the earlier ones did: some may have
    /// used steps up of which nobody has heard.
    pub(super) fn from(&self) -> u64 {
        self.lives * STEPS + 1
    }

    /// How many steps, and how many wrong answers.
    pub(super) fn counts(&self) -> (usize, u64) {
        (self.steps.len(), self.wrong.values().sum())
    }

    /// How many lines the list has.
    fn len(&self) -> usize {
        self.steps.len() + self.wrong.len()
    }

    /// Listens to a life, ends it `kill` after `end`, and notes down what it acknowledged.
    ///
    /// # Errors
    /// If it ends by itself or hangs, refuses a fresh step, or acknowledges one twice.
    pub(super) fn live(&mut self, mut child: Child, end: End, kill: Duration) -> Result<Life> {
        self.lives += 1;
        let output = child.stdout.take().context("a program without output")?;
        let lines = lines_of(output);
        let mut life = Life {
            kill,
            ..Life::default()
        };
        let waited = self.wait_for(end, &lines, &mut life);
        if waited.is_ok() {
            spin(kill);
        }
        // What fails here has ended already.
        let _ = child.kill();
        child.wait().context("could not wait for the program")?;
        waited?;
        // What was told before the kill and not read yet.
        for line in lines {
            self.note(&line, &mut life)?;
        }
        Ok(life)
    }

    fn wait_for(&mut self, end: End, lines: &Receiver<String>, life: &mut Life) -> Result<()> {
        loop {
            let over = match end {
                End::Opening => life.clock != 0,
                End::After(count) => life.checked.is_some() && life.fresh >= count,
            };
            if over {
                return Ok(());
            }
            match lines.recv_timeout(PATIENCE) {
                Ok(line) => self.note(&line, life)?,
                Err(RecvTimeoutError::Disconnected) => bail!("it ended before it was killed"),
                Err(RecvTimeoutError::Timeout) => {
                    bail!("it said nothing for {} s", PATIENCE.as_secs());
                }
            }
        }
    }

    fn note(&mut self, line: &str, life: &mut Life) -> Result<()> {
        match parse(line) {
            Some(Said::Clock(seconds)) => life.clock = seconds,
            Some(Said::Again(step)) => life.again.push(step),
            Some(Said::Lost(wrong)) => life.lost.push(wrong),
            Some(Said::Counted(Wrong { user, count })) => {
                // A store that has forgotten some counts from fewer on.
                let most = self.wrong.entry(user).or_default();
                *most = count.max(*most);
            }
            Some(Said::Checked(count)) if count == self.len() => life.checked = Some(count),
            Some(Said::Checked(count)) => {
                bail!("it looked at {count} lines again, of {}", self.len());
            }
            Some(Said::Acknowledged(step)) => {
                if !self.known.insert(step) {
                    bail!("{step} was acknowledged twice");
                }
                self.steps.push(step);
                life.fresh += 1;
            }
            Some(Said::Failed(why)) => bail!("it failed: {why}"),
            None => {}
        }
        Ok(())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the step {} of {}", self.step, self.user)
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} wrong answers of {}", self.count, self.user)
    }
}

/// A number that is drawn anew each time.
pub(super) fn random(below: u64) -> u64 {
    RandomState::new().hash_one(0) % below
}

/// Passes a time that may be too short to sleep: the kill shall hit any phase of a commit.
fn spin(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}
