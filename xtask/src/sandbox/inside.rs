// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The part of xtask that runs inside: it comes up in fresh namespaces, furnishes them, and
//! becomes the command.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};

use super::cgroup::Cgroup;
use super::{loopback, users};

/// Where the shared folder lies, below the sandbox's own.
pub(super) const SHARED: &str = "shared";
const BPFFS: &str = "/sys/fs/bpf";

/// What the outside tells the inside.
#[derive(Debug, clap::Args)]
pub(crate) struct Inside {
    /// The cgroup to join.
    #[arg(long)]
    cgroup: PathBuf,
    /// The mount point of the sandbox's own tmpfs.
    #[arg(long)]
    folder: PathBuf,
    /// The folder that all users inside may read.
    #[arg(long)]
    shared: PathBuf,
    /// The command to become, and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// Furnishes the sandbox, and becomes the command. Returns only if that fails.
pub(crate) fn enter(inside: &Inside) -> Result<std::convert::Infallible> {
    Cgroup::adopt(inside.cgroup.clone()).add(std::process::id())?;
    furnish(inside)?;
    let (program, arguments) = inside.command.split_first().context("no command")?;
    let error = Command::new(program)
        .args(arguments)
        .env("STILE_SANDBOX", "1")
        .env("STILE_TEST_CGROUP", &inside.cgroup)
        .env("TMPDIR", inside.folder.join("tmp"))
        .exec();
    Err(error).with_context(|| format!("could not run {}", program.display()))
}

fn furnish(inside: &Inside) -> Result<()> {
    let folder = &inside.folder;
    mount_fs("tmpfs", folder, Some("mode=0755"))?;
    let [etc, home, tmp, shared] = ["etc", "home", "tmp", SHARED].map(|name| folder.join(name));
    for path in [&etc, &home, &tmp, &shared] {
        std::fs::create_dir(path).with_context(|| format!("could not make {}", path.display()))?;
        // Whatever the umask is.
        let mode = if path == &tmp { 0o1777 } else { 0o755 };
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode))
            .with_context(|| format!("could not open {}", path.display()))?;
    }
    users::create(&etc, &home)?;
    bind(&etc.join("passwd"), Path::new("/etc/passwd"))?;
    bind(&etc.join("group"), Path::new("/etc/group"))?;
    bind(&inside.shared, &shared)?;
    mount_fs("bpf", Path::new(BPFFS), Some("mode=0700"))?;
    loopback::up()
}

fn mount_fs(kind: &str, at: &Path, data: Option<&str>) -> Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some(kind), at, Some(kind), flags, data)
        .with_context(|| format!("could not mount a {kind} on {}", at.display()))
}

fn bind(source: &Path, at: &Path) -> Result<()> {
    mount(
        Some(source),
        at,
        None::<&str>,
        MsFlags::MS_BIND,
        None::<&str>,
    )
    .with_context(|| format!("could not mount {} over {}", source.display(), at.display()))
}
