// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Runs end-to-end suites on Debian's kernels, old and new: each in an emulated machine of its
//! own, with the real daemon, command and kernel program.
//!
//! The kernels come from Debian's archive and are booted, not installed. A guest sees a disk
//! with this machine's programs, has no network but its loopback, and ends with its suites.

mod apt;
mod boot;
mod catalog;
mod disk;
mod guest;
mod initramfs;
mod modules;
mod packages;
mod page;
mod power;
mod programs;
mod protocol;
mod report;
mod tools;
mod vmlinux;
mod writes;

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};

pub(crate) use self::apt::Archive;
pub(crate) use self::boot::lines_of;
use self::boot::{Guests, Went};
use self::catalog::Series;
use self::guest::{INIT, PLAN, Plan};
pub(crate) use self::guest::{Stage, run as run_stage};
use self::packages::{Found, Kernel};
pub(crate) use self::power::PowerMachine;
use self::report::Outcome;
use crate::host::{self, Consent};
use crate::test::EndToEnd;
use crate::workspace::Workspace;
use crate::{ebpf, say, services};

/// The suites that are run without `--suite`; the last ones, which take longest, only on all
/// kernels.
const SUITES: [&str; 4] = ["gate", "root", "bypass", "hold"];
const SMALL: usize = 3;
/// The suite of the gate's decision, which has no target of its own.
const GATE: &str = "gate";
/// Tells tests in a guest that the machine is theirs; see `stile_tests::throwaway_machine`.
const THROWAWAY: &str = "stile.throwaway=1";
/// Guests at a time: each is emulated on about one core.
const AT_ONCE: usize = 2;
/// Room on the root disk, MiB.
const ROOM: u64 = 1024;
const PAGE: &str = "docs/kernels.md";
/// Where disks and logs of guests lie, below the kernels.
const GUESTS: &str = "guests";

/// Which kernels to run what on.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Run on this kernel, as 6.1 or newest; may be given more than once.
    #[arg(long, value_name = "NAME")]
    kernel: Vec<String>,
    /// Run on every kernel, and write docs/kernels.md.
    #[arg(long, conflicts_with = "kernel")]
    all: bool,
    /// Run nothing: write docs/kernels.md from what the kernels said last, each in a run of its own.
    #[arg(long, conflicts_with_all = ["kernel", "filter", "append", "limit", "list"])]
    page: bool,
    /// Run this suite: gate, or one of the end-to-end suites; may be given more than once
    /// [default: gate, root, bypass; with --all also hold].
    #[arg(long, value_name = "NAME")]
    suite: Vec<String>,
    /// Print the kernels and their suites instead of running them.
    #[arg(long)]
    list: bool,
    /// Install missing packages without asking.
    #[arg(long)]
    yes: bool,
    /// End a guest after so many seconds.
    #[arg(long, value_name = "SECONDS")]
    limit: Option<u64>,
    /// Put these words on the kernels' command line too, as lockdown=confidentiality.
    #[arg(long, value_name = "WORDS")]
    append: Option<String>,
    /// Run only tests whose name contains this.
    filter: Option<String>,
}

impl Options {
    fn suites(&self) -> Vec<String> {
        match self.suite.is_empty() {
            true if self.all => SUITES.map(str::to_owned).to_vec(),
            true => SUITES[..SMALL].iter().map(ToString::to_string).collect(),
            false => self.suite.clone(),
        }
    }

    /// True if all that the page tells about is run, as it is.
    fn is_for_the_page(&self) -> bool {
        self.all && self.suite.is_empty() && self.filter.is_none() && self.append.is_none()
    }
}

