// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a run found: what is written as JSON, and what every other form is made of.

pub(crate) mod check;
pub(crate) mod form;
pub(crate) mod html;
pub(crate) mod json;
#[cfg(test)]
pub(crate) mod sample;
pub(crate) mod text;

use serde::{Deserialize, Deserializer, Serialize};

/// Version of the JSON form. A reader refuses another one.
pub(crate) const SCHEMA: u32 = 1;

/// Everything that one run found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    /// [`SCHEMA`].
    pub(crate) schema: u32,
    /// When the run began, in seconds since 1970.
    pub(crate) started: u64,
    /// How long it took, in seconds.
    pub(crate) seconds: u64,
    /// A short run with fewer rounds and smaller sets.
    pub(crate) quick: bool,
    /// Where it ran.
    pub(crate) machine: Machine,
    /// What was measured.
    pub(crate) tables: Vec<Table>,
    /// What could not be measured, and why.
    pub(crate) missing: Vec<Missing>,
}

/// The machine of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// The kernel's release.
    pub(crate) kernel: String,
    /// The processor's model.
    pub(crate) processor: String,
    /// How many processors are online.
    pub(crate) cpus: usize,
    /// Memory in MiB.
    pub(crate) memory: u64,
    /// The load average before the run: what else it had to do.
    pub(crate) load: f64,
    /// How the agent was built: `release` or `debug`.
    pub(crate) build: String,
}

/// What was not measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Missing {
    /// What.
    pub(crate) what: String,
    /// Why not, and what would make it possible.
    pub(crate) why: String,
}

/// Rows that belong together: the same thing done by each contender, in turn, in one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Table {
    /// A short name, unique in the report: `connect`.
    pub(crate) id: String,
    /// A heading.
    pub(crate) title: String,
    /// What was done exactly, in one or two sentences.
    pub(crate) note: String,
    /// The rows, the baseline first.
    pub(crate) rows: Vec<Row>,
}

/// One contender doing one thing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    /// Unique in the report, made of the table's id: `connect/tcp4/1k/stile`.
    pub(crate) id: String,
    /// What was done: `TCP over IPv4, 1,000 prefixes`.
    pub(crate) what: String,
    /// Who did it: `stile`, `no agent`, `nftables`.
    pub(crate) who: String,
    /// The unit of `median` and `p99`: `ns`, `µs`, `ms`, `s`, `1/s`, `B`, `MiB`, `count`.
    pub(crate) unit: String,
    /// The median over the rounds.
    #[serde(deserialize_with = "number")]
    pub(crate) median: f64,
    /// The 99th percentile of single operations (its median over the rounds).
    pub(crate) p99: Option<f64>,
    /// CPU time of all parties for each operation, in the same unit.
    pub(crate) cpu: Option<f64>,
    /// Against the baseline, round by round.
    pub(crate) ratio: Option<Ratio>,
    /// Over how many rounds.
    pub(crate) rounds: usize,
    /// What it should be.
    pub(crate) goal: Option<Goal>,
}

/// A contender against the baseline.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Ratio {
    /// The id of the row that it is against.
    pub(crate) against: String,
    /// The median over the rounds of the ratios in one round.
    #[serde(deserialize_with = "number")]
    pub(crate) value: f64,
    /// Lower end of its 95 % confidence interval, by bootstrap; NaN of too few rounds.
    #[serde(deserialize_with = "number")]
    pub(crate) low: f64,
    /// Upper end.
    #[serde(deserialize_with = "number")]
    pub(crate) high: f64,
    /// Steady enough to be held against an earlier run.
    pub(crate) guarded: bool,
}

/// What a row should reach.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Goal {
    /// Of which number.
    pub(crate) of: Of,
    /// The number is met from here on…
    pub(crate) bound: Bound,
    /// …including this value.
    pub(crate) value: f64,
}

/// The number of a row that a goal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Of {
    /// [`Row::ratio`].
    Ratio,
    /// [`Row::median`].
    Median,
    /// [`Row::p99`].
    P99,
}

/// On which side of its value a goal is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bound {
    /// Met at or below it.
    AtMost,
    /// Met at or above it.
    AtLeast,
}

impl Goal {
    /// A ratio to the baseline of at most this.
    pub(crate) fn ratio_at_most(value: f64) -> Self {
        Self {
            of: Of::Ratio,
            bound: Bound::AtMost,
            value,
        }
    }
}

/// JSON has no NaN; it is written as null.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

impl Report {
    /// Every row that has a goal, with its table and whether it meets it. A goal whose number is
    /// missing isn't met.
    pub(crate) fn goals(&self) -> impl Iterator<Item = (&Table, &Row, bool)> {
        self.tables.iter().flat_map(|table| {
            let rows = table.rows.iter().filter(|row| row.goal.is_some());
            rows.map(move |row| (table, row, row.meets_goal() == Some(true)))
        })
    }
}

impl Table {
    /// Its rows, those that do the same thing in succession together.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &[Row]> {
        self.rows.chunk_by(|a, b| a.what == b.what)
    }
}

impl Row {
    /// More is better. Everything else than a rate is a cost.
    pub(crate) fn is_rate(&self) -> bool {
        self.unit == "1/s"
    }

    /// Whether the goal is met; `None` without one, or where its number is missing.
    pub(crate) fn meets_goal(&self) -> Option<bool> {
        let goal = self.goal.as_ref()?;
        let reached = match goal.of {
            Of::Ratio => self.ratio.as_ref()?.value,
            Of::Median => self.median,
            Of::P99 => self.p99?,
        };
        Some(match goal.bound {
            Bound::AtMost => reached <= goal.value,
            Bound::AtLeast => reached >= goal.value,
        })
    }
}
