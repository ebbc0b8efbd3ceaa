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

/// Where logind keeps its sessions: those of the tests are none of the machine's.
const SESSIONS: &str = "/run/systemd/sessions";

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
    let [etc, work, home, tmp, shared] =
        ["etc", "work", "home", "tmp", SHARED].map(|name| folder.join(name));
    for path in [&etc, &work, &home, &tmp, &shared] {
        std::fs::create_dir(path).with_context(|| format!("could not make {}", path.display()))?;
        // Whatever the umask is.
        let mode = if path == &tmp { 0o1777 } else { 0o755 };
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode))
            .with_context(|| format!("could not open {}", path.display()))?;
    }
    users::create(&etc, &home)?;
    lay_over_etc(&etc, &work)?;
    bind(&inside.shared, &shared)?;
    mount_fs("bpf", Path::new(BPFFS), Some("mode=0700"))?;
    std::fs::create_dir_all(SESSIONS).with_context(|| format!("could not make {SESSIONS}"))?;
    mount_fs("tmpfs", Path::new(SESSIONS), Some("mode=0755"))?;
    loopback::up()
}

fn mount_fs(kind: &str, at: &Path, data: Option<&str>) -> Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some(kind), at, Some(kind), flags, data)
        .with_context(|| format!("could not mount a {kind} on {}", at.display()))
}

/// Lays the files in `etc` over those of the host. The whole folder is covered: a mount on one
/// file is gone as soon as the host replaces that file, as useradd and apt do. Where the kernel
/// has no overlayfs, each file has to do.
fn lay_over_etc(etc: &Path, work: &Path) -> Result<()> {
    let data = format!(
        "lowerdir=/etc,upperdir={},workdir={}",
        etc.display(),
        work.display()
    );
    if mount_fs("overlay", Path::new("/etc"), Some(&data)).is_ok() {
        return Ok(());
    }
    for file in ["passwd", "group", "subuid"] {
        bind(&etc.join(file), &Path::new("/etc").join(file))?;
    }
    Ok(())
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