/// Runs the suites on the kernels.
///
/// # Errors
/// If something could not be set up. A guest that fails is no error, but the exit code's.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let series = catalog::select(&options.kernel, options.all || options.page)?;
    let suites = options.suites();
    if options.list {
        for series in &series {
            println!("{}: {}", series.name, suites.join(", "));
        }
        return Ok(ExitCode::SUCCESS);
    }
    if !host::is_root() {
        bail!("the guests' disk is made of files that only root may read; run this as root");
    }
    let workspace = Workspace::load()?;
    let base = workspace.kernels();
    let _alone = lock_folder(&base)?;
    if options.page {
        return write_page_of_logs(&workspace, &series, &suites);
    }
    let consent = Consent::new(options.yes);
    ebpf::build(&workspace, consent)?;
    say::step("looking for what guests need");
    tools::ensure(&base, consent)?;
    services::pam(consent);
    say::step("building the agent and the tests");
    let end_to_end = build(&workspace, &suites)?;
    let plan = Plan {
        suites,
        filter: options.filter.clone(),
        end_to_end,
    };
    let (kernels, missing) = find(&base, &series)?;
    let guests = furnish(&workspace, &plan, options)?;
    let went = run_all(&guests, &kernels, &plan, options)?;
    if options.is_for_the_page() {
        write_page(&workspace, &went, &missing)?;
    }
    Ok(close(&went, &missing))
}

fn write_page(workspace: &Workspace, went: &[(Kernel, Went)], missing: &[Series]) -> Result<()> {
    let path = workspace.root.join(PAGE);
    fs::write(&path, page::render(went, missing)).context("could not write the page")?;
    say::done(format!("wrote {}", path.display()));
    Ok(())
}

/// Writes the page of what the kernels have said in their last runs.
fn write_page_of_logs(
    workspace: &Workspace,
    series: &[Series],
    suites: &[String],
) -> Result<ExitCode> {
    let base = workspace.kernels();
    let (kernels, missing) = find(&base, series)?;
    let mut went = Vec::new();
    for kernel in kernels {
        let name = kernel.series.name;
        match boot::last_run(&base.join(GUESTS), name, suites) {
            Ok(last) => went.push((kernel, last)),
            Err(error) if kernel.series.required => return Err(error),
            Err(_) => say::note(format!("{name} was not run, and is not required")),
        }
    }
    write_page(workspace, &went, &missing)?;
    Ok(close(&went, &missing))
}

/// Two runs would write each other's disks: the second one waits for the first.
fn lock_folder(base: &Path) -> Result<File> {
    fs::create_dir_all(base).context("could not make a folder for kernels")?;
    let file = File::create(base.join("lock")).context("could not make a lock")?;
    if file.try_lock().is_err() {
        say::note("waiting for another run");
        file.lock().context("could not wait for another run")?;
    }
    Ok(file)
}

fn build(workspace: &Workspace, suites: &[String]) -> Result<EndToEnd> {
    let is_gate = |name: &&String| *name == GATE;
    let names: Vec<&str> = suites
        .iter()
        .filter(|name| !is_gate(name))
        .map(String::as_str)
        .collect();
    // Where a guest would have PostgreSQL; none has, and its tests say so.
    let mut end_to_end = EndToEnd::build(workspace, &names, PathBuf::from("/usr/lib/postgresql"))?;
    if suites.iter().any(|name| is_gate(&name)) {
        end_to_end.add_gate(workspace)?;
    }
    Ok(end_to_end)
}

/// Gets the kernels ready. Those that the archive hasn't are told apart.
fn find(base: &Path, series: &[Series]) -> Result<(Vec<Kernel>, Vec<Series>)> {
    let (mut kernels, mut missing) = (Vec::new(), Vec::new());
    for series in series {
        match packages::prepare(base, *series)? {
            Found::Kernel(kernel) => kernels.push(kernel),
            Found::NotAvailable(why) => {
                say::note(format!("{}: not available: {why}", series.name));
                missing.push(*series);
            }
        }
    }
    Ok((kernels, missing))
}

