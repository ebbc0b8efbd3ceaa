// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The cgroup of one host: the root of its gate.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use stile::sys::cgroup::Cgroup2;

use crate::sandbox;
use crate::unavailable::is_throwaway_machine;
use crate::wait::until;

/// A cgroup that ends with everything in it. The root of the hierarchy stays, but everything
/// below it ends that isn't the sandbox's.
#[derive(Debug)]
pub(crate) struct Cgroup(PathBuf);

impl Cgroup {
    pub(crate) fn create(path: PathBuf) -> Self {
        fs::create_dir(&path)
            .unwrap_or_else(|error| panic!("the cgroup {}: {error}", path.display()));
        Self(path)
    }

    /// The root of the hierarchy, on a machine that is the tests' own.
    ///
    /// # Panics
    /// On any other machine, which would come under the gate.
    pub(crate) fn root() -> Self {
        assert!(is_throwaway_machine(), "the root cgroup isn't the tests'");
        Self(Cgroup2::find().unwrap().root().to_owned())
    }

    fn is_root(&self) -> bool {
        sandbox::cgroup().parent() == Some(&self.0)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// A cgroup below, made if it isn't there.
    pub(crate) fn child(&self, relative: &str) -> PathBuf {
        let path = self.0.join(relative);
        fs::create_dir_all(&path)
            .unwrap_or_else(|error| panic!("the cgroup {}: {error}", path.display()));
        path
    }

    /// Kills what runs in it.
    fn kill(&self) {
        // Linux 5.14 and newer.
        if fs::write(self.0.join("cgroup.kill"), "1").is_err() {
            kill_each(&self.0);
        }
    }
}

fn kill_each(path: &Path) {
    let pids = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    for pid in pids.lines().filter_map(|pid| pid.parse().ok()) {
        // 0 would be the tests themselves.
        if pid > 0 {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            kill_each(&entry.path());
        }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if self.is_root() {
            let entries = fs::read_dir(&self.0).unwrap().flatten();
            let below = entries.filter(|entry| entry.file_type().unwrap().is_dir());
            let others = below.map(|entry| entry.path());
            others
                .filter(|path| *path != sandbox::cgroup())
                .for_each(|path| drop(Self(path)));
            return;
        }
        self.kill();
        if std::thread::panicking() {
            // A second panic would end the whole suite. The sandbox removes what is left.
            let _ = remove(&self.0);
            return;
        }
        until("the killed processes leave their cgroup", || {
            remove(&self.0).ok()
        });
    }
}

fn remove(path: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove(&entry.path())?;
        }
    }
    fs::remove_dir(path)
}
