// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a process runs, and whether that can be taken for what an admin put there.
//!
//! It is looked at when it is asked, not when the process connected: what runs now has the
//! socket in its hands.

mod digest;
mod doubt;
mod mounts;
#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use self::digest::{Digests, FileState};
pub use self::digest::{MAX_HASHED, NoDigest};
pub use self::doubt::{Doubt, of_program_at as doubt_of_program_at};
#[cfg(any(test, feature = "fuzzing"))]
pub(super) use self::mounts::mount_of as fuzz_mounts;
use super::process::Process;
use super::procfs::ProcFs;

/// Looks at programs, and remembers their digests.
#[derive(Debug)]
pub struct Programs {
    procfs: ProcFs,
    /// Directories above this one are taken for root's.
    top: PathBuf,
    digests: Mutex<Digests>,
}

/// What a process runs.
#[derive(Debug)]
pub struct Examined {
    /// The path of the file; the one it had, if it has none any more.
    pub path: PathBuf,
    /// Why it can't be taken for what an admin put there, if so.
    pub doubt: Option<Doubt>,
    state: FileState,
}

/// Why it can't be told what a process runs.
#[derive(Debug, thiserror::Error)]
pub enum NoProgram {
    /// It has ended.
    #[error("process {0} has exited")]
    Exited(u32),
    /// It runs no file, or /proc can't be read.
    #[error("what process {pid} runs can't be told: {source}")]
    Unreadable {
        /// The process.
        pid: u32,
        /// What the kernel said.
        source: io::Error,
    },
}

impl Programs {
    /// The programs of the processes in this /proc.
    #[must_use]
    pub fn new(procfs: ProcFs) -> Self {
        Self {
            procfs,
            top: PathBuf::from("/"),
            digests: Mutex::default(),
        }
    }

    /// Looks at what a process runs.
    ///
    /// # Errors
    /// If it has exited, or can't be looked at.
    pub fn examine(&self, process: &Process) -> Result<Examined, NoProgram> {
        let examined = self.look(process);
        // Alive now means that all of it was this process's.
        if !process.pidfd.is_alive() {
            return Err(NoProgram::Exited(process.pid));
        }
        let pid = process.pid;
        examined.map_err(|source| NoProgram::Unreadable { pid, source })
    }

    fn look(&self, process: &Process) -> io::Result<Examined> {
        let exe = self.procfs.exe(process.pid);
        let read_as = std::fs::read_link(&exe)?;
        // Reads nothing, and asks no file system to open anything.
        let file = open(&exe, libc::O_PATH)?;
        if std::fs::read_link(&exe)? != read_as {
            return Err(io::Error::other("it changes at this moment"));
        }
        let doubt = self.doubt_before_the_file(process, &file, &read_as);
        // A file system that a user serves might never answer.
        if let Some(doubt) = doubt {
            let path = without_mark(&read_as).unwrap_or(&read_as).to_owned();
            return Ok(Examined {
                path,
                doubt: Some(doubt),
                state: FileState::default(),
            });
        }
        let facts = file.metadata()?;
        let (path, doubt) = doubt::of_file(&facts, &read_as, &self.top);
        Ok(Examined {
            path,
            doubt,
            state: FileState::of(&facts),
        })
    }

    /// What makes the file itself not worth a look.
    fn doubt_before_the_file(
        &self,
        process: &Process,
        file: &File,
        read_as: &Path,
    ) -> Option<Doubt> {
        if read_as.as_os_str().as_bytes().starts_with(b"/memfd:") && without_mark(read_as).is_some()
        {
            return Some(Doubt::Memory);
        }
        if !self.procfs.is_in_own_user_namespace(process.pid) {
            return Some(Doubt::UserNamespace);
        }
        doubt::of_mount(file, &self.procfs, process.pid, read_as)
    }

    /// The SHA-256 of what a process runs. Takes as long as it takes to read the file, the
    /// first time.
    ///
    /// # Errors
    /// If it is in doubt what it runs, if that can't be read, or is longer than [`MAX_HASHED`].
    pub fn digest(&self, process: &Process, program: &Examined) -> Result<[u8; 32], NoDigest> {
        // Only what nobody but root may change is worth it, and can't change meanwhile.
        if let Some(doubt) = &program.doubt {
            return Err(NoDigest::Doubtful(doubt.to_string()));
        }
        let file = open(&self.procfs.exe(process.pid), 0)?;
        // A panic leaves no digest half remembered.
        let mut digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        let digest = digests.of(file, &program.state)?;
        if process.pidfd.is_alive() {
            Ok(digest)
        } else {
            Err(NoDigest::Changed)
        }
    }
}

fn open(path: &Path, flags: i32) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(flags | libc::O_NONBLOCK)
        .open(path)
}

/// The path without the mark that the kernel puts on one that is gone. A file may also be
/// called so.
fn without_mark(path: &Path) -> Option<&Path> {
    let former = path.as_os_str().as_bytes().strip_suffix(b" (deleted)")?;
    Some(Path::new(OsStr::from_bytes(former)))
}
