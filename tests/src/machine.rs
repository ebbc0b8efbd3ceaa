// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A booted systemd with the real logind and the real polkit, which a host's daemon serves.
//!
//! `systemd-nspawn` boots an overlay of this machine's own root file system in a cgroup of the
//! host's. The daemon stays outside, because the kernel tells it process ids of the outermost
//! namespace: the machine's sessions are shown to it where it looks for them, its bus is the
//! machine's, and it gates the machine's cgroup. What it can't see from there are terminals: it
//! takes none for a person's that another namespace of processes has.

mod root;
mod shell;

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use self::root::{furnish, has_pam_systemd, init_of, mount_fs};
pub use self::shell::Shell;
use crate::commands::Said;
use crate::daemon::SESSIONS;
use crate::host::Host;
use crate::process::Running;
use crate::sandbox::{self, User};
use crate::wait::until;

/// The machine. It ends when this is dropped.
#[derive(Debug)]
pub struct Machine {
    nspawn: Running,
    leader: u32,
    root: PathBuf,
    cgroup: PathBuf,
    dir: TempDir,
}

impl Machine {
    /// Boots one for a host whose daemon hasn't been started, and starts that. `None` if
    /// systemd-nspawn or logind's part of PAM isn't installed.
    #[must_use]
    pub fn boot(host: &mut Host) -> Option<Self> {
        let can = crate::missing(&["systemd-nspawn", "script"]).is_none() && has_pam_systemd();
        can.then_some(())?;
        let dir = tempfile::Builder::new()
            .prefix("stile-machine-")
            .tempdir_in("/run")
            .unwrap();
        let path = |name: &str| dir.path().join(name);
        mount_fs("tmpfs", dir.path(), "mode=0755");
        for name in ["up", "work", "root", "bus", "sessions"] {
            fs::create_dir(path(name)).unwrap();
        }
        for name in ["bus", "sessions"] {
            fs::set_permissions(path(name), PermissionsExt::from_mode(0o755)).unwrap();
        }
        let layers = format!(
            "lowerdir=/,upperdir={},workdir={}",
            path("up").display(),
            path("work").display()
        );
        let root = path("root");
        mount_fs("overlay", &root, &layers);
        furnish(&root);
        // Where the host looks for its bus.
        symlink(
            path("bus").join("system_bus_socket"),
            host.dir().join("bus"),
        )
        .unwrap();
        let mut command = host.run_as_root_in("machine", Path::new("/usr/bin/systemd-nspawn"));
        command
            .arg("--directory")
            .arg(&root)
            .args(["--machine", &name_of(dir.path())])
            .args([
                "--register=no",
                "--keep-unit",
                "--console=pipe",
                "--boot",
                "--quiet",
            ])
            .arg("--capability=all")
            .arg(format!("--bind={}:{SESSIONS}", path("sessions").display()))
            .arg(format!("--bind={}:/run/dbus", path("bus").display()))
            .arg(format!("--bind-ro={}", sandbox::bin("").display()));
        let console = File::create(path("console.log")).unwrap();
        let console = [console.try_clone().unwrap(), console];
        let [out, err] = console;
        let nspawn = Running::new(command.stdout(out).stderr(err));
        let leader = until("the machine has an init", || init_of(nspawn.pid()));
        let machine = Self {
            nspawn,
            leader,
            root,
            cgroup: host.cgroup().to_owned(),
            dir,
        };
        until("the machine is up", || {
            let said = machine.run(&["systemctl", "is-system-running"]);
            matches!(said.stdout.trim(), "running" | "degraded").then_some(())
        });
        host.serve_machine("machine/payload", machine.dir.path().join("sessions"));
        Some(machine)
    }

    /// A command of root's in it.
    #[track_caller]
    pub fn run(&self, command: &[&str]) -> Said {
        Running::start(self.inside().args(command)).output().into()
    }

    /// A command of a user's in it, outside of all sessions and of the gate.
    #[track_caller]
    pub fn run_as(&self, user: User, command: &[&str]) -> Said {
        self.start_as(user, command).output().into()
    }

    /// The same, to be talked to.
    #[track_caller]
    #[must_use]
    pub fn start_as(&self, user: User, command: &[&str]) -> Running {
        let mut inside = self.inside_as(user);
        Running::start(inside.args(command).stdin(Stdio::piped()))
    }

    /// What lies there for those inside, also below its own mounts.
    #[must_use]
    pub fn seen_inside(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        let path = path.strip_prefix("/").unwrap_or(path);
        Path::new("/proc")
            .join(self.leader.to_string())
            .join("root")
            .join(path)
    }

    /// Its root file system, as this side sees it.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn inside_as(&self, user: User) -> Command {
        let mut inside = self.inside();
        inside
            .arg("setpriv")
            .args([
                format!("--reuid={}", user.uid),
                format!("--regid={}", user.uid),
            ])
            .args(["--init-groups", "--"]);
        inside
    }

    fn inside(&self) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &self.leader.to_string()])
            .args(["--mount", "--uts", "--ipc", "--pid", "--cgroup", "--"])
            .args([
                "env",
                "-i",
                "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            ])
            .args(["LC_ALL=C.UTF-8", "TERM=xterm"])
            .current_dir("/")
            .stdin(Stdio::null());
        command
    }
}

impl Machine {
    /// Removes what nspawn has made in hierarchies of version 1, where there are some.
    fn leave_cgroups(&self) {
        let Some(of_test) = self.cgroup.parent().and_then(Path::file_name) else {
            return;
        };
        for hierarchy in fs::read_dir("/sys/fs/cgroup")
            .into_iter()
            .flatten()
            .flatten()
        {
            let folder = hierarchy.path().join(of_test);
            if !self.cgroup.starts_with(&folder) {
                remove_tree(&folder.join(self.cgroup.file_name().unwrap()));
                let _ = fs::remove_dir(folder);
            }
        }
    }
}

/// Removes a cgroup and those below it, as far as they are empty.
fn remove_tree(cgroup: &Path) {
    for below in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if below.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&below.path());
        }
    }
    let _ = fs::remove_dir(cgroup);
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "--- its jobs ---\n{}",
                self.run(&["systemctl", "list-jobs"]).stdout
            );
            let console = fs::read_to_string(self.dir.path().join("console.log"));
            eprintln!(
                "--- the machine's console ---\n{}---",
                console.unwrap_or_default()
            );
        }
        // An orderly end takes seconds. With its init everything in it ends.
        let _ = kill(Pid::from_raw(self.leader.cast_signed()), Signal::SIGKILL);
        let _ = self.nspawn.wait();
        let _ = umount2(&self.root, MntFlags::MNT_DETACH);
        let _ = umount2(self.dir.path(), MntFlags::MNT_DETACH);
        self.leave_cgroups();
    }
}

/// Each has its own: the name of its folder, as far as a host may be called so.
fn name_of(dir: &Path) -> String {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = name.chars().map(plain).collect();
    name.trim_matches('-').to_owned()
}
