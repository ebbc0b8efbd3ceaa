// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads what /proc says about a process (proc(5)). Numbers and names only; whether they
//! still belong to the process that is meant, is for [`super::process`] to check.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::escape::printable;
use super::session::cgroup_path;
use super::tty::{Terminal, TtyName};
use crate::ids::Uid;
use crate::sys::file::read_bounded;
use crate::sys::netns::{NetNs, NetNsError};

/// `stat` is a line of some 50 numbers and a name of at most 64 bytes.
const MAX_STAT: usize = 4096;
/// `status` grows with the groups (65,536 at most, of which 6,000 fit), `cgroup` with the
/// depth of the hierarchies.
const MAX_FILE: usize = 64 * 1024;
/// The thread name has 15 bytes, that of a kernel worker 64.
const COMM_CHARS: usize = 64;
/// What audit calls "unset": `(uid_t)-1`.
const UNSET: u32 = u32::MAX;

/// A /proc, or in tests a tree that looks like one.
#[derive(Clone, Debug)]
pub struct ProcFs {
    root: PathBuf,
}

/// A file of /proc that can't be used.
#[derive(Debug, thiserror::Error)]
#[error("can't read {}: {source}", path.display())]
pub struct ProcError {
    /// The file.
    pub path: PathBuf,
    /// What the kernel said, or what is wrong with the content.
    pub source: io::Error,
}

/// The fields of `/proc/PID/stat` that matter here (proc_pid_stat(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    /// The main thread's name, escaped.
    pub(super) comm: String,
    pub(super) parent: u32,
    pub(super) terminal: Option<Terminal>,
    /// It has a controlling terminal of any kind.
    pub(super) has_terminal: bool,
    /// Clock ticks from boot to its start.
    pub(super) started: u64,
}

/// Real and effective uid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Uids {
    pub(super) real: Uid,
    pub(super) effective: Uid,
}

/// The file that a process runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its path, as the kernel knows it. Any byte may stand in it: show [`Program::shown`].
    pub path: PathBuf,
    /// The file has no name any more, as after a package's update. `path` is the one it had.
    pub exe_deleted: bool,
    /// In the daemon's own view of the file system, `path` is the very file that runs. It is
    /// not in a container, nor where a user namespace lets anyone mount anything anywhere.
    pub here: bool,
}

/// Longest path that is shown.
const PATH_CHARS: usize = 256;

impl Program {
    /// True if the process runs the file at `path` of the host: what a rule means by naming a
    /// program.
    #[must_use]
    pub fn is(&self, path: &Path) -> bool {
        self.here && !self.exe_deleted && self.path == path
    }

    /// The path, for people.
    #[must_use]
    pub fn shown(&self) -> String {
        printable(self.path.as_os_str().as_bytes(), PATH_CHARS)
    }

    /// The file's name without its directory, for people.
    #[must_use]
    pub fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or(self.path.as_os_str());
        printable(name.as_bytes(), PATH_CHARS)
    }
}

impl ProcFs {
    /// The daemon's own /proc.
    #[must_use]
    pub fn new() -> Self {
        Self::at("/proc")
    }

