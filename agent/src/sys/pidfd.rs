// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A hold on a process that a reused process id can't deceive (`pidfd_open(2)`).
#![expect(unsafe_code, reason = "nix has no wrapper of pidfd_open")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::watch;

/// Refers to one process for as long as it is kept, whatever becomes of its process id.
#[derive(Debug)]
pub struct PidFd(OwnedFd);

/// Why no [`PidFd`] could be had.
#[derive(Debug, thiserror::Error)]
pub enum PidFdError {
    /// No process has this id.
    #[error("process {0} is gone")]
    Gone(u32),
    /// The kernel refused.
    #[error("can't open a pidfd of process {pid}: {source}")]
    Open {
        /// The process id.
        pid: u32,
        /// What the kernel said.
        source: io::Error,
    },
}

impl PidFd {
    /// Opens the process (a thread group) with this id, as the daemon's own pid namespace
    /// counts.
    ///
    /// # Errors
    /// [`PidFdError::Gone`] if there is none, or if `pid` names a thread.
    pub fn open(pid: u32) -> Result<Self, PidFdError> {
        let number = libc::pid_t::try_from(pid).map_err(|_| PidFdError::Gone(pid))?;
        // SAFETY: the call takes two integers and touches no memory of ours.
        let returned = unsafe { libc::syscall(libc::SYS_pidfd_open, number, 0) };
        match Errno::result(returned) {
            Ok(fd) => {
                let fd = libc::c_int::try_from(fd).map_err(|_| PidFdError::Gone(pid))?;
                // SAFETY: the kernel just made this descriptor for us (close-on-exec is
                // always set, pidfd_open(2)); nobody else knows its number.
                Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
            }
            // EINVAL: the id is that of a thread which leads no group, or 0.
            Err(Errno::ESRCH | Errno::EINVAL) => Err(PidFdError::Gone(pid)),
            Err(error) => Err(PidFdError::Open {
                pid,
                source: error.into(),
            }),
        }
    }

    /// Ends the process at once. One that has exited needs nothing more.
    pub fn kill(&self) {
        let none = std::ptr::null::<libc::siginfo_t>();
        // SAFETY: the call takes a descriptor that is open as long as `self` is, two integers, and
        // no memory: without information about the signal the kernel makes its own.
        let _ = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.as_raw_fd(),
                libc::SIGKILL,
                none,
                0,
            )
        };
    }

    /// True until the process has exited. A zombie has.
    ///
    /// Where the kernel can't tell, the process counts as gone.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        let mut waited = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        loop {
            match poll(&mut waited, PollTimeout::ZERO) {
                Ok(ready) => return ready == 0,
                Err(Errno::EINTR) => {}
                Err(_) => return false,
            }
        }
    }

    /// Waits, in tokio, until the process has exited. May be dropped at any time, and be
    /// called several times at once.
    ///
    /// # Errors
    /// If no further descriptor can be had.
    pub async fn exited(&self) -> io::Result<()> {
        // A descriptor of its own, as one number can't be registered twice.
        let fd = watch::readable(self.0.try_clone()?)?;
        fd.readable().await?.retain_ready();
        Ok(())
    }
}

impl AsFd for PidFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for PidFd {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.0.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// `cat` lives until its input is closed.
    fn child() -> std::process::Child {
        Command::new("cat").stdin(Stdio::piped()).spawn().unwrap()
    }

    #[test]
    fn a_process_is_alive_until_it_exits_and_gone_once_it_was_reaped() {
        let mut child = child();
        let pidfd = PidFd::open(child.id()).unwrap();
        assert!(pidfd.is_alive());
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(!pidfd.is_alive());
        assert!(matches!(PidFd::open(child.id()), Err(PidFdError::Gone(_))));
    }

    #[tokio::test]
    async fn an_exit_wakes_everyone_who_waits_for_it() {
        let mut child = child();
        let pidfd = PidFd::open(child.id()).unwrap();
        let stdin = child.stdin.take();
        let (first, second, ()) = tokio::join!(pidfd.exited(), pidfd.exited(), async {
            assert!(pidfd.is_alive());
            drop(stdin);
        });
        first.unwrap();
        second.unwrap();
        assert!(!pidfd.is_alive());
        child.wait().unwrap();
    }

    #[test]
    fn no_process_has_an_id_that_is_no_pid() {
        for pid in [0, u32::MAX] {
            assert!(matches!(PidFd::open(pid), Err(PidFdError::Gone(_))));
        }
    }
}
