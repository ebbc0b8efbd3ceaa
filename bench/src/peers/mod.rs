// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a user would pick instead of stile, each a real program in a lane of its own. Whoever can't
//! run here says why, and the others are measured without it ([`crate::sections::Run::invites`]).
//!
//! They run on the clients' processor: what they cost is then the work that they do, and not
//! where the scheduler has put them. It is kind to them: to wake a program on another processor
//! takes longer, in a virtual machine by tens of microseconds.

pub(crate) mod empty;
pub(crate) mod haproxy;
pub(crate) mod nfqueue;
pub(crate) mod nftables;
pub(crate) mod opensnitch;
pub(crate) mod pgbouncer;
mod process;
pub(crate) mod seccomp;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

pub(crate) use self::process::Process;
use crate::lane::Network;
use crate::machine::quiet_cpu;

/// Where `cargo xtask bench` has unpacked what the machine lacks.
const FOLDER: &str = "STILE_PEERS";

/// A program of somebody else's.
struct Tool {
    path: PathBuf,
    /// The folder that it was unpacked into, if it isn't the machine's own.
    root: Option<PathBuf>,
}

impl Tool {
    /// Finds it in PATH, or else among what was unpacked.
    fn find(name: &str) -> Result<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
        if let Some(path) = first_program(folders, name) {
            return Ok(Self { path, root: None });
        }
        Self::find_in("programs", name)
    }

    /// Finds it in this folder of those that were unpacked.
    fn find_in(folder: &str, name: &str) -> Result<Self> {
        let missing = || {
            format!("{name} is not there; `cargo xtask bench` fetches it on Debian and its like")
        };
        let root = PathBuf::from(std::env::var_os(FOLDER).with_context(missing)?).join(folder);
        let folders = ["usr/sbin", "usr/bin"].map(|part| root.join(part)).to_vec();
        let path = first_program(folders, name).with_context(missing)?;
        let root = Some(root);
        Ok(Self { path, root })
    }

    /// The folder of the libraries that were unpacked with it.
    fn libraries(&self) -> Option<PathBuf> {
        let folders = std::fs::read_dir(self.root.as_ref()?.join("usr/lib")).ok()?;
        let mut folders = folders.flatten().map(|entry| entry.path());
        folders.find(|path| path.to_string_lossy().ends_with("-linux-gnu"))
    }

    /// Lets this command, or what it starts, find what belongs to the program.
    fn furnish(&self, command: &mut Command) {
        if let Some(libraries) = self.libraries() {
            command
                .env("LD_LIBRARY_PATH", &libraries)
                .env("XTABLES_LIBDIR", libraries.join("xtables"));
        }
    }

    /// It, in this network, as root.
    fn command(&self, network: &Network) -> Command {
        let mut command = network.command("taskset");
        command
            .arg("--cpu-list")
            .arg(quiet_cpu().to_string())
            .arg(&self.path);
        self.furnish(&mut command);
        command
    }

    /// It, anywhere and without a network: it only works on files.
    fn offline(&self) -> Command {
        let mut command = Command::new(&self.path);
        self.furnish(&mut command);
        command
    }
}

fn first_program(folders: Vec<PathBuf>, name: &str) -> Option<PathBuf> {
    let is_program = |path: &PathBuf| {
        let data = path.metadata();
        data.is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
    };
    folders
        .into_iter()
        .map(|folder| folder.join(name))
        .find(is_program)
}

/// Runs a command to its end, and returns what it wrote.
///
/// # Errors
/// If it fails, with what it said.
pub(crate) fn done(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let words = command.get_args().map(|word| word.to_string_lossy());
    let words: Vec<_> = words.collect();
    let shown = format!("`{program} {}`", words.join(" "));
    let output = command
        .output()
        .with_context(|| format!("could not run {shown}"))?;
    ensure!(
        output.status.success(),
        "{shown} failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A folder for files of a peer, which everybody may read.
fn folder() -> Result<tempfile::TempDir> {
    let folder = tempfile::Builder::new().prefix("peer-").tempdir()?;
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755))?;
    Ok(folder)
}

/// Writes a file of a peer's.
fn write(path: &Path, text: impl AsRef<[u8]>) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("{}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_an_error_with_its_name() {
        let error = Tool::find("no-such-program").err().unwrap().to_string();
        assert!(error.starts_with("no-such-program is not there"), "{error}");
    }

    #[test]
    fn only_what_can_be_run_is_a_program() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tool");
        std::fs::write(&path, "").unwrap();
        let find = || first_program(vec![folder.path().to_owned()], "tool");
        assert_eq!(find(), None);
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        assert_eq!(find(), Some(path));
    }

    #[test]
    fn a_command_that_fails_says_why() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo so it is >&2; exit 3"]);
        let error = done(&mut command).unwrap_err().to_string();
        assert!(error.ends_with("failed: so it is"), "{error}");
    }
}
