// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Runs commands as root where they can do no harm: in a cgroup, a network namespace and a
//! mount namespace of their own, with users of their own. Nothing of it is left afterwards,
//! also after a failure, Ctrl-C or SIGTERM; what a `kill -9` of xtask leaves, the next
//! sandbox removes.
//!
//! The kernel program is attached to the sandbox's cgroup and pinned in its own bpffs, so
//! the machine outside of it never comes under the gate.
//!
//! The process ids stay those of the machine: the kernel program reports them, and the
//! daemon looks them up in /proc.

mod cgroup;
mod inside;
mod interrupt;
mod loopback;
mod users;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use self::cgroup::Cgroup;
pub(crate) use self::inside::{Inside, enter};
pub(crate) use self::interrupt::check as check_interrupt;
pub(crate) use self::loopback::up as loopback_up;
pub(crate) use self::users::{ALICE, POSTGRES, User};
use crate::host;
use crate::workspace;

/// Where runs of this xtask keep what they need while they run.
const RUN: &str = "/run";
/// How every cgroup and run folder of a sandbox begins; its xtask's pid follows.
const PREFIX: &str = "stile-xtask-";

/// A sandbox. Dropping it ends everything that runs in it, and removes it.
#[derive(Debug)]
pub(crate) struct Sandbox {
    cgroup: Cgroup,
    folder: PathBuf,
    shared: PathBuf,
}

impl Sandbox {
    /// Makes one. `shared` is a folder that every user inside may read and run programs from,
    /// wherever it lies (a home directory may be closed to others): see [`Self::path_inside`].
    ///
    /// # Errors
    /// If this isn't root, if there is no writable cgroup2 hierarchy, or util-linux is missing.
    pub(crate) fn new(shared: &Path) -> Result<Self> {
        if !host::is_root() {
            bail!("the sandbox needs root");
        }
        if workspace::which("unshare").is_none() {
            bail!("there is no `unshare`; install util-linux");
        }
        interrupt::check()?;
        let root = cgroup::root()?;
        remove_leftovers(&root);
        let name = format!("{PREFIX}{}", std::process::id());
        let cgroup = Cgroup::create(root.join(&name))?;
        let folder = Path::new(RUN).join(&name);
        let sandbox = Self {
            cgroup,
            folder,
            shared: shared.to_owned(),
        };
        interrupt::on_signal_kill(&sandbox.cgroup)?;
        std::fs::create_dir(&sandbox.folder)
            .with_context(|| format!("could not make {}", sandbox.folder.display()))?;
        Ok(sandbox)
    }

    /// Its cgroup: the root of the gate inside.
    pub(crate) fn cgroup(&self) -> &Path {
        self.cgroup.path()
    }

    /// A folder on a tmpfs that only the inside sees: `home/`, `tmp/`, `etc/`, `shared/`.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where a file below the shared folder lies for the inside.
    pub(crate) fn path_inside(&self, path: &Path) -> PathBuf {
        match path.strip_prefix(&self.shared) {
            Ok(relative) => self.folder.join(inside::SHARED).join(relative),
            Err(_) => path.to_owned(),
        }
    }

    /// A command that will run inside as root, with `STILE_SANDBOX=1`, `TMPDIR` and
    /// `STILE_TEST_CGROUP` set. Give it to [`Self::spawn`].
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Result<Command> {
        let xtask = std::env::current_exe().context("could not find xtask itself")?;
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--net", "--propagation", "private", "--"])
            .arg(xtask)
            .args(["inside-sandbox", "--cgroup"])
            .arg(self.cgroup.path())
            .arg("--folder")
            .arg(&self.folder)
            .arg("--shared")
            .arg(&self.shared)
            .arg("--")
            .arg(program);
        Ok(command)
    }

    /// Starts a command of [`Self::command`]. One at a time: each has namespaces of its own.
    ///
    /// # Errors
    /// If it could not be started, or if a signal has ended the sandbox meanwhile.
    pub(crate) fn spawn(&self, command: &mut Command) -> Result<Child> {
        let mut child = command
            .spawn()
            .with_context(|| format!("could not start `{}`", workspace::shown(command)))?;
        // The child joins by itself too, before it does anything. This makes sure that it is
        // in already when the interrupt is looked at: a signal that comes later finds it.
        if let Err(error) = self
            .cgroup
            .add(child.id())
            .and_then(|()| interrupt::check())
        {
            let _ = child.kill();
            let _ = child.wait();
            return Err(error);
        }
        Ok(child)
    }

    /// Waits for a command of [`Self::spawn`], then ends what it left running, which may hold its
    /// output open. `None` if it took longer than the limit.
    pub(crate) fn wait(&self, mut child: Child, limit: Duration) -> Result<Option<ExitStatus>> {
        let (ended, over) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let watchdog = scope.spawn(move || {
                let hung = over.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout);
                if hung {
                    self.kill();
                }
                hung
            });
            let status = child.wait().context("could not wait for the command");
            drop(ended);
            self.kill();
            let hung = watchdog.join().unwrap_or(true);
            status.map(|status| (!hung).then_some(status))
        })
    }

    /// Ends everything that runs inside.
    pub(crate) fn kill(&self) {
        self.cgroup.kill();
    }
}

/// The programs that the end-to-end tests and the bench start.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Programs {
    /// The folder with `stiled`, `stile` and the tests' own.
    pub(crate) bin: PathBuf,
    /// The folder with PostgreSQL's.
    pub(crate) postgres: PathBuf,
}

impl Programs {
    /// Tells a command of [`Sandbox::command`] where they are.
    pub(crate) fn tell(&self, sandbox: &Sandbox, command: &mut Command) {
        command
            .env("STILE_BIN_DIR", sandbox.path_inside(&self.bin))
            .env("STILE_PG_BIN", &self.postgres);
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if let Err(error) = self.cgroup.remove() {
            crate::say::failed(format!("{error:#}"));
        }
        // An empty mount point: the tmpfs was mounted in the sandbox's own namespace only.
        if let Err(error) = std::fs::remove_dir(&self.folder)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            crate::say::failed(format!(
                "could not remove {}: {error}",
                self.folder.display()
            ));
        }
        // Last: a second signal must not end xtask halfway through.
        interrupt::forget();
    }
}

/// Removes the sandboxes of xtasks that are no more.
fn remove_leftovers(cgroup_root: &Path) {
    for base in [cgroup_root, Path::new(RUN)] {
        for name in names_in(base) {
            let Some(pid) = name.strip_prefix(PREFIX) else {
                continue;
            };
            if pid.parse::<u32>().is_err() || Path::new("/proc").join(pid).exists() {
                continue;
            }
            let path = base.join(&name);
            let removed = if base == cgroup_root {
                Cgroup::adopt(path.clone()).remove()
            } else {
                std::fs::remove_dir(&path).map_err(anyhow::Error::from)
            };
            if removed.is_ok() {
                crate::say::note(format!(
                    "removed {}, which a killed run had left",
                    path.display()
                ));
            }
        }
    }
}

fn names_in(folder: &Path) -> Vec<String> {
    std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect()
}