    /// Another one.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        Self { root }
    }

    /// The terminal of a process, now. None if it has none, or can't be read, or if the
    /// process lives in another pid namespace: its `pts/3` isn't ours.
    #[must_use]
    pub fn terminal_of(&self, pid: u32) -> Option<Terminal> {
        let terminal = self.stat(pid).ok()?.terminal?;
        let theirs = self.read_link(&self.path(pid, "ns/pid")).ok()?;
        let ours = self.read_link(&self.root.join("self/ns/pid")).ok()?;
        (theirs == ours).then_some(terminal)
    }

    pub(super) fn stat(&self, pid: u32) -> Result<Stat, ProcError> {
        let path = self.path(pid, "stat");
        let content = read(&path, MAX_STAT)?;
        parse_stat(&content).ok_or_else(|| malformed(path))
    }

    pub(super) fn uids(&self, pid: u32) -> Result<Uids, ProcError> {
        let path = self.path(pid, "status");
        let content = read(&path, MAX_FILE)?;
        parse_uids(&content).ok_or_else(|| malformed(path))
    }

    /// The process's cgroup in the hierarchy of version 2.
    pub(super) fn cgroup(&self, pid: u32) -> Result<PathBuf, ProcError> {
        let path = self.path(pid, "cgroup");
        let content = read(&path, MAX_FILE)?;
        cgroup_path(&content).ok_or_else(|| malformed(path))
    }

    /// A number that audit keeps for each process, if it is set and the kernel has audit.
    pub(super) fn audit_number(&self, pid: u32, file: &str) -> Option<u32> {
        let content = read(&self.path(pid, file), MAX_STAT).ok()?;
        let number = std::str::from_utf8(&content).ok()?.trim().parse().ok()?;
        (number != UNSET).then_some(number)
    }

    /// None for a kernel thread, or where the path is too long to be told.
    pub(super) fn program(&self, pid: u32) -> Option<Program> {
        const DELETED: &[u8] = b" (deleted)";
        let exe = self.path(pid, "exe");
        let path = self.read_link(&exe).ok()?;
        let here = is_same_file(&exe, &path);
        // A file may be called so; then it is there.
        match path.as_os_str().as_bytes().strip_suffix(DELETED) {
            Some(former) if !here => Some(Program {
                path: PathBuf::from(OsStr::from_bytes(former)),
                exe_deleted: true,
                here: false,
            }),
            _ => Some(Program {
                path,
                exe_deleted: false,
                here,
            }),
        }
    }

    /// The link that leads to the file that a process runs.
    pub(super) fn exe(&self, pid: u32) -> PathBuf {
        self.path(pid, "exe")
    }

    /// The list of mounts that a process sees.
    pub(super) fn mountinfo(&self, pid: u32) -> PathBuf {
        self.path(pid, "mountinfo")
    }

    /// True if a process is in the daemon's user namespace, also where the kernel has none.
    pub(super) fn is_in_own_user_namespace(&self, pid: u32) -> bool {
        let theirs = self.read_link(&self.path(pid, "ns/user"));
        let ours = self.read_link(&self.root.join("self/ns/user"));
        match (theirs, ours) {
            (Ok(theirs), Ok(ours)) => theirs == ours,
            (Err(theirs), Err(ours)) => [theirs, ours]
                .iter()
                .all(|error| error.kind() == io::ErrorKind::NotFound),
            _ => false,
        }
    }

    /// The network namespace of a thread; that of its process if the thread is gone.
    pub(super) fn netns(&self, pid: u32, tid: u32) -> Result<NetNs, NetNsError> {
        NetNs::open(&self.path(pid, &format!("task/{tid}/ns/net")))
            .or_else(|_| NetNs::open(&self.path(pid, "ns/net")))
    }

    fn path(&self, pid: u32, file: &str) -> PathBuf {
        self.root.join(pid.to_string()).join(file)
    }

    /// The kernel bounds it to a page.
    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        std::fs::read_link(path)
    }
}

impl Default for ProcFs {
    fn default() -> Self {
        Self::new()
    }
}

fn read(path: &Path, limit: usize) -> Result<Vec<u8>, ProcError> {
    read_bounded(path, limit).map_err(|source| ProcError {
        path: path.to_owned(),
        source,
    })
}

fn malformed(path: PathBuf) -> ProcError {
    ProcError {
        path,
        source: io::Error::new(io::ErrorKind::InvalidData, "it has another format"),
    }
}

/// True if both paths lead to one file; `exe` is followed by the kernel, whatever it reads as.
fn is_same_file(exe: &Path, path: &Path) -> bool {
    let identity = |path| {
        std::fs::metadata(path)
            .ok()
            .map(|facts| (facts.dev(), facts.ino()))
    };
    identity(exe).is_some_and(|running| identity(path) == Some(running))
}

/// Fields are counted from the last `)`: the name before it may contain anything.
pub(super) fn parse_stat(content: &[u8]) -> Option<Stat> {
    let open = content.iter().position(|byte| *byte == b'(')?;
    let close = content.iter().rposition(|byte| *byte == b')')?;
    let comm = content.get(open + 1..close)?;
    let fields: Vec<_> = std::str::from_utf8(&content[close + 1..])
        .ok()?
        .split_ascii_whitespace()
        .collect();
    // Field 3, the state, is the first one.
    let field = |number: usize| fields.get(number - 3);
    let group: u32 = field(5)?.parse().ok()?;
    let tty_nr = field(7)?.parse().ok()?;
    let terminal = TtyName::from_tty_nr(tty_nr).map(|tty| Terminal {
        tty,
        group,
        foreground: field(8).and_then(|tpgid| tpgid.parse().ok()),
    });
    Some(Stat {
        comm: printable(comm, COMM_CHARS),
        parent: field(4)?.parse().ok()?,
        terminal,
        has_terminal: tty_nr != 0,
        started: field(22)?.parse().ok()?,
    })
}

/// The name stands in `status` too, but with its newlines escaped by the kernel.
pub(super) fn parse_uids(content: &[u8]) -> Option<Uids> {
    let mut lines = content.split(|byte| *byte == b'\n');
    let line = lines.find_map(|line| line.strip_prefix(b"Uid:"))?;
    let mut numbers = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
    let mut next = || numbers.next()?.parse().ok().map(Uid);
    Some(Uids {
        real: next()?,
        effective: next()?,
    })
}
