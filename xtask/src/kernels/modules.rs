// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A kernel's modules.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::workspace;

/// What must be loaded before a disk can be mounted. In newer kernels some are built in.
const FOR_BOOT: [&str; 3] = ["virtio_pci", "virtio_blk", "ext4"];

/// Writes down which module needs which, for modprobe(8). `base` has `lib/modules` in it.
pub(super) fn index(base: &Path, release: &str) -> Result<()> {
    workspace::output(Command::new("depmod").arg("-b").arg(base).arg(release)).map(drop)
}

/// Copies what is needed for booting into a folder, uncompressed, named in loading order.
pub(super) fn take_for_boot(base: &Path, release: &str, to: &Path) -> Result<()> {
    fs::create_dir_all(to).context("could not make a folder for modules")?;
    let mut taken: Vec<PathBuf> = Vec::new();
    for module in FOR_BOOT {
        let mut modprobe = Command::new("modprobe");
        modprobe.arg("-d").arg(base).args(["-S", release]);
        let shown = workspace::output(modprobe.args(["--show-depends", module]))?;
        for file in shown.lines().filter_map(loads) {
            if taken.contains(&file) {
                continue;
            }
            copy(&file, &to.join(format!("{:02}.ko", taken.len())))?;
            taken.push(file);
        }
    }
    Ok(())
}

/// Reads a line of `modprobe --show-depends`: what isn't built in has a file.
fn loads(line: &str) -> Option<PathBuf> {
    Some(PathBuf::from(line.trim().strip_prefix("insmod ")?))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if from.extension().is_none_or(|extension| extension != "xz") {
        fs::copy(from, to).with_context(|| format!("could not copy {}", from.display()))?;
        return Ok(());
    }
    let mut xz = Command::new("xz");
    xz.arg("-dc")
        .arg(from)
        .stdout(Stdio::from(File::create(to)?));
    workspace::run(&mut xz)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_built_in_is_loaded() {
        assert_eq!(loads("insmod /m/a.ko.xz "), Some("/m/a.ko.xz".into()));
        assert_eq!(loads("builtin ext4"), None);
    }
}
