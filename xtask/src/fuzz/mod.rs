// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Fuzzing: builds the targets of `fuzz/`, and lets libFuzzer loose on each for a while.
//!
//! The targets' bodies are ordinary functions of the agent and of the gate, and `cargo test`
//! runs the committed corpus through them; this looks for what nobody has thought of.

mod tool;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::host::Consent;
use crate::workspace::{self, Workspace};
use crate::{ebpf, say, services};

/// What to fuzz, and for how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How long each target runs, in seconds.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Run the committed corpus only, through the same bodies; needs no fuzzer.
    #[arg(long, conflicts_with_all = ["keep", "targets", "sanitizer"])]
    replay: bool,
    /// Add what reaches new code to the committed corpus.
    #[arg(long)]
    keep: bool,
    /// The sanitizer to build with.
    #[arg(long, value_name = "NAME", default_value = "address", value_parser = ["address", "none"])]
    sanitizer: String,
    /// Install missing packages without asking.
    #[arg(long)]
    yes: bool,
    /// The targets; all if none is named.
    targets: Vec<String>,
}

/// Runs the targets one after the other, to the end even if one finds something.
///
/// # Errors
/// If something could not be set up. What a target finds is no error, but the exit code's.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let consent = Consent::new(options.yes);
    ebpf::build(&workspace, consent)?;
    if options.replay {
        return replay(&workspace);
    }
    let targets = select(&known(&workspace)?, &options.targets)?;
    // libFuzzer is C++, and comes as source.
    if workspace::which("c++").is_none() {
        services::program("g++", "g++", consent)?;
    }
    let built = tool::build(&workspace, &targets, &options.sanitizer)?;
    let mut found = Vec::new();
    for target in &targets {
        say::step(format!("fuzzing {target} for {} s", options.seconds));
        let places = Places::new(&workspace, target)?;
        let binary = built.join(target);
        if !places.fuzz(&binary, options.seconds)? {
            found.push(places.report(&binary));
        } else if options.keep {
            places.keep(&binary)?;
        }
    }
    if found.is_empty() {
        say::done(format!("{} targets found nothing", targets.len()));
        return Ok(ExitCode::SUCCESS);
    }
    for report in found {
        say::failed(report);
    }
    Ok(ExitCode::FAILURE)
}

/// The tests that run the corpus through the bodies.
fn replay(workspace: &Workspace) -> Result<ExitCode> {
    let mut cargo = workspace.cargo();
    cargo.args([
        "test",
        "--locked",
        "--lib",
        "--package",
        "stile",
        "--package",
        "stile-gate",
    ]);
    cargo.args(["--", "the_committed_corpus"]);
    workspace::run(&mut cargo)?;
    Ok(ExitCode::SUCCESS)
}

/// The names of all targets: those of their files.
fn known(workspace: &Workspace) -> Result<Vec<String>> {
    let folder = workspace.root.join("fuzz/targets");
    let files = folder
        .read_dir()
        .with_context(|| format!("no {}", folder.display()))?;
    let mut names = Vec::new();
    for file in files {
        let path = file?.path();
        names.extend(
            path.file_stem()
                .map(|stem| stem.to_string_lossy().into_owned()),
        );
    }
    names.sort_unstable();
    Ok(names)
}

fn select(known: &[String], wanted: &[String]) -> Result<Vec<String>> {
    if let Some(unknown) = wanted.iter().find(|name| !known.contains(name)) {
        bail!(
            "there is no target {unknown}; there are: {}",
            known.join(", ")
        );
    }
    Ok(if wanted.is_empty() { known } else { wanted }.to_vec())
}

/// Where the inputs of a target lie.
struct Places {
    target: String,
    /// In the repository; read only, unless something is to be kept.
    committed: PathBuf,
    /// What reached new code in this and earlier runs.
    grown: PathBuf,
    /// What broke a promise.
    findings: PathBuf,
}

