// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The end-to-end suites: built with cargo, then each binary run in a sandbox of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use cargo_metadata::{Message, TargetKind};
use serde::{Deserialize, Serialize};

use super::follow;
use super::suites::{GATE, Suite, TESTS};
use super::tally::Tally;
use crate::sandbox::{self, Programs, Sandbox};
use crate::workspace::{self, Workspace};

/// A suite that takes longer hangs: the slowest known takes a few minutes on two cores.
const LIMIT: Duration = Duration::from_secs(40 * 60);

/// Everything that the end-to-end suites need, built.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct EndToEnd {
    target: PathBuf,
    /// The package's folder: cargo runs tests in it.
    package: PathBuf,
    programs: Programs,
    /// systemd-resolved, if it is there.
    pub(super) resolved: Option<PathBuf>,
    /// The names of those that are ours.
    names: Vec<String>,
    /// Suite and its binary.
    suites: BTreeMap<String, PathBuf>,
}

impl EndToEnd {
    /// Builds the agent and the test binaries of these suites.
    pub(crate) fn build(workspace: &Workspace, suites: &[&str], postgres: PathBuf) -> Result<Self> {
        let bin = workspace.build_programs(&["stile", "stile-pam"], false)?;
        let programs = Programs { bin, postgres };
        let mut cargo = workspace.cargo();
        cargo.args(["test", "--locked", "--no-run", "--package", TESTS]);
        for name in suites {
            cargo.args(["--test", name]);
        }
        let tests = workspace.package(TESTS)?;
        let mut names = ["stiled", "stile", "stile-prompt", "stile-pam"]
            .map(str::to_owned)
            .to_vec();
        names.extend(tests.targets.iter().filter_map(|target| {
            let is_program = target.kind.contains(&TargetKind::Bin);
            is_program.then(|| target.name.clone())
        }));
        let package = tests
            .manifest_path
            .parent()
            .context("a package has a folder")?;
        Ok(Self {
            target: workspace.target().to_owned(),
            package: package.as_std_path().to_owned(),
            programs,
            resolved: None,
            names,
            suites: executables(&mut cargo)?,
        })
    }

    /// Builds the tests of the gate's decision too, which are a suite as any other here.
    pub(crate) fn add_gate(&mut self, workspace: &Workspace) -> Result<()> {
        let mut cargo = workspace.cargo();
        cargo.args(["test", "--locked", "--no-run", "--lib", "--package", GATE]);
        let binary = executables(&mut cargo)?.into_values().next();
        let binary = binary.context("cargo built no tests of the gate")?;
        self.suites.insert(Suite::Gate.to_string(), binary);
        Ok(())
    }

    /// All programs that the suites start.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let programs = self.names.iter().map(|name| self.programs.bin.join(name));
        programs.chain(self.suites.values().cloned()).collect()
    }

    /// Runs one suite.
    pub(crate) fn run(&self, name: &str, filter: Option<&str>, tally: &mut Tally) -> Result<()> {
        let suite = Suite::EndToEnd(name.to_owned());
        let Some(binary) = self.suites.get(name) else {
            tally.broken(&suite, "cargo has built no binary for it");
            return Ok(());
        };
        let sandbox = Sandbox::new(&self.target)?;
        let mut command = self.command(&sandbox, binary)?;
        command.args(filter);
        let mut child = sandbox.spawn(&mut command)?;
        let Some(output) = child.stdout.take() else {
            bail!("the suite {name} has no output to read");
        };
        let (summaries, ended) = std::thread::scope(|scope| {
            let waiter = scope.spawn(|| sandbox.wait(child, LIMIT));
            let summaries = follow(output, &suite, tally);
            (summaries, waiter.join())
        });
        sandbox::check_interrupt()?;
        match ended {
            Ok(Ok(Some(status))) => tally.finished(&suite, summaries, status),
            Ok(Ok(None)) => tally.broken(&suite, &format!("hung for {} s", LIMIT.as_secs())),
            Ok(Err(error)) => return Err(error),
            Err(_) => bail!("the thread that waits for {name} panicked"),
        }
        Ok(())
    }

    fn command(&self, sandbox: &Sandbox, binary: &Path) -> Result<Command> {
        let mut command = sandbox.command(sandbox.path_inside(binary))?;
        self.programs.tell(sandbox, &mut command);
        if let Some(resolved) = &self.resolved {
            command.env("STILE_TEST_RESOLVED", sandbox.path_inside(resolved));
        }
        tell_screenshots(&self.target, &mut command);
        command
            // Each test starts a daemon, a bus and often a database: two at a time is what
            // two cores bear without timing out.
            .arg("--test-threads=2")
            .current_dir(&self.package)
            .env("CARGO_MANIFEST_DIR", &self.package)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        Ok(command)
    }
}

/// Tells a command where people look for what it shows: in `screenshots` in the target folder,
/// unless the environment says another one. In a guest that folder may be read-only.
pub(crate) fn tell_screenshots(target: &Path, command: &mut Command) {
    const VARIABLE: &str = "STILE_SCREENSHOTS";
    let folder = std::env::var_os(VARIABLE).map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| target.join("screenshots"));
    match std::fs::create_dir_all(&folder) {
        Ok(()) => command.env(VARIABLE, folder),
        Err(_) => command.env_remove(VARIABLE),
    };
}

/// Runs a `cargo test --no-run`, and returns its binaries by the name of their target.
fn executables(cargo: &mut Command) -> Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    workspace::artifacts(cargo, |message| {
        if let Message::CompilerArtifact(artifact) = message
            && artifact.profile.test
            && let Some(path) = artifact.executable
        {
            found.insert(artifact.target.name, path.into_std_path_buf());
        }
    })?;
    Ok(found)
}
