// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A booted systemd with the real logind and the real polkit, which a host's daemon serves.
//!
//! `systemd-nspawn` boots an overlay of this machine's own root file system in a cgroup of the
//! host's. The daemon stays outside, because the kernel tells it process ids of the outermost
//! namespace: the machine's sessions are shown to it where it looks for them, its bus is the
//! machine's, and it gates the machine's cgroup.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Gid, Group, Pid, chown};
use tempfile::TempDir;

use crate::commands::Said;
use crate::host::Host;
use crate::process::Running;
use crate::sandbox::{self, User};
use crate::wait::until;

/// Where logind keeps its sessions, and the daemon looks for them.
const SESSIONS: &str = "/run/systemd/sessions";
/// What of the packages goes where.
const PACKAGED: [(&str, &str); 2] = [
    (
        "dbus-1/org.stile.Agent1.conf",
        "usr/share/dbus-1/system.d/org.stile.Agent1.conf",
    ),
    (
        "polkit-1/actions/org.stile.policy",
        "usr/share/polkit-1/actions/org.stile.policy",
    ),
];
/// Services that such a root may have, and that nobody needs here.
const MASKED: [&str; 6] = [
    "postgresql",
    "redis-server",
    "etcd",
    "haproxy",
    "pgbouncer",
    "nats-server",
];

/// The machine. It ends when this is dropped.
#[derive(Debug)]
pub struct Machine {
    nspawn: Running,
    leader: u32,
    root: PathBuf,
    cgroup: PathBuf,
    dir: TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// One at a time: they share the folder of sessions.
static TURN: Mutex<()> = Mutex::new(());

impl Machine {
    /// Boots one for a host whose daemon hasn't been started, and starts that. `None` if
    /// systemd-nspawn or logind's part of PAM isn't installed.
    #[must_use]
    pub fn boot(host: &mut Host) -> Option<Self> {
        let can = crate::missing(&["systemd-nspawn", "script"]).is_none() && has_pam_systemd();
        can.then_some(())?;
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = tempfile::Builder::new()
            .prefix("stile-machine-")
            .tempdir_in("/run")
            .unwrap();
        let path = |name: &str| dir.path().join(name);
        // What an earlier machine has left.
        for session in fs::read_dir(SESSIONS).unwrap().flatten() {
            let _ = fs::remove_file(session.path());
        }
        mount_fs("tmpfs", dir.path(), "mode=0755");
        for name in ["up", "work", "root", "bus"] {
            fs::create_dir(path(name)).unwrap();
        }
        fs::set_permissions(path("bus"), PermissionsExt::from_mode(0o755)).unwrap();
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
            .args(["--machine", &format!("stile-{}", std::process::id())])
            .args([
                "--register=no",
                "--keep-unit",
                "--console=pipe",
                "--boot",
                "--quiet",
            ])
            .arg("--capability=all")
            .arg(format!("--bind={SESSIONS}"))
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
            _turn: turn,
        };
        until("the machine is up", || {
            let said = machine.run(&["systemctl", "is-system-running"]);
            matches!(said.stdout.trim(), "running" | "degraded").then_some(())
        });
        host.serve_machine("machine/payload");
        Some(machine)
    }

    /// A command of root's in it.
    #[track_caller]
    pub fn run(&self, command: &[&str]) -> Said {
        Running::start(self.inside().args(command)).output().into()
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

    /// Logs a user in, on a terminal of the machine's own.
    #[track_caller]
    #[must_use]
    pub fn login(&self, user: User) -> Shell {
        let before = self.sessions(user);
        let mut command = self.inside();
        command
            .args(["script", "--quiet", "--command"])
            .arg(format!("login -f {}", user.name))
            .arg("/dev/null")
            .stdin(Stdio::piped());
        let mut process = Running::start(&mut command);
        for output in [process.child().stdout.take(), None].into_iter().flatten() {
            let mut output = output;
            std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        }
        let session = until("the login has a session", || {
            self.sessions(user)
                .into_iter()
                .find(|id| !before.contains(id))
        });
        Shell { process, session }
    }

    /// The sessions of a user, as logind lists them.
    #[must_use]
    pub fn sessions(&self, user: User) -> Vec<String> {
        let said = self.run(&["loginctl", "list-sessions", "--no-legend"]);
        let lines = said
            .stdout
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>());
        lines
            .filter(|fields| fields.get(1) == Some(&user.uid.to_string().as_str()))
            .map(|fields| fields[0].to_owned())
            .collect()
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

/// A user's login shell.
#[derive(Debug)]
pub struct Shell {
    process: Running,
    session: String,
}

impl Shell {
    /// logind's id of its session.
    #[must_use]
    pub fn session(&self) -> &str {
        &self.session
    }

    /// Types a line.
    pub fn types(&mut self, line: &str) {
        let input = self.process.child().stdin.as_mut().unwrap();
        writeln!(input, "{line}").unwrap();
    }
}

/// What differs from this machine's own root.
fn furnish(root: &Path) {
    for name in ["passwd", "group"] {
        fs::copy(Path::new("/etc").join(name), root.join("etc").join(name)).unwrap();
    }
    for service in MASKED {
        let unit = root.join(format!("etc/systemd/system/{service}.service"));
        let _ = fs::remove_file(&unit);
        symlink("/dev/null", unit).unwrap();
    }
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging");
    for (from, to) in PACKAGED {
        fs::copy(packaging.join(from), root.join(to)).unwrap();
    }
    let group = Group::from_name("stile-prompt").unwrap().unwrap();
    for (name, gid, mode) in [
        ("stile", Gid::from_raw(0), 0o755),
        ("stile-prompt", group.gid, 0o2755),
    ] {
        let path = root.join("usr/bin").join(name);
        fs::copy(sandbox::bin(name), &path).unwrap();
        chown(&path, None, Some(gid)).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    }
}

fn mount_fs(kind: &str, at: &Path, data: &str) {
    mount(Some(kind), at, Some(kind), MsFlags::empty(), Some(data))
        .unwrap_or_else(|error| panic!("{kind} on {}: {error}", at.display()));
}

/// True if a login gets a session.
fn has_pam_systemd() -> bool {
    let folders = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let mut folders = folders
        .map(|folder| folder.path())
        .chain([PathBuf::from("/usr/lib64")]);
    folders.any(|folder| folder.join("security/pam_systemd.so").is_file())
}

/// The init that nspawn has started. Another child of it comes before, and goes.
fn init_of(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children
        .split_whitespace()
        .filter_map(|child| child.parse().ok())
        .find(|child: &u32| {
            let name = fs::read_to_string(format!("/proc/{child}/comm"));
            name.is_ok_and(|name| name.trim() == "systemd")
        })
}
