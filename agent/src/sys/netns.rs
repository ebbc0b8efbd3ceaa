// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Network namespaces: a held socket is replayed and destroyed in its own.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;

use nix::sched::{CloneFlags, setns};
use nix::sys::statfs::{NSFS_MAGIC, fstatfs};

/// An open network namespace. It lives on while this is kept, even without processes.
#[derive(Debug)]
pub struct NetNs {
    file: File,
    id: NetNsId,
}

/// Tells network namespaces apart while they exist: device and inode of their nsfs file
/// (namespaces(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NetNsId {
    device: u64,
    inode: u64,
}

/// What went wrong with a namespace.
#[derive(Debug, thiserror::Error)]
pub enum NetNsError {
    /// It can't be opened.
    #[error("can't open the network namespace {}: {source}", path.display())]
    Open {
        /// The file in /proc.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The file isn't one of the kernel's namespace files.
    #[error("{} is no namespace", .0.display())]
    NotANamespace(PathBuf),
    /// No thread for the work.
    #[error("can't start a thread to enter a network namespace: {0}")]
    Thread(io::Error),
    /// The kernel doesn't let the daemon in.
    #[error("can't enter the network namespace: {0}; the daemon needs CAP_SYS_ADMIN")]
    Enter(io::Error),
}

impl NetNs {
    /// The calling thread's own.
    ///
    /// # Errors
    /// If /proc isn't mounted.
    pub fn own() -> Result<Self, NetNsError> {
        Self::open(Path::new("/proc/thread-self/ns/net"))
    }

    /// That of the main thread of a process. Whoever holds a pidfd checks afterwards that the
    /// process is still alive, so that the id did not change hands.
    ///
    /// # Errors
    /// If there is no such process, or it may not be looked at (CAP_SYS_PTRACE).
    pub fn of_process(pid: u32) -> Result<Self, NetNsError> {
        Self::open(Path::new(&format!("/proc/{pid}/ns/net")))
    }

    /// The one behind a namespace file such as `/proc/PID/task/TID/ns/net`.
    ///
    /// # Errors
    /// If it can't be opened or is no namespace file.
    pub fn open(path: &Path) -> Result<Self, NetNsError> {
        let failed = |source| NetNsError::Open {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(failed)?;
        let kind = fstatfs(&file).map_err(|error| failed(error.into()))?;
        if kind.filesystem_type() != NSFS_MAGIC {
            return Err(NetNsError::NotANamespace(path.to_owned()));
        }
        let facts = file.metadata().map_err(failed)?;
        let id = NetNsId {
            device: facts.dev(),
            inode: facts.ino(),
        };
        Ok(Self { file, id })
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> NetNsId {
        self.id
    }

    /// True if both are the same namespace.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl AsFd for NetNs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Runs `work` inside `netns`: right here if the calling thread is in it, otherwise on a
/// thread that enters it first and ends afterwards, so that the caller's own namespace never
/// changes. Sockets that `work` makes and returns stay in `netns`.
///
/// # Errors
/// If the thread can't be made or may not enter; then `work` has not run.
///
/// # Panics
/// If `work` does.
pub fn run_inside<T: Send>(
    netns: &NetNs,
    work: impl FnOnce() -> T + Send,
) -> Result<T, NetNsError> {
    if NetNs::own()?.same_as(netns) {
        return Ok(work());
    }
    thread::scope(|scope| {
        let inside = thread::Builder::new()
            .name("netns".to_owned())
            .spawn_scoped(scope, || {
                setns(netns, CloneFlags::CLONE_NEWNET)
                    .map_err(|error| NetNsError::Enter(error.into()))?;
                Ok(work())
            })
            .map_err(NetNsError::Thread)?;
        inside.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use nix::sched::unshare;

    use super::*;

    /// A fresh namespace, made by a thread that is gone when this returns.
    fn fresh() -> NetNs {
        thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            NetNs::own().unwrap()
        })
        .join()
        .unwrap()
    }

    #[test]
    fn work_runs_inside_the_namespace_and_leaves_the_caller_where_it_was() {
        let before = NetNs::own().unwrap();
        let other = fresh();
        assert!(!before.same_as(&other));
        let seen = run_inside(&other, || NetNs::own().unwrap()).unwrap();
        assert!(seen.same_as(&other));
        assert!(NetNs::own().unwrap().same_as(&before));
    }

    #[test]
    fn loopback_of_a_fresh_namespace_is_not_ours() {
        let ours = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = ours.local_addr().unwrap().port();
        // The port is free there, and loopback is down: only binding works.
        let theirs = run_inside(&fresh(), || TcpListener::bind(("127.0.0.1", port)));
        theirs.unwrap().unwrap();
    }

    #[test]
    fn work_in_our_own_namespace_runs_on_our_own_thread() {
        let here = thread::current().id();
        let there = run_inside(&NetNs::own().unwrap(), || thread::current().id()).unwrap();
        assert_eq!(here, there);
    }

    #[test]
    fn a_plain_file_is_no_namespace() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(
            NetNs::open(file.path()),
            Err(NetNsError::NotANamespace(_))
        ));
    }

    #[test]
    fn our_process_is_in_our_namespace() {
        let process = NetNs::of_process(std::process::id()).unwrap();
        assert_eq!(process.id(), NetNs::own().unwrap().id());
    }
}
