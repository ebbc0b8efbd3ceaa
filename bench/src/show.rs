// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Shows the report of an earlier run.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::report::{html, json, text};

/// What to show, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Write it to this file as a page for a browser, instead of printing it.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// The report of a run.
    report: PathBuf,
}

/// Shows it.
///
/// # Errors
/// If a file can't be read or written.
pub(crate) fn run(options: &Options) -> Result<()> {
    let report = json::read(&options.report)?;
    match &options.html {
        Some(path) => {
            std::fs::write(path, html::page(&report)).with_context(|| format!("{}", path.display()))
        }
        None => {
            text::print(&report);
            Ok(())
        }
    }
}
