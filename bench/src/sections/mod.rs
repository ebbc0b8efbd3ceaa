// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is measured, one file for each table or two.

mod connect;
mod granted;
mod refused;
mod reply;
mod traffic;

use anyhow::Result;

use crate::lane::STILE;
use crate::report::{Goal, Missing, Row, Table};
use crate::rounds::Measured;

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
        crate::say::note(format!("not measured: {what}: {why}"));
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
pub(crate) const ALL: &[Section] = &[
    connect::SECTION,
    granted::SECTION,
    reply::SECTION,
    refused::SECTION,
    traffic::SECTION,
];

/// What contenders did in turn, as it will stand in a table.
pub(crate) struct Question<'q> {
    /// The table's id.
    pub(crate) table: &'q str,
    /// Unique in the table: `tcp4-hot-1k`.
    pub(crate) id: &'q str,
    /// The same for people.
    pub(crate) what: &'q str,
    /// The unit.
    pub(crate) unit: &'q str,
    /// stile's ratio is steady enough to be held against an earlier run.
    pub(crate) guarded: bool,
    /// What stile should reach.
    pub(crate) goal: Option<Goal>,
}

impl Question<'_> {
    /// The rows, with what each contender took. The first one is the baseline.
    pub(crate) fn rows(&self, measured: &[(&str, Measured)]) -> Vec<Row> {
        let id = |who: &str| format!("{}/{}/{}", self.table, self.id, who.replace(' ', "-"));
        let Some((baseline, first)) = measured.first() else {
            return Vec::new();
        };
        let row = |(who, own): &(&str, Measured)| {
            let mut row = own.row(id(who), self.what, who, self.unit);
            let is_stile = *who == STILE;
            if who != baseline {
                row.ratio = Some(own.against(first, &id(baseline), self.guarded && is_stile));
            }
            row.goal = self.goal.clone().filter(|_| is_stile);
            row
        };
        measured.iter().map(row).collect()
    }
}
