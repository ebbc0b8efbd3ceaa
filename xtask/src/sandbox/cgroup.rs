// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A cgroup of the version 2 hierarchy, and ending everything in it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long the kernel may take to let killed processes go.
const PATIENCE: Duration = Duration::from_secs(10);

/// A cgroup that this xtask made.
#[derive(Clone, Debug)]
pub(super) struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// Makes it.
    pub(super) fn create(path: PathBuf) -> Result<Self> {
        std::fs::create_dir(&path).with_context(|| {
            format!(
                "could not make the cgroup {} (in a container, the cgroup file system must be \
                 writable: docker run --privileged --cgroupns=host)",
                path.display()
            )
        })?;
        Ok(Self { path })
    }

    /// Takes over one that is there.
    pub(super) fn adopt(path: PathBuf) -> Self {
        Self { path }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Moves a process into it.
    pub(super) fn add(&self, pid: u32) -> Result<()> {
        let procs = self.path.join("cgroup.procs");
        std::fs::write(&procs, pid.to_string())
            .with_context(|| format!("could not move process {pid} to {}", self.path.display()))
    }

    /// Sends SIGKILL to everything in it and below. Errors are left to [`Self::remove`],
    /// which fails while something lives.
    pub(super) fn kill(&self) {
        // Linux 5.14 and newer; it leaves no process a chance to fork away.
        if std::fs::write(self.path.join("cgroup.kill"), "1").is_ok() {
            return;
        }
        for folder in self.subtree() {
            let pids = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
            for pid in pids.lines().filter_map(|pid| pid.parse().ok()) {
                // 0 stands for a process of another pid namespace, and kill(0) for ourselves.
                if pid > 0 {
                    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                }
            }
        }
    }

    /// Kills what is left in it, and removes it with everything below.
    pub(super) fn remove(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.kill();
            let mut folders = self.subtree();
            folders.reverse();
            let left = folders
                .iter()
                .find_map(|folder| match std::fs::remove_dir(folder) {
                    Ok(()) => None,
                    Err(error) if error.kind() == ErrorKind::NotFound => None,
                    Err(error) => Some((folder, error)),
                });
            let Some((folder, error)) = left else {
                return Ok(());
            };
            if Instant::now() > deadline {
                bail!("could not remove the cgroup {}: {error}", folder.display());
            }
            // A killed process leaves its cgroup only when the kernel has taken it apart;
            // `cgroup.events` would need a poll for what takes milliseconds.
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// It and all cgroups below, parents first.
    fn subtree(&self) -> Vec<PathBuf> {
        let mut found = vec![self.path.clone()];
        let mut next = 0;
        while let Some(folder) = found.get(next) {
            let below: Vec<PathBuf> = std::fs::read_dir(folder)
                .into_iter()
                .flatten()
                .filter_map(std::io::Result::ok)
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                .map(|entry| entry.path())
                .collect();
            found.extend(below);
            next += 1;
        }
        found
    }
}

/// Where the version 2 hierarchy is mounted.
pub(super) fn root() -> Result<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")
        .context("could not read /proc/self/mountinfo")?;
    find_root(&mounts)
        .context("no cgroup2 file system is mounted; run `mount -t cgroup2 none /sys/fs/cgroup`")
}

/// Reads mountinfo (proc_pid_mountinfo(5)): the mount point is the fifth field, the type the
/// first after a lone dash.
fn find_root(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        if kind.split(' ').next() != Some("cgroup2") {
            return None;
        }
        mount.split(' ').nth(4).map(PathBuf::from)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hierarchy_of_a_hybrid_host_is_found() {
        let mounts = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
            32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
            41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n";
        assert_eq!(
            find_root(mounts),
            Some(PathBuf::from("/sys/fs/cgroup/unified"))
        );
    }

    #[test]
    fn version_1_is_not_taken_for_version_2() {
        let mounts = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";
        assert_eq!(find_root(mounts), None);
    }
}
