// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is measured, one file for each table or two.

mod connect;
mod crowd;
mod events;
mod granted;
mod held;
mod http;
mod idle;
mod instructions;
mod memory;
mod nftables;
mod pgbench;
mod programs;
mod records;
mod refused;
mod reload;
mod reply;
mod shown;
mod start;
mod traffic;

use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::{Result, anyhow};

use crate::lane::{Lane, STILE};
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

    /// A contender of a table that can't be there is missing in it, and says why.
    pub(crate) fn invites(&mut self, table: &str, who: &str, lane: Result<Lane>) -> Option<Lane> {
        match lane {
            Ok(lane) => Some(lane),
            Err(error) => {
                self.misses(&format!("{table}: {who}"), format!("{error:#}"));
                None
            }
        }
    }

    /// Says that something could not be measured; once.
    pub(crate) fn misses(&mut self, what: &str, why: impl std::fmt::Display) {
        if self.missing.iter().any(|missing| missing.what == what) {
            return;
        }
        crate::say::note(format!("not measured: {what}: {why}"));
        self.missing.push(Missing {
            what: what.to_owned(),
            why: why.to_string(),
        });
    }
}

/// Does something with the tests' environment, which panics where a test would fail.
///
/// # Errors
/// With what it panicked, too.
pub(crate) fn caught<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done,
        Err(payload) => {
            let said = payload.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| payload.downcast_ref::<&str>().copied());
            Err(anyhow!("{}", said.unwrap_or("a panic")))
        }
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
    held::SECTION,
    shown::SECTION,
    crowd::SECTION,
    events::SECTION,
    reload::SECTION,
    memory::SECTION,
    idle::SECTION,
    start::SECTION,
    records::SECTION,
    programs::SECTION,
    instructions::SECTION,
    http::SECTION,
    nftables::SECTION,
    pgbench::SECTION,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rounds::{Contender, Sample, take_turns};

    #[test]
    fn a_panic_becomes_an_error_that_says_the_same() {
        let error = caught(|| -> Result<()> { panic!("no {}", "bus") }).unwrap_err();
        assert_eq!(error.to_string(), "no bus");
        assert_eq!(caught(|| Ok(1)).unwrap(), 1);
    }

    #[test]
    fn the_baseline_has_no_ratio_and_only_stile_has_a_goal() {
        let mut blocks = [2.0, 3.0, 8.0].map(|number| move || Ok(Sample::one(number)));
        let mut contenders: Vec<_> = blocks
            .iter_mut()
            .map(|one| one as &mut dyn Contender)
            .collect();
        let measured = take_turns(3, &mut contenders).unwrap();
        let question = Question {
            table: "t",
            id: "q",
            what: "what",
            unit: "ns",
            guarded: true,
            goal: Some(Goal::ratio_at_most(1.2)),
        };
        let named: Vec<_> = ["no agent", STILE, "other"]
            .into_iter()
            .zip(measured)
            .collect();
        let rows = question.rows(&named);
        let ids: Vec<_> = rows.iter().map(|row| row.id.as_str()).collect();
        assert_eq!(ids, ["t/q/no-agent", "t/q/stile", "t/q/other"]);
        let met: Vec<_> = rows.iter().map(Row::meets_goal).collect();
        assert_eq!(met, [None, Some(false), None]);
        let ratios: Vec<_> = rows.iter().map(|row| row.ratio.as_ref()).collect();
        assert!(ratios[0].is_none());
        assert_eq!(
            ratios[1].map(|ratio| (ratio.value, ratio.guarded)),
            Some((1.5, true))
        );
        assert_eq!(
            ratios[2].map(|ratio| (ratio.value, ratio.guarded)),
            Some((4.0, false))
        );
    }
}
