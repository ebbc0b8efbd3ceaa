// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Process 1 in the initramfs.

use std::convert::Infallible;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::kmod::{ModuleInitFlags, finit_module};
use nix::mount::{MsFlags, mount};
use nix::unistd::{chdir, chroot};

use super::{BOOT_MODULES, INIT, MODULES_DISK, ROOT_DISK, mount_at, mount_kind};

pub(super) const NEW_ROOT: &str = "/newroot";
/// How long the kernel may take to find a disk.
const PATIENCE: Duration = Duration::from_secs(30);

/// Mounts the disks, and becomes the init of the root disk.
pub(super) fn run() -> Result<Infallible> {
    prepare()?;
    let root = Path::new(NEW_ROOT);
    let (disk, modules) = (disk(ROOT_DISK)?, disk(MODULES_DISK)?);
    mount_at(&disk, "ext4", root, MsFlags::MS_NOATIME)?;
    let modules_at = root.join("lib/modules");
    mount_at(&modules, "ext4", &modules_at, MsFlags::MS_RDONLY)?;
    for folder in ["dev", "proc", "sys"] {
        move_mount(&Path::new("/").join(folder), &root.join(folder))?;
    }
    // As switch_root(8) does.
    chdir(root).context("could not enter the root disk")?;
    move_mount(Path::new("."), Path::new("/"))?;
    chroot(".").context("could not make the root disk the root")?;
    let error = Command::new(INIT).args(["guest", "start"]).exec();
    Err(error).context("could not run the root disk's init")
}

/// Makes the machine fit for finding disks.
pub(super) fn prepare() -> Result<()> {
    mount_kind("proc", "/proc")?;
    mount_kind("sysfs", "/sys")?;
    mount_kind("devtmpfs", "/dev")?;
    load_modules()
}

fn load_modules() -> Result<()> {
    let folder = Path::new("/").join(BOOT_MODULES);
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    files.sort();
    for path in files {
        let file = File::open(&path).context("a module is gone")?;
        finit_module(&file, c"", ModuleInitFlags::empty())
            .with_context(|| format!("could not load {}", path.display()))?;
    }
    Ok(())
}

/// The device of a disk, by the serial number that the emulator gave it.
pub(super) fn disk(serial: &str) -> Result<String> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        for entry in fs::read_dir("/sys/block").context("no /sys/block")? {
            let entry = entry?;
            let found = fs::read_to_string(entry.path().join("serial")).unwrap_or_default();
            if found.trim() == serial {
                return Ok(format!("/dev/{}", entry.file_name().display()));
            }
        }
        // The kernel tells by uevents, of which this would be the only reader.
        std::thread::sleep(Duration::from_millis(20));
    }
    bail!("the kernel finds no disk {serial}")
}

fn move_mount(from: &Path, to: &Path) -> Result<()> {
    let nothing = None::<&str>;
    mount(Some(from), to, nothing, MsFlags::MS_MOVE, nothing)
        .with_context(|| format!("could not move {}", from.display()))
}
