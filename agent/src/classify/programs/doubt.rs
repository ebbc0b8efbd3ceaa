// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why a file can't be taken for what an admin put there.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::super::escape::printable;
use super::super::procfs::ProcFs;
use super::mounts::{Mount, mount_under};
use super::without_mark;

/// Who may put a program where a rule expects it.
const ROOT: u32 = 0;
/// Writable by the group or by everybody. A POSIX ACL that lets somebody write shows in the
/// bits of the group, so even root's group doesn't pass.
const BY_OTHERS: u32 = 0o022;
/// Longest path that is shown.
const PATH_CHARS: usize = 256;

/// Why a file can't be taken for what an admin put there.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// No file at all.
    #[error("it runs from memory, not from a file")]
    Memory,
    /// In a user namespace of its own a process may set what `/proc/PID/exe` says
    /// (`PR_SET_MM_MAP` takes CAP_CHECKPOINT_RESTORE there only).
    #[error("it runs in a user namespace, where it can pass for any program")]
    UserNamespace,
    /// The path is another file here, or none.
    #[error("it runs in another view of the file system, as in a container")]
    Elsewhere,
    /// An update, or somebody who covers their tracks.
    #[error("{0} was deleted since it was started")]
    Deleted(String),
    /// An update, or somebody who covers their tracks.
    #[error("{0} was replaced since it was started")]
    Replaced(String),
    /// A file or directory of somebody else's.
    #[error("{path} belongs to uid {uid}, not to root")]
    Owner {
        /// The file, or a directory above it.
        path: String,
        /// Whose it is.
        uid: u32,
    },
    /// A file or directory that others can change.
    #[error("{path} can be written by others than root (mode {mode:04o})")]
    Writable {
        /// The file, or a directory above it.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// What it contains is up to a process.
    #[error("{0} is on a FUSE file system: who serves it says what is in it")]
    Fuse(String),
    /// As everything is mounted that users may mount (fstab's `user`, udisks, fusermount).
    #[error("{0} is on a file system that is mounted nosuid, as those of users are")]
    Nosuid(String),
    /// It can't be looked at.
    #[error("{path} can't be examined: {why}")]
    Unexamined {
        /// The file, or a directory above it.
        path: String,
        /// Why not.
        why: String,
    },
}

/// The path of the file that runs, and what is wrong with it or the directories above.
pub(super) fn of_file(facts: &Metadata, read_as: &Path, top: &Path) -> (PathBuf, Option<Doubt>) {
    let there = |path: &Path| std::fs::symlink_metadata(path);
    let is_it = |found: &Metadata| (found.dev(), found.ino()) == (facts.dev(), facts.ino());
    let found = there(read_as);
    if found.as_ref().is_ok_and(is_it) {
        return (read_as.to_owned(), of_path(facts, read_as, top).err());
    }
    if let Some(former) = without_mark(read_as) {
        let shown = shown(former);
        let doubt = match there(former) {
            Ok(_) => Doubt::Replaced(shown),
            Err(_) => Doubt::Deleted(shown),
        };
        return (former.to_owned(), Some(doubt));
    }
    (read_as.to_owned(), Some(Doubt::Elsewhere))
}

/// What would be in doubt about a program at this path, if it were started now.
#[must_use]
pub fn of_program_at(path: &Path) -> Option<Doubt> {
    let look = || {
        let file = super::open(path, libc::O_PATH)?;
        Ok((file.metadata()?, file))
    };
    let (facts, file) = match look() {
        Ok(found) => found,
        Err(error) => return Some(unexamined(path, &error)),
    };
    let on_mount = of_mount(&file, &ProcFs::default(), std::process::id(), path);
    on_mount.or_else(|| of_path(&facts, path, Path::new("/")).err())
}

fn of_path(facts: &Metadata, path: &Path, top: &Path) -> Result<(), Doubt> {
    is_roots(facts, path)?;
    let above = path.ancestors().skip(1);
    for directory in above.take_while(|directory| directory.starts_with(top)) {
        let facts = std::fs::symlink_metadata(directory);
        let facts = facts.map_err(|error| unexamined(directory, &error))?;
        // The kernel's path has no links: it has become one since.
        if !facts.is_dir() {
            return Err(Doubt::Elsewhere);
        }
        is_roots(&facts, directory)?;
    }
    Ok(())
}

fn is_roots(facts: &Metadata, path: &Path) -> Result<(), Doubt> {
    let (uid, mode) = (facts.uid(), facts.mode() & 0o7777);
    let path = || shown(path);
    if uid != ROOT {
        return Err(Doubt::Owner { path: path(), uid });
    }
    if mode & BY_OTHERS != 0 {
        return Err(Doubt::Writable { path: path(), mode });
    }
    Ok(())
}

/// What is wrong with the mount that an open file lies on. Asks the kernel only, never a file
/// system.
pub(super) fn of_mount(file: &File, procfs: &ProcFs, pid: u32, path: &Path) -> Option<Doubt> {
    match mount_under(file, procfs, pid) {
        Ok(mount) => of_mount_type(&mount, path),
        Err(error) => Some(unexamined(path, &error)),
    }
}

pub(super) fn of_mount_type(mount: &Mount, path: &Path) -> Option<Doubt> {
    if mount.is_fuse() {
        return Some(Doubt::Fuse(shown(path)));
    }
    mount.nosuid.then(|| Doubt::Nosuid(shown(path)))
}

fn unexamined(path: &Path, error: &io::Error) -> Doubt {
    Doubt::Unexamined {
        path: shown(path),
        why: error.to_string(),
    }
}

fn shown(path: &Path) -> String {
    printable(path.as_os_str().as_bytes(), PATH_CHARS)
}
