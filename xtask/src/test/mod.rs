// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Runs every test of the project: sets up what they need, runs the plain ones with cargo
//! and the end-to-end ones in the sandbox, and says at the end what passed, what failed and
//! what could not run.

mod end_to_end;
pub(crate) mod libtest;
mod power;
mod suites;
mod tally;

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};

pub(crate) use self::end_to_end::{EndToEnd, tell_screenshots};
use self::suites::Suite;
pub(crate) use self::suites::TESTS;
pub(crate) use self::tally::Tally;
use crate::host::{self, Consent};
use crate::workspace::{self, Workspace};
use crate::{ebpf, say, services};

/// What to test, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Run only this suite: unit, gate, e2e (all end-to-end suites), one of those by name, or
    /// power, which takes minutes and is not run by default.
    #[arg(long, value_name = "NAME")]
    suite: Vec<String>,
    /// Print the suites and their tests instead of running them.
    #[arg(long)]
    list: bool,
    /// Install missing packages without asking.
    #[arg(long)]
    yes: bool,
    /// Of the suite power only a few kills and power cuts.
    #[arg(long)]
    quick: bool,
    /// Run only tests whose name contains this.
    filter: Option<String>,
}

/// Runs the tests.
///
/// # Errors
/// If something could not be set up. A test that fails is no error, but the exit code's.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let suites = suites::select(&workspace, &options.suite, options.list)?;
    ebpf::build(&workspace, Consent::new(options.yes))?;
    if options.list {
        return list(&workspace, &suites);
    }
    if suites.iter().any(|suite| *suite != Suite::Gate) {
        services::pam(Consent::new(options.yes));
    }
    let end_to_end = prepare(&workspace, &suites, Consent::new(options.yes))?;

    let mut tally = Tally::default();
    for suite in &suites {
        say::step(format!("suite {suite}"));
        match (suite, &end_to_end) {
            (Suite::Unit | Suite::Gate, _) => {
                if let Some(mut cargo) = suite.cargo_test(&workspace)? {
                    cargo.args(&options.filter);
                    run_cargo(&mut cargo, suite, &mut tally)?;
                }
            }
            (Suite::Power, _) => power::run(&workspace, options, &mut tally)?,
            (Suite::EndToEnd(name), Some(end_to_end)) if host::is_root() => {
                end_to_end.run(name, options.filter.as_deref(), &mut tally)?;
            }
            (Suite::EndToEnd(_), _) => tally.blocked(
                suite,
                "it needs root; everything is built now, so run \
                 `sudo -E env PATH=$PATH cargo xtask test`",
            ),
        }
    }
    Ok(tally.close())
}

/// Builds and installs what the end-to-end suites take, if one of them was chosen.
fn prepare(workspace: &Workspace, suites: &[Suite], consent: Consent) -> Result<Option<EndToEnd>> {
    let names = suites::end_to_end(suites);
    if names.is_empty() {
        return Ok(None);
    }
    say::step("looking for what the end-to-end tests need");
    let postgres = services::postgres(consent)?;
    let mut resolved = None;
    services::program("dbus-daemon", "dbus-daemon", consent)?;
    if names.contains(&"bypass") {
        services::relays(consent);
    }
    if names.contains(&"people") {
        services::desktop(consent);
    }
    if names.contains(&"names") {
        services::name_server(consent);
        resolved = services::resolved(&workspace.target().join("resolved"), consent);
    }
    say::step("building the agent and the end-to-end tests");
    let mut built = EndToEnd::build(workspace, &names, postgres)?;
    built.resolved = resolved;
    Ok(Some(built))
}

fn list(workspace: &Workspace, suites: &[Suite]) -> Result<ExitCode> {
    for suite in suites {
        let Some(mut cargo) = suite.cargo_test(workspace)? else {
            power::NAMES
                .iter()
                .for_each(|name| println!("{suite}: {name}"));
            continue;
        };
        cargo.args(["--quiet", "--", "--list", "--format=terse"]);
        for line in workspace::output(&mut cargo)?.lines() {
            if let Some(test) = line.strip_suffix(": test") {
                println!("{suite}: {test}");
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn run_cargo(cargo: &mut Command, suite: &Suite, tally: &mut Tally) -> Result<()> {
    let mut child = cargo
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("could not start `{}`", workspace::shown(cargo)))?;
    let Some(output) = child.stdout.take() else {
        bail!("`{}` has no output to read", workspace::shown(cargo));
    };
    let results = follow(output, suite, tally);
    let status = child.wait().context("could not wait for cargo")?;
    tally.finished(suite, results, status);
    Ok(())
}

/// Passes on what tests print, and keeps count. Returns how many summaries libtest printed.
fn follow(output: impl Read, suite: &Suite, tally: &mut Tally) -> usize {
    let mut summaries = 0;
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    // An unreadable pipe is an ended one; the exit status tells the rest.
    while output
        .read_until(b'\n', &mut line)
        .is_ok_and(|read| read > 0)
    {
        let text = String::from_utf8_lossy(&line);
        anstream::print!("{text}");
        match libtest::parse(&anstream::adapter::strip_str(&text).to_string()) {
            Some(libtest::Line::Summary(counts)) => {
                summaries += 1;
                tally.add(counts);
            }
            Some(libtest::Line::Failed(test)) => tally.failed(suite, test),
            Some(libtest::Line::Ignored(test)) => tally.ignored(suite, test),
            Some(libtest::Line::CannotRun(test)) => tally.cannot_run(suite, test),
            Some(libtest::Line::Passed(_)) | None => {}
        }
        line.clear();
    }
    summaries
}
