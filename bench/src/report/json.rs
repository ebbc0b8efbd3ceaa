// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The report as a file.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::{Report, SCHEMA};

/// What every version of the form has.
#[derive(Deserialize)]
struct Head {
    schema: u32,
}

/// Reads a report.
///
/// # Errors
/// If the file can't be read, is none, or was written in another version of the form.
pub(crate) fn read(path: &Path) -> Result<Report> {
    let text = fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
    parse(&text).with_context(|| format!("{}", path.display()))
}

/// Writes a report.
///
/// # Errors
/// If the file can't be written.
pub(crate) fn write(report: &Report, path: &Path) -> Result<()> {
    let text = serde_json::to_string_pretty(report)? + "\n";
    fs::write(path, text).with_context(|| format!("{}", path.display()))
}

fn parse(text: &str) -> Result<Report> {
    let Head { schema } = serde_json::from_str(text).context("this is no report")?;
    if schema != SCHEMA {
        bail!(
            "the report has form {schema}, and this stile-bench reads form {SCHEMA}; \
             measure anew, or read it with the stile-bench that wrote it"
        );
    }
    serde_json::from_str(text).context("this is no report")
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn a_report_comes_back_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("report.json");
        let report = sample::report();
        write(&report, &path).unwrap();
        assert_eq!(format!("{:?}", read(&path).unwrap()), format!("{report:?}"));
    }

    #[test]
    fn a_ratio_without_an_interval_comes_back_without_one() {
        let mut report = sample::report();
        let ratio = report.tables[0].rows[1].ratio.as_mut().unwrap();
        (ratio.low, ratio.high) = (f64::NAN, f64::NAN);
        let read = parse(&serde_json::to_string(&report).unwrap()).unwrap();
        assert!(read.tables[0].rows[1].ratio.as_ref().unwrap().low.is_nan());
    }

    #[test]
    fn another_form_is_refused_by_its_number_even_if_nothing_else_is_known_of_it() {
        let error = parse(r#"{"schema": 2, "found": []}"#).unwrap_err();
        assert!(error.to_string().contains("has form 2"), "{error}");
    }

    #[test]
    fn what_is_no_report_is_refused() {
        assert!(parse("[]").is_err());
        assert!(parse(r#"{"schema": 1}"#).is_err());
    }
}
