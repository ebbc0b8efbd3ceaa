// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Holds a report against an earlier one. Only what doesn't depend on how fast the machine is
//! counts: ratios that their section calls steady, and instructions.
//!
//! A row is worse when the lower end of its interval lies beyond a limit. The limit is a tenth
//! above the baseline, or as much as the baseline's own interval is wide, if that is more. For
//! rates, where less is worse, the same is done with their reciprocals.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::{Report, Row, SCHEMA, Table, form, json};

/// The table whose rows are guarded by what they count, not by a ratio: it is the same in each
/// run of the same build.
pub(crate) const INSTRUCTIONS: &str = "instructions";

/// How much worse a row may be in any case.
const MARGIN: f64 = 0.1;

/// What to hold against what.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The earlier numbers.
    #[arg(long, value_name = "FILE")]
    baseline: PathBuf,
    /// Take the report's numbers over as the baseline, instead of comparing.
    #[arg(long)]
    update: bool,
    /// Compare only tables that the report has, because only some sections were measured.
    #[arg(long, conflicts_with = "update")]
    partial: bool,
    /// The report of a run.
    report: PathBuf,
}

/// The earlier numbers.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Baseline {
    /// [`SCHEMA`].
    schema: u32,
    /// How the agent was built: numbers of different builds say nothing about each other.
    build: String,
    /// What is guarded, by the row's id.
    rows: BTreeMap<String, Guarded>,
}

/// The number of a row that is guarded.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Guarded {
    value: f64,
    low: f64,
    high: f64,
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// Neither worse nor better than noise is.
    Same,
    /// Better by more than the margin.
    Better,
    /// Worse by more than the margin.
    Worse,
}

