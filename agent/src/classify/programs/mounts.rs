// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which mount an open file lies on: its descriptor's `mnt_id` (proc_pid_fdinfo(5)), found in
//! the lists of mounts (proc_pid_mountinfo(5)).

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use super::super::procfs::ProcFs;
use crate::sys::file::read_bounded;

/// Some lines of numbers; an O_PATH descriptor has no more.
const MAX_FDINFO: usize = 4096;
/// A host with thousands of containers has some ten thousand mounts, of 200 bytes each.
const MAX_MOUNTINFO: usize = 8 << 20;

/// What matters of a mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::classify) struct Mount {
    /// The type of its file system.
    pub(super) kind: Vec<u8>,
    pub(super) nosuid: bool,
}

impl Mount {
    /// True if a process in user space says what is in it: `fuse`, `fuseblk`, `fuse.sshfs`.
    pub(super) fn is_fuse(&self) -> bool {
        self.kind.starts_with(b"fuse")
    }
}

/// The mount that an open file of process `pid` lies on: one of the daemon's own, or of the
/// process's. Ids of mounts are the machine's.
pub(super) fn mount_under(file: &File, procfs: &ProcFs, pid: u32) -> io::Result<Mount> {
    let missing = || io::Error::new(io::ErrorKind::NotFound, "its mount can't be told");
    let fdinfo = format!("/proc/self/fdinfo/{}", file.as_raw_fd());
    let fdinfo = read_bounded(Path::new(&fdinfo), MAX_FDINFO)?;
    let id = mount_id(&fdinfo).ok_or_else(missing)?;
    let own = read_bounded(Path::new("/proc/self/mountinfo"), MAX_MOUNTINFO)?;
    if let Some(mount) = mount_of(&own, id) {
        return Ok(mount);
    }
    let theirs = read_bounded(&procfs.mountinfo(pid), MAX_MOUNTINFO)?;
    mount_of(&theirs, id).ok_or_else(missing)
}

fn mount_id(fdinfo: &[u8]) -> Option<u64> {
    let mut lines = fdinfo.split(|byte| *byte == b'\n');
    let id = lines.find_map(|line| line.strip_prefix(b"mnt_id:"))?;
    std::str::from_utf8(id).ok()?.trim().parse().ok()
}

/// The mount with this id. Blanks in paths are escaped there.
pub(in crate::classify) fn mount_of(mountinfo: &[u8], id: u64) -> Option<Mount> {
    let id = id.to_string();
    let mut lines = mountinfo.split(|byte| *byte == b'\n');
    lines.find_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ');
        if fields.next()? != id.as_bytes() {
            return None;
        }
        // Its parent, the device, the root and the point come before its options.
        let options = fields.nth(4)?;
        fields.find(|field| *field == b"-")?;
        let mut options = options.split(|byte| *byte == b',');
        Some(Mount {
            kind: fields.next()?.to_owned(),
            nosuid: options.any(|option| option == b"nosuid"),
        })
    })
}