/// Makes the root disk.
fn furnish(workspace: &Workspace, plan: &Plan, options: &Options) -> Result<Guests> {
    say::step("making the guests' disk");
    let folder = workspace.kernels().join(GUESTS);
    let root = folder.join("root");
    // What an interrupted run has left.
    if root.exists() {
        fs::remove_dir_all(&root).context("could not remove an older root")?;
    }
    fs::create_dir_all(&root).context("could not make the root")?;
    let xtask = std::env::current_exe().context("could not find xtask itself")?;
    programs::lay_out(&root)?;
    std::os::unix::fs::symlink(&xtask, root.join(INIT.trim_start_matches('/')))
        .context("could not make the guests' init")?;
    let mut files = plan.end_to_end.files();
    files.push(xtask.clone());
    programs::add(&root, &files)?;
    // What tests read of the sources.
    for name in ["packaging", "tests", "agent-gate", "fuzz/corpus"] {
        programs::add_folder(&root, &workspace.root.join(name))?;
    }
    fs::write(root.join(PLAN), serde_json::to_string(plan)?).context("could not write the plan")?;
    let image = folder.join("root.ext4");
    disk::make(&root, &image, ROOM)?;
    fs::remove_dir_all(&root).context("could not remove the root")?;
    Ok(Guests {
        root: image,
        folder,
        xtask,
        append: options.append.clone(),
    })
}

/// Runs a guest on each kernel, a few at a time. The results are in the kernels' order.
fn run_all(
    guests: &Guests,
    kernels: &[Kernel],
    plan: &Plan,
    options: &Options,
) -> Result<Vec<(Kernel, Went)>> {
    let waiting: Mutex<VecDeque<usize>> = Mutex::new((0..kernels.len()).collect());
    let went: Mutex<Vec<(usize, Result<Went>)>> = Mutex::default();
    let next = || lock(&waiting).pop_front();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((index, kernel)) = next().and_then(|at| Some((at, kernels.get(at)?)))
                {
                    let result = run_one(guests, kernel, plan, options);
                    lock(&went).push((index, result));
                }
            });
        }
    });
    let mut went = went.into_inner().unwrap_or_else(PoisonError::into_inner);
    went.sort_by_key(|(index, _)| *index);
    let results = went.into_iter().map(|(_, result)| result);
    kernels.iter().cloned().zip(results).map(pair).collect()
}

fn pair((kernel, result): (Kernel, Result<Went>)) -> Result<(Kernel, Went)> {
    result.map(|went| (kernel, went))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run_one(guests: &Guests, kernel: &Kernel, plan: &Plan, options: &Options) -> Result<Went> {
    let name = kernel.series.name;
    say::step(format!("{name}: booting Linux {}", kernel.facts.release));
    let show = |line: &str| anstream::println!("{name} | {line}");
    let went = guests.run(kernel, &plan.suites, options.limit, show)?;
    let verdict = match went.problems.is_empty() {
        true => "passed",
        false => "FAILED",
    };
    say::step(format!("{name}: {verdict} after {} s", went.seconds));
    Ok(went)
}

/// Says what came of it. Success takes every kernel that is required, and no problem.
fn close(went: &[(Kernel, Went)], missing: &[Series]) -> ExitCode {
    let mut failed = went.is_empty();
    for (kernel, went) in went {
        let name = kernel.series.name;
        let release = &kernel.facts.release;
        for (key, outcome) in &went.report.tests {
            if let Outcome::CannotRun(why) = outcome {
                say::note(format!("{name}: not run: {}: {}: {why}", key.0, key.1));
            }
        }
        for problem in &went.problems {
            say::failed(format!("{name}: {problem} (log: {})", went.log.display()));
        }
        failed |= !went.problems.is_empty();
        let passed = went.report.count(|outcome| *outcome == Outcome::Passed);
        let bad = went.report.count(|outcome| *outcome == Outcome::Failed);
        let verdict = if went.problems.is_empty() {
            "ok"
        } else {
            "FAIL"
        };
        println!("{name} ({release}): {verdict}, {passed} passed, {bad} failed");
    }
    for series in missing {
        let verdict = if series.required { "FAIL" } else { "skipped" };
        println!("{}: {verdict}, not available", series.name);
        failed |= series.required;
    }
    match failed {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}