impl Places {
    fn new(workspace: &Workspace, target: &str) -> Result<Self> {
        let places = Self {
            target: target.to_owned(),
            committed: workspace.root.join("fuzz/corpus").join(target),
            grown: tool::folder(workspace).join("corpus").join(target),
            findings: tool::folder(workspace).join("findings").join(target),
        };
        for folder in [&places.committed, &places.grown, &places.findings] {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("could not make {}", folder.display()))?;
        }
        Ok(places)
    }

    /// True if nothing was found.
    fn fuzz(&self, binary: &Path, seconds: u32) -> Result<bool> {
        let mut fuzzer = Command::new(binary);
        fuzzer
            // The first is where new inputs go.
            .args([&self.grown, &self.committed])
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-artifact_prefix={}/", self.findings.display()))
            // Longer than any record, packet or answer; files are read in full elsewhere.
            .args([
                "-max_len=4096",
                "-timeout=5",
                "-verbosity=0",
                "-print_final_stats=1",
            ]);
        Ok(workspace::status(&mut fuzzer)?.success())
    }

    /// What was found, and how to see it again.
    fn report(&self, binary: &Path) -> String {
        let newest = || {
            let files = self
                .findings
                .read_dir()
                .ok()?
                .filter_map(std::io::Result::ok);
            let age =
                |file: &std::fs::DirEntry| file.metadata().and_then(|facts| facts.modified()).ok();
            files.max_by_key(age).map(|file| file.path())
        };
        let (target, binary) = (&self.target, binary.display());
        match newest() {
            Some(path) => {
                let path = path.display();
                format!(
                    "{target} breaks on {path}\n    again: {binary} {path}\n    \
                     once it is mended, keep it: cp {path} {}/",
                    self.committed.display()
                )
            }
            None => format!("{target} failed and left no input; again: {binary}"),
        }
    }

    /// Copies what reaches code that the committed corpus doesn't.
    fn keep(&self, binary: &Path) -> Result<()> {
        let mut merge = Command::new(binary);
        merge
            .args(["-merge=1", "-verbosity=0"])
            .args([&self.committed, &self.grown]);
        workspace::run(&mut merge)
    }
}

/// Runs the tests of the crates without a kernel under Miri.
///
/// # Errors
/// If there is no toolchain with Miri, or if it finds something.
pub(crate) fn miri() -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let mut probe = Command::new("cargo");
    probe.args(["+nightly", "miri", "--version"]);
    // rustup would answer with a backtrace.
    probe.env("RUST_BACKTRACE", "0");
    let version = workspace::output(&mut probe).context(
        "there is no nightly toolchain with Miri; \
         `rustup toolchain install nightly --component miri --component rust-src` gets one",
    )?;
    say::done(version.trim());
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(&workspace.root)
        .args(["+nightly", "miri", "test", "--locked", "--lib"])
        .args(["--package", "stile-common", "--package", "stile-gate"])
        .arg("--target-dir")
        .arg(workspace.root.join("target/miri"))
        // Tests read the corpus; and proptest's draws are slow there.
        .env("MIRIFLAGS", "-Zmiri-disable-isolation")
        .env("PROPTEST_CASES", "16");
    workspace::run(&mut cargo)?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_a_corpus() {
        let workspace = Workspace::load().unwrap();
        let targets = known(&workspace).unwrap();
        assert!(targets.len() >= 9, "{targets:?}");
        for target in targets {
            let corpus = workspace.root.join("fuzz/corpus").join(&target);
            assert!(corpus.read_dir().unwrap().next().is_some(), "{target}");
        }
    }

    #[test]
    fn a_target_that_is_not_there_is_refused() {
        let known = ["a".to_owned(), "b".to_owned()];
        assert_eq!(select(&known, &[]).unwrap(), known);
        assert_eq!(select(&known, &["b".to_owned()]).unwrap(), ["b"]);
        let error = select(&known, &["c".to_owned()]).unwrap_err().to_string();
        assert_eq!(error, "there is no target c; there are: a, b");
    }
}
