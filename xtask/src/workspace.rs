// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where things lie in the workspace, and how cargo is run in it.

use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};
use cargo_metadata::semver::Version;
use cargo_metadata::{Message, Metadata, MetadataCommand, Package};

/// The workspace that this xtask was built from.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// Its root.
    pub(crate) root: PathBuf,
    metadata: Metadata,
}

impl Workspace {
    /// Asks cargo for the workspace. It must be the root that is asked about: seen from a
    /// member, that member is the only one that is built by default.
    pub(crate) fn load() -> Result<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
        let metadata = MetadataCommand::new()
            .manifest_path(manifest)
            .exec()
            .context(
                "`cargo metadata` failed; does the workspace still lie where xtask was built?",
            )?;
        Ok(Self {
            root: metadata.workspace_root.clone().into_std_path_buf(),
            metadata,
        })
    }

    /// Where cargo puts the agent's binaries and the tests.
    pub(crate) fn target(&self) -> &Path {
        self.metadata.target_directory.as_std_path()
    }

    /// A target directory of its own for the kernel program, so that neither build throws
    /// away what the other one made.
    pub(crate) fn ebpf_target(&self) -> PathBuf {
        self.root.join("target/ebpf")
    }

    /// Tools that the tasks install for themselves.
    pub(crate) fn tools(&self) -> PathBuf {
        self.root.join("target/tools")
    }

    /// Kernels, and the guests that run them.
    pub(crate) fn kernels(&self) -> PathBuf {
        self.root.join("target/kernels")
    }

    /// Where the agent's build script looks for the kernel program.
    pub(crate) fn gate_object(&self, target: &str) -> PathBuf {
        self.root.join(format!("target/gate/stile-gate-{target}.o"))
    }

    /// A package of the workspace.
    pub(crate) fn package(&self, name: &str) -> Result<&Package> {
        self.metadata
            .workspace_packages()
            .into_iter()
            .find(|package| package.name.as_str() == name)
            .with_context(|| format!("the workspace has no package {name}"))
    }

    /// The names of what cargo builds by default.
    pub(crate) fn default_packages(&self) -> Vec<String> {
        self.metadata
            .workspace_default_packages()
            .into_iter()
            .map(|package| package.name.to_string())
            .collect()
    }

    /// Builds `stiled` and `stile`; returns the folder in which they lie.
    pub(crate) fn build_agent(&self, release: bool) -> Result<PathBuf> {
        self.build_programs(&["stile"], release)
    }

    /// Builds the programs of these packages, `stile` among them; returns the folder in which
    /// they lie.
    pub(crate) fn build_programs(&self, packages: &[&str], release: bool) -> Result<PathBuf> {
        let mut cargo = self.cargo();
        cargo.args(["build", "--locked", "--bins"]);
        for package in packages {
            cargo.args(["--package", package]);
        }
        if release {
            cargo.arg("--release");
        }
        let mut folder = None;
        artifacts(&mut cargo, |message| {
            if let Message::CompilerArtifact(artifact) = message
                && artifact.target.name == "stiled"
                && let Some(path) = artifact.executable
            {
                folder = path.parent().map(|path| path.as_std_path().to_owned());
            }
        })?;
        folder.context("cargo built no stiled")
    }

    /// The newest Rust that one of these packages asks for, of the workspace or not.
    pub(crate) fn newest_rust_version(&self, names: &[&str]) -> Version {
        self.metadata
            .packages
            .iter()
            .filter(|package| names.contains(&package.name.as_str()))
            .filter_map(|package| package.rust_version.clone())
            .max()
            .unwrap_or(Version::new(0, 0, 0))
    }

    /// The cargo that runs this xtask, in the workspace's root.
    pub(crate) fn cargo(&self) -> Command {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.current_dir(&self.root);
        command
    }
}

/// Runs a cargo command that builds, showing its progress, and hands over its messages.
pub(crate) fn artifacts(cargo: &mut Command, mut each: impl FnMut(Message)) -> Result<()> {
    cargo
        .arg("--message-format=json-render-diagnostics")
        .stdout(Stdio::piped());
    let mut child = cargo
        .spawn()
        .with_context(|| format!("could not start `{}`", shown(cargo)))?;
    if let Some(output) = child.stdout.take() {
        for message in Message::parse_stream(BufReader::new(output)) {
            each(message.context("cargo's messages can't be read")?);
        }
    }
    let status = child.wait().context("could not wait for cargo")?;
    if !status.success() {
        bail!("`{}` failed: {status}", shown(cargo));
    }
    Ok(())
}

/// Runs a command to its end; anything but success is an error that shows the command.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = status(command)?;
    if !status.success() {
        bail!("`{}` failed: {status}", shown(command));
    }
    Ok(())
}

/// Runs a command to its end.
pub(crate) fn status(command: &mut Command) -> Result<ExitStatus> {
    command
        .status()
        .with_context(|| format!("could not start `{}`", shown(command)))
}

/// What a command prints, if it succeeds.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("could not start `{}`", shown(command)))?;
    if !output.status.success() {
        bail!(
            "`{}` failed: {}\n{}",
            shown(command),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

/// The program of this name in PATH.
pub(crate) fn which(name: &str) -> Option<PathBuf> {
    in_path(name).next()
}

/// All programs of this name in PATH, in its order.
pub(crate) fn in_path(name: &str) -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found: Vec<PathBuf> = std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .filter(|file| file.is_file())
        .collect();
    found.into_iter()
}

#[cfg(test)]
mod tests {
    use super::Workspace;

    #[test]
    fn the_unit_suite_has_more_than_xtask_in_it() {
        let packages = Workspace::load().unwrap().default_packages();
        assert!(packages.iter().any(|name| name == "stile"), "{packages:?}");
        assert!(packages.iter().any(|name| name == "xtask"), "{packages:?}");
    }
}
