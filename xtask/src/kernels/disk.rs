// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Disks for guests.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::workspace;

/// Makes an ext4 disk image with what is in a folder, and some MiB of room on it.
pub(super) fn make(folder: &Path, image: &Path, room: u64) -> Result<()> {
    // Inodes and block maps take a part too; the file is sparse.
    let size = used(folder)? * 5 / 4 / (1 << 20) + room + 16;
    let mut mke2fs = Command::new("mke2fs");
    mke2fs
        .args(["-q", "-F", "-t", "ext4", "-O", "^has_journal"])
        .args(["-E", "root_owner=0:0", "-d"])
        .arg(folder)
        .arg(image)
        .arg(format!("{size}M"));
    workspace::run(&mut mke2fs)
}

/// Makes an empty ext4 disk image of so many MiB, with a journal, as those of hosts have one.
pub(super) fn make_empty(image: &Path, size: u64) -> Result<()> {
    let file = File::create(image).context("could not make a disk")?;
    file.set_len(size << 20).context("could not make a disk")?;
    let mut mke2fs = Command::new("mke2fs");
    workspace::run(mke2fs.args(["-q", "-F", "-t", "ext4"]).arg(image))
}

/// The bytes of all files below, each rounded up to a block.
fn used(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    let entries =
        fs::read_dir(folder).with_context(|| format!("could not read {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let data = entry.metadata()?;
        bytes += data.len().next_multiple_of(4096);
        if data.is_dir() {
            bytes += used(&entry.path())?;
        }
    }
    Ok(bytes)
}
