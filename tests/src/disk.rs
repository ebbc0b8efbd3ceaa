// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Disks that can be full.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// Room for an empty ledger and a few hundred records.
const SIZE: &str = "size=8m,mode=0700";

/// One disk for the ledger, one for the audit log.
#[derive(Debug)]
pub struct Disks {
    // Dropped first: it is mounted below the other one.
    /// The audit log's.
    pub audit: Disk,
    /// The ledger's.
    pub ledger: Disk,
}

impl Disks {
    /// Mounts them where a daemon with this state directory writes.
    pub(crate) fn mount(state: &Path) -> Self {
        let ledger = Disk::mount(state.to_owned());
        let audit = Disk::mount(state.join("audit"));
        Self { audit, ledger }
    }
}

/// A small disk, gone when this is dropped.
#[derive(Debug)]
pub struct Disk(PathBuf);

impl Disk {
    fn mount(path: PathBuf) -> Self {
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).unwrap();
        let tmpfs = Some("tmpfs");
        mount(tmpfs, &path, tmpfs, MsFlags::empty(), Some(SIZE)).unwrap();
        Self(path)
    }

    /// Fills it to the last byte.
    pub fn fill(&self) {
        let mut file = File::create(self.filler()).unwrap();
        let block = [0; 4096];
        while file.write_all(&block).is_ok() {}
    }

    /// Undoes [`Self::fill`].
    pub fn make_room(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Those of a host whose daemon still runs go when that ends.
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}
