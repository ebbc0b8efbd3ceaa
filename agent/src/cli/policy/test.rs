// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `stile policy test`: a policy against cases of what it has to do.

use std::path::Path;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use serde_json::json;

use super::diff::load;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{print, print_json};
use crate::cli::policy_args::PolicyTest;
use crate::cli::text::{BAD, GOOD, count, escape, styled};
use crate::explain::case::{Case, Tried};

/// Runs the command.
pub(in crate::cli) fn test(args: &PolicyTest) -> Result<Exit, Failure> {
    let policy = load(&args.policy)?;
    let mut tried = Vec::new();
    for path in &args.cases {
        let cases = read(path)?;
        let of_file = cases.iter().map(|case| case.tried(&policy));
        tried.push((path.display().to_string(), of_file.collect::<Vec<_>>()));
    }
    if let Some(path) = &args.junit {
        write(path, &tried)?;
    }
    let all = || tried.iter().flat_map(|(_, tried)| tried);
    let failed = all().filter(|tried| !tried.failures.is_empty()).count();
    if args.format.json {
        print_json(&json!({
            "passed": all().count() - failed,
            "failed": failed,
            "cases": all().collect::<Vec<_>>(),
        }))?;
    } else {
        for tried in all() {
            print(&told(tried))?;
        }
    }
    let many = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    if failed > 0 {
        let why = format!("{} failed", count(many(failed), "case"));
        return Err(Failure::new(Exit::Refused, why));
    }
    if !args.format.json {
        let passed = count(many(all().count()), "case");
        print(&styled(GOOD, &format!("{passed} passed")))?;
    }
    Ok(Exit::Ok)
}

fn read(path: &Path) -> Result<Vec<Case>, Failure> {
    match Case::read(path) {
        Ok(cases) => Ok(cases),
        Err(mistakes) => {
            let many = mistakes.len();
            print(&mistakes.render(true))?;
            let why = format!("{} has {many} findings", path.display());
            Err(Failure::new(Exit::Usage, why))
        }
    }
}

/// One line for a case that passes; what went wrong for one that doesn't.
fn told(tried: &Tried) -> String {
    let name = escape(&tried.name);
    if tried.failures.is_empty() {
        return format!("{} {name}", styled(GOOD, "✓"));
    }
    let complaint = tried.complaint();
    let lines: Vec<_> = complaint
        .lines()
        .map(|line| format!("    {}", escape(line)))
        .collect();
    format!("{} {name}\n{}", styled(BAD, "✗"), lines.join("\n"))
}

/// Writes what CI systems read.
fn write(path: &Path, tried: &[(String, Vec<Tried>)]) -> Result<(), Failure> {
    let mut report = Report::new("stile policy test");
    for (file, tried) in tried {
        let mut suite = TestSuite::new(file.as_str());
        suite.add_test_cases(tried.iter().map(|tried| {
            let mut status = TestCaseStatus::success();
            if !tried.failures.is_empty() {
                status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                status.set_message(tried.failures.join("; "));
                status.set_description(tried.complaint());
            }
            TestCase::new(tried.name.as_str(), status)
        }));
        report.add_test_suite(suite);
    }
    let written = report
        .to_string()
        .map_err(|error| error.to_string())
        .and_then(|text| std::fs::write(path, text).map_err(|error| error.to_string()));
    written.map_err(|error| {
        Failure::new(
            Exit::Refused,
            format!("can't write {}: {error}", path.display()),
        )
    })
}
