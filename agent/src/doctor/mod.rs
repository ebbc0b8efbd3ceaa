// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the gate needs, what this machine has of it, and what is lost by what it lacks: for
//! `stile doctor`. Nothing is attached, pinned or changed by looking.
//!
//! The daemon asks the vital part of the same questions before it starts
//! ([`crate::kernel::preflight`]); this asks all of them, and as any user.

mod system;

use serde::Serialize;

pub use system::System;

pub use crate::kernel::Feature;
use crate::kernel::{NEEDS, Weight};

/// The remedy where only root may look.
pub(crate) const AS_ROOT: &str = "run `stile doctor` as root";

/// What came of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// The gate stands without it, but something is slower, rougher or not seen.
    Degraded,
    /// The gate can't stand without it.
    Missing,
    /// Not checked; `detail` says why.
    Unknown,
}

/// One question and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was asked for. A stable name.
    pub name: &'static str,
    /// What came of it.
    pub state: State,
    /// What was seen.
    pub detail: String,
    /// What is lost by it; empty if nothing is.
    pub lost: &'static str,
    /// What to do; empty if there is nothing to do.
    pub remedy: &'static str,
}

/// Everything that was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What the kernel calls itself.
    pub kernel: String,
    /// The answers, in the order of the questions.
    pub checks: Vec<Check>,
}

impl Report {
    /// False if the gate can't stand here.
    #[must_use]
    pub fn stands(&self) -> bool {
        self.checks
            .iter()
            .all(|check| check.state != State::Missing)
    }

    /// How many answers are this.
    #[must_use]
    pub fn count(&self, state: State) -> usize {
        self.checks
            .iter()
            .filter(|check| check.state == state)
            .count()
    }
}

/// What a machine says to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is there, or as it should be.
    Has(String),
    /// It isn't.
    Lacks(String),
    /// It can't be told.
    Unseen(String),
    /// Only root may look.
    NeedsRoot,
}

/// A machine that can be asked.
pub trait Machine {
    /// What its kernel calls itself.
    fn kernel(&self) -> String;
    /// Looks for a feature.
    fn look(&self, feature: Feature) -> Found;
}

/// Asks everything.
#[must_use]
pub fn examine(machine: &impl Machine) -> Report {
    let checks = NEEDS.iter().map(|need| {
        let found = machine.look(need.feature);
        let as_root = found == Found::NeedsRoot;
        let (state, detail) = match found {
            Found::Has(detail) => (State::Ok, detail),
            Found::Lacks(detail) if need.weight == Weight::Vital => (State::Missing, detail),
            Found::Lacks(detail) => (State::Degraded, detail),
            Found::Unseen(detail) => (State::Unknown, detail),
            Found::NeedsRoot => (State::Unknown, "not checked: needs root".to_owned()),
        };
        let (lost, remedy) = match state {
            State::Ok => ("", ""),
            State::Unknown if as_root => ("", AS_ROOT),
            State::Unknown => ("", need.remedy),
            State::Degraded | State::Missing => (need.lost, need.remedy),
        };
        Check {
            name: need.name,
            state,
            detail,
            lost,
            remedy,
        }
    });
    Report {
        kernel: machine.kernel(),
        checks: checks.collect(),
    }
}

#[cfg(test)]
mod tests;
