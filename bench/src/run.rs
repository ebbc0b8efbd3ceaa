// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A whole run: one section after the other, then the report.

use std::path::PathBuf;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail, ensure};

use crate::report::{Machine, Report, SCHEMA, json, text};
use crate::say;
use crate::sections::{ALL, Run, Section, caught};

/// What to measure, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Fewer rounds and smaller sets.
    #[arg(long)]
    quick: bool,
    /// Write the report as JSON to this file.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Only these sections; all of them without any.
    #[arg(value_name = "SECTION")]
    sections: Vec<String>,
}

/// Measures.
///
/// # Errors
/// If this is no sandbox, if a section is unknown, or if none could be measured.
pub(crate) fn run(options: &Options) -> Result<()> {
    let chosen = choose(&options.sections)?;
    ensure!(
        std::env::var_os("STILE_SANDBOX").is_some(),
        "this is not the sandbox; run `cargo xtask bench`"
    );
    let machine = Machine::here();
    let started = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let begun = Instant::now();
    let mut run = Run {
        quick: options.quick,
        tables: Vec::new(),
        missing: Vec::new(),
    };
    let mut failed = 0;
    for (number, section) in (1..).zip(&chosen) {
        say::step(format!("{} ({number} of {})", section.name, chosen.len()));
        let start = Instant::now();
        if let Err(error) = caught(|| (section.run)(&mut run)) {
            run.misses(section.name, format!("{error:#}"));
            failed += 1;
        }
        say::part(format!("took {:.1} s", start.elapsed().as_secs_f64()));
    }
    let report = Report {
        schema: SCHEMA,
        started,
        seconds: begun.elapsed().as_secs(),
        quick: options.quick,
        machine,
        tables: run.tables,
        missing: run.missing,
    };
    if let Some(path) = &options.out {
        json::write(&report, path)?;
    }
    text::print(&report);
    ensure!(failed == 0, "{failed} of {} sections failed", chosen.len());
    Ok(())
}

fn choose(names: &[String]) -> Result<Vec<&'static Section>> {
    let known = || ALL.iter().map(|section| section.name).collect::<Vec<_>>();
    for name in names {
        if !known().contains(&name.as_str()) {
            bail!(
                "there is no section {name}; there are: {}",
                known().join(", ")
            );
        }
    }
    let is_chosen =
        |section: &&Section| names.is_empty() || names.iter().any(|n| n == section.name);
    Ok(ALL.iter().filter(is_chosen).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_names_every_section_is_chosen() {
        assert_eq!(choose(&[]).unwrap().len(), ALL.len());
    }

    #[test]
    fn an_unknown_section_is_an_error_that_names_the_others() {
        let error = choose(&["conect".to_owned()]).err().unwrap().to_string();
        assert!(error.starts_with("there is no section conect"), "{error}");
    }
}
