// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is measured, one file for each table or two.

use anyhow::Result;

use crate::report::{Missing, Table};

/// How much to do, and what came of it.
pub(crate) struct Run {
    /// Fewer rounds and smaller sets.
    pub(crate) quick: bool,
    /// What was found so far.
    pub(crate) tables: Vec<Table>,
    /// What could not be measured.
    pub(crate) missing: Vec<Missing>,
}

impl Run {
    /// This many rounds in a full run; a third of them in a quick one.
    pub(crate) fn rounds(&self, full: usize) -> usize {
        if self.quick { full.div_ceil(3) } else { full }
    }

    /// Says that something could not be measured.
    pub(crate) fn misses(&mut self, what: &str, why: impl std::fmt::Display) {
        self.missing.push(Missing {
            what: what.to_owned(),
            why: why.to_string(),
        });
    }
}

/// A part of the run.
pub(crate) struct Section {
    /// Its name on the command line.
    pub(crate) name: &'static str,
    /// Measures it.
    pub(crate) run: fn(&mut Run) -> Result<()>,
}

/// All of them, in the order in which they run.
pub(crate) const ALL: &[Section] = &[];
