// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Measures the agent: builds it and `stile-bench`, and runs that in a sandbox.

mod page;
mod peers;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::host::{self, Consent};
use crate::sandbox::{self, Sandbox};
use crate::workspace::{self, Workspace};
use crate::{ebpf, say, services};

/// The package that measures.
const BENCH: &str = "stile-bench";
/// The packages whose programs it starts.
const PACKAGES: [&str; 3] = ["stile", "stile-tests", BENCH];

/// A run that takes longer hangs: a full one is to take half an hour.
const LIMIT: Duration = Duration::from_secs(2 * 60 * 60);

/// How many times as long as in a test anything may take: a daemon that loads a million prefixes
/// is not hung.
const PATIENCE: &str = "6";

const EXAMPLES: &str = "\
Examples:
  cargo xtask bench                       everything, in half an hour, on a release build
  cargo xtask bench --quick               everything, in three minutes
  cargo xtask bench --list                what can be measured
  cargo xtask bench connect granted       two sections
  cargo xtask bench --quick --check       is anything worse than bench/baseline.json says?
  cargo xtask bench --quick --check granted
                                          is anything of this section?
  cargo xtask bench --page                everything, and write docs/bench.html and its picture
  cargo xtask bench --debug --quick connect
                                          does the bench itself work?
";

/// What to measure, and how.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    /// Fewer rounds and smaller sets.
    #[arg(long)]
    quick: bool,
    /// Measure a debug build of the agent, which is built sooner and says less.
    #[arg(long)]
    debug: bool,
    /// Print the sections instead of measuring.
    #[arg(long)]
    list: bool,
    /// Hold what was measured against bench/baseline.json. Exit codes: 0 if nothing is worse, 1 if
    /// a row is worse or missing, 2 if they can't be compared.
    #[arg(long, conflicts_with = "list")]
    check: bool,
    /// Write what was measured as docs/bench.html and docs/bench.png.
    #[arg(long, conflicts_with_all = ["list", "sections", "debug"])]
    page: bool,
    /// Install missing packages without asking.
    #[arg(long)]
    yes: bool,
    /// Only these sections; all of them without any.
    #[arg(value_name = "SECTION")]
    sections: Vec<String>,
}

/// Builds, measures, and leaves the numbers in `target/bench/report.json`.
///
/// # Errors
/// If something could not be built or set up.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let consent = Consent::new(options.yes);
    ebpf::build(&workspace, consent)?;
    if !options.list {
        // Before anything takes minutes.
        if !host::is_root() {
            bail!("the bench needs root; run `sudo -E env PATH=$PATH cargo xtask bench`");
        }
        say::step("looking for what the bench needs");
        services::program("dbus-daemon", "dbus-daemon", consent)?;
        services::program("ip", "iproute2", consent)?;
        if let Err(error) = services::program("valgrind", "valgrind", consent) {
            say::note(format!("instructions can't be counted: {error:#}"));
        }
    }
    say::step("building the agent and the bench");
    let bin = workspace.build_programs(&PACKAGES, !options.debug)?;
    if options.list {
        let status = workspace::status(Command::new(bin.join(BENCH)).arg("list"))?;
        return Ok(exit_code(status.success()));
    }
    let postgres = services::postgres(consent)?;
    let peers = peers::find(&workspace, consent)?;
    let programs = sandbox::Programs { bin, postgres };
    measure(&workspace, options, &programs, &peers)
}

fn measure(
    workspace: &Workspace,
    options: &Options,
    programs: &sandbox::Programs,
    peers: &Path,
) -> Result<ExitCode> {
    let report = report(workspace)?;
    let sandbox = Sandbox::new(workspace.target())?;
    let mut command = sandbox.command(sandbox.path_inside(&programs.bin.join(BENCH)))?;
    programs.tell(&sandbox, &mut command);
    command
        .arg("run")
        .args(options.quick.then_some("--quick"))
        .arg("--out")
        .arg(&report)
        .args(&options.sections)
        .env("STILE_PEERS", sandbox.path_inside(peers))
        .env("STILE_TEST_PATIENCE", PATIENCE)
        .stdin(Stdio::null());
    let child = sandbox.spawn(&mut command)?;
    let status = sandbox.wait(child, LIMIT)?;
    sandbox::check_interrupt()?;
    let Some(status) = status else {
        bail!("the bench hung for {} s", LIMIT.as_secs());
    };
    if report.is_file() {
        say::done(format!("the numbers are in {}", report.display()));
    }
    if !status.success() {
        return Ok(ExitCode::FAILURE);
    }
    let bench = programs.bin.join(BENCH);
    if options.page {
        page::write(workspace, &bench, &report)?;
    }
    if options.check {
        let partial = !options.sections.is_empty();
        return check(workspace, &bench, &report, partial);
    }
    Ok(ExitCode::SUCCESS)
}

/// Holds the numbers against those in the repository, and passes the exit code on.
fn check(workspace: &Workspace, bench: &Path, report: &Path, partial: bool) -> Result<ExitCode> {
    let mut command = Command::new(bench);
    command
        .args(["check", "--baseline"])
        .arg(workspace.root.join("bench/baseline.json"))
        .args(partial.then_some("--partial"))
        .arg(report);
    let code = workspace::status(&mut command)?.code();
    let code = code.and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Where the numbers go; those of an earlier run are gone.
fn report(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.target().join("bench");
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("could not make {}", folder.display()))?;
    let report = folder.join("report.json");
    match std::fs::remove_file(&report) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("could not remove {}", report.display()))
        }
        _ => Ok(report),
    }
}

fn exit_code(success: bool) -> ExitCode {
    if success {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
