// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Notices when systemd makes cgroups for sessions (inotify(7); cgroup2 reports the making of
//! directories).

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

/// Watches for directories that appear.
#[derive(Debug)]
pub struct SliceWatch(Inotify);

impl SliceWatch {
    /// A watch of nothing yet.
    ///
    /// # Errors
    /// If the kernel has no inotify instance left (fs.inotify.max_user_instances).
    pub fn new() -> io::Result<Self> {
        Ok(Self(Inotify::init(
            InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK,
        )?))
    }

    /// Watches one directory more. One that isn't there is no error: its parent tells when it
    /// appears. One that is watched already stays so.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn add(&self, directory: &Path) -> io::Result<()> {
        let flags = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_ONLYDIR;
        match self.0.add_watch(directory, flags) {
            Ok(_) | Err(Errno::ENOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Forgets what has happened so far. What appeared is looked up by the caller: an event
    /// that was lost is no less seen.
    ///
    /// # Errors
    /// If the events can't be read.
    pub fn clear(&self) -> io::Result<()> {
        loop {
            match self.0.read_events() {
                Ok(_) => {}
                Err(Errno::EAGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for SliceWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    fn has_events(watch: &SliceWatch) -> bool {
        let mut waited = [PollFd::new(watch.as_fd(), PollFlags::POLLIN)];
        poll(&mut waited, PollTimeout::ZERO).unwrap() == 1
    }

    #[test]
    fn a_directory_that_appears_is_noticed_once() {
        let parent = tempfile::tempdir().unwrap();
        let watch = SliceWatch::new().unwrap();
        watch.add(parent.path()).unwrap();
        assert!(!has_events(&watch));
        std::fs::create_dir(parent.path().join("user.slice")).unwrap();
        assert!(has_events(&watch));
        watch.clear().unwrap();
        assert!(!has_events(&watch));
    }

    #[test]
    fn a_directory_that_is_not_there_yet_is_no_error() {
        let watch = SliceWatch::new().unwrap();
        watch.add(Path::new("/nonexistent/user.slice")).unwrap();
    }
}