/// One row beside its baseline.
#[derive(Debug)]
pub(crate) struct Compared {
    id: String,
    was: Guarded,
    is: Guarded,
    /// What it may be, on the bad side.
    may_be: f64,
    verdict: Verdict,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Comparison {
    rows: Vec<Compared>,
    /// Guarded rows that the report doesn't have.
    missing: Vec<String>,
    /// Steady rows that the baseline doesn't have.
    new: Vec<String>,
}

/// Compares, or takes over. The exit code is 0 if all is well, 1 if a row is worse or missing.
///
/// # Errors
/// If a file can't be read or written, or the two can't be compared: exit code 2.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let report = json::read(&options.report)?;
    if options.update {
        let rows = update(&report, &options.baseline)?;
        anstream::println!("{rows} rows are guarded by {}", options.baseline.display());
        return Ok(ExitCode::SUCCESS);
    }
    let mut baseline = read(&options.baseline)?;
    if options.partial {
        baseline = baseline.within(&report);
    }
    let comparison = compare(&baseline, &report)?;
    anstream::print!("{}", comparison.text(&report));
    Ok(if comparison.is_fine() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn read(path: &Path) -> Result<Baseline> {
    let text = fs::read_to_string(path).with_context(|| {
        let path = path.display();
        format!("{path}; `check --update` makes one of a report")
    })?;
    let baseline: Baseline = serde_json::from_str(&text)
        .with_context(|| format!("{} is no baseline", path.display()))?;
    ensure!(
        baseline.schema == SCHEMA,
        "{} has form {}, and this stile-bench reads form {SCHEMA}; make a new one with --update",
        path.display(),
        baseline.schema
    );
    Ok(baseline)
}

fn update(report: &Report, path: &Path) -> Result<usize> {
    let baseline = Baseline::of(report);
    ensure!(
        !baseline.rows.is_empty(),
        "the report has no row that could be guarded"
    );
    let text = serde_json::to_string_pretty(&baseline)? + "\n";
    fs::write(path, text).with_context(|| format!("{}", path.display()))?;
    Ok(baseline.rows.len())
}

impl Baseline {
    /// What of a report is guarded.
    pub(crate) fn of(report: &Report) -> Self {
        let rows = guarded(report).map(|(row, number)| (row.id.clone(), number));
        Self {
            schema: SCHEMA,
            build: report.machine.build.clone(),
            rows: rows.collect(),
        }
    }
}

impl Baseline {
    /// What of it belongs to a table of this report.
    fn within(mut self, report: &Report) -> Self {
        let has = |table: &str| report.tables.iter().any(|own| own.id == table);
        self.rows
            .retain(|id, _| id.split('/').next().is_some_and(has));
        self
    }
}

/// The rows of a report that are guarded, each with its number.
fn guarded(report: &Report) -> impl Iterator<Item = (&Row, Guarded)> {
    let rows = |table: &'_ Table| table.id == INSTRUCTIONS;
    report.tables.iter().flat_map(move |table| {
        let counted = rows(table);
        table
            .rows
            .iter()
            .filter_map(move |row| Some((row, Guarded::of(row, counted)?)))
    })
}

impl Guarded {
    fn of(row: &Row, counted: bool) -> Option<Self> {
        if counted && row.unit == "count" {
            let value = row.median;
            return value.is_finite().then_some(Self {
                value,
                low: value,
                high: value,
            });
        }
        let ratio = row.ratio.as_ref()?;
        // Of a few rounds there is no interval, and the value has to do.
        let end = |end: f64| if end.is_finite() { end } else { ratio.value };
        (ratio.guarded && ratio.value.is_finite()).then_some(Self {
            value: ratio.value,
            low: end(ratio.low),
            high: end(ratio.high),
        })
    }

    /// As a cost: more is worse.
    fn cost(self, is_rate: bool) -> Self {
        if !is_rate {
            return self;
        }
        Self {
            value: 1.0 / self.value,
            low: 1.0 / self.high,
            high: 1.0 / self.low,
        }
    }

    /// How far from its value is still the same: see the module's text.
    fn margin(self) -> f64 {
        (self.value * MARGIN).max(self.high - self.low)
    }
}

/// Holds a report against a baseline.
///
/// # Errors
/// If they are of different builds, or the baseline guards nothing.
pub(crate) fn compare(baseline: &Baseline, report: &Report) -> Result<Comparison> {
    ensure!(
        !baseline.rows.is_empty(),
        "the baseline guards nothing; make one with --update"
    );
    let build = &report.machine.build;
    ensure!(
        baseline.build == *build,
        "the report is of a {build} build, and the baseline of a {} build; \
         measure with the same one",
        baseline.build
    );
    let found: BTreeMap<&str, (&Row, Guarded)> = guarded(report)
        .map(|(row, number)| (row.id.as_str(), (row, number)))
        .collect();
    let mut comparison = Comparison {
        rows: Vec::new(),
        missing: Vec::new(),
        new: Vec::new(),
    };
    for (id, was) in &baseline.rows {
        match found.get(id.as_str()) {
            None => comparison.missing.push(id.clone()),
            Some((row, is)) => comparison.rows.push(judge(row, *was, *is)),
        }
    }
    let is_new = |id: &&&str| !baseline.rows.contains_key(**id);
    comparison.new = found
        .keys()
        .filter(is_new)
        .map(|id| (*id).to_owned())
        .collect();
    Ok(comparison)
}

fn judge(row: &Row, was: Guarded, is: Guarded) -> Compared {
    let (before, now) = (was.cost(row.is_rate()), is.cost(row.is_rate()));
    let limit = before.value + before.margin();
    let verdict = if now.low > limit {
        Verdict::Worse
    } else if now.high < before.value - before.margin() {
        Verdict::Better
    } else {
        Verdict::Same
    };
    Compared {
        id: row.id.clone(),
        was,
        is,
        may_be: if row.is_rate() { 1.0 / limit } else { limit },
        verdict,
    }
}

impl Comparison {
    /// Nothing is worse, and nothing is missing.
    pub(crate) fn is_fine(&self) -> bool {
        self.missing.is_empty() && self.rows.iter().all(|row| row.verdict != Verdict::Worse)
    }

    /// What to tell a person.
    fn text(&self, report: &Report) -> String {
        let mut text = String::new();
        let of = |verdict| self.rows.iter().filter(move |row| row.verdict == verdict);
        for row in of(Verdict::Worse) {
            let _ = writeln!(
                text,
                "✗ {} is worse: it was {}, is {} [{}, {}], and may be {}",
                row.id,
                precise(row.was.value),
                precise(row.is.value),
                precise(row.is.low),
                precise(row.is.high),
                precise(row.may_be),
            );
        }
        for id in &self.missing {
            let _ = writeln!(text, "✗ {id} is guarded, and the report doesn't have it");
        }
        if !self.missing.is_empty() {
            for missing in &report.missing {
                let _ = writeln!(text, "  not measured: {}: {}", missing.what, missing.why);
            }
        }
        for row in of(Verdict::Better) {
            let _ = writeln!(
                text,
                "✓ {} is better: it was {}, is {}; run with --update to take it over",
                row.id,
                precise(row.was.value),
                precise(row.is.value),
            );
        }
        for id in &self.new {
            let _ = writeln!(
                text,
                "! {id} isn't guarded yet; run with --update to take it over"
            );
        }
        let worse = of(Verdict::Worse).count();
        let _ = writeln!(
            text,
            "{} rows compared: {worse} worse, {} better, {} missing, {} new",
            self.rows.len(),
            of(Verdict::Better).count(),
            self.missing.len(),
            self.new.len(),
        );
        text
    }
}

/// A ratio with the decimals that tell regressions, or a count.
fn precise(number: f64) -> String {
    if number < 10.0 {
        format!("{number:.3}")
    } else {
        form::digits(number)
    }
}

#[cfg(test)]
mod tests;
