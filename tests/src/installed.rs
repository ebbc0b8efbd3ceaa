// SPDX-License-Identifier: Apache-2.0 OR MIT
//! stile as a package installs it, and users' sessions in which it is found there.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::{Gid, Group, chown};
use tempfile::TempDir;

use crate::host::{Host, TAKE_TERMINAL};
use crate::process::Running;
use crate::pty::Terminal;
use crate::sandbox::{self, User};
use crate::wait::until;

/// Shows a session the programs where packages put them, and the host's bus where a system has
/// it: a prompter looks nowhere else.
const INSTALL: &str = r#"
mkdir -p /run/dbus && mount -t tmpfs -o mode=0755 tmpfs /run/dbus &&
ln -s "$0" /run/dbus/system_bus_socket &&
mount -t overlay -o "lowerdir=$1:/usr/bin" overlay /usr/bin &&
shift && exec "$@""#;

/// The programs of stile as a package installs them: `stile-prompt` with the rights of its group.
#[derive(Debug)]
pub struct Installed {
    dir: TempDir,
}

impl Installed {
    /// Installs them.
    #[must_use]
    pub fn new() -> Self {
        // The sandbox's own file system is mounted nosuid.
        let dir = tempfile::Builder::new()
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir_in("/usr/lib")
            .unwrap();
        let group = Group::from_name("stile-prompt").unwrap().unwrap();
        for (name, gid, mode) in [
            ("stile", Gid::from_raw(0), 0o755),
            ("stile-prompt", group.gid, 0o2755),
        ] {
            let path = dir.path().join(name);
            fs::copy(sandbox::bin(name), &path).unwrap();
            chown(&path, None, Some(gid)).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        Self { dir }
    }

    /// Has sessions find this program, which stays as it is, behind one that writes down what it
    /// is told: in this file, which must be their user's. For programs that are told all on stdin,
    /// and before the first session.
    pub fn write_down(&self, program: &str, file: &Path) {
        let real = self.dir.path().join(format!("{program}.real"));
        fs::copy(Path::new("/usr/bin").join(program), &real).unwrap();
        let script = format!(
            "#!/bin/sh\ntee -a {} | {}\n",
            file.display(),
            real.display()
        );
        let path = self.dir.path().join(program);
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Where one of them is outside of the session.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

impl Default for Installed {
    fn default() -> Self {
        Self::new()
    }
}

impl Host {
    /// A program of this user's in a session where stile is installed.
    #[must_use]
    pub fn in_session(&self, installed: &Installed, user: User, program: &str) -> Command {
        let bus = self.bus().strip_prefix("unix:path=").unwrap();
        let folder = installed.dir.path().to_str().unwrap();
        let before = ["unshare", "--mount", "/bin/sh", "-c", INSTALL, bus, folder];
        self.run_after(&before, user, Path::new(program))
    }

    /// The same with a controlling terminal.
    pub(crate) fn in_session_on(
        &self,
        installed: &Installed,
        user: User,
        terminal: &Terminal,
        program: &str,
    ) -> Command {
        let bus = self.bus().strip_prefix("unix:path=").unwrap();
        let folder = installed.dir.path().to_str().unwrap();
        let path = terminal.path().to_str().unwrap();
        let install = ["unshare", "--mount", "/bin/sh", "-c", INSTALL, bus, folder];
        let take = ["setsid", "/bin/sh", "-c", TAKE_TERMINAL, path];
        let before: Vec<_> = install.into_iter().chain(take).collect();
        self.run_after(&before, user, Path::new(program))
    }

    /// The prompter of this user's, once the agent knows it.
    #[track_caller]
    #[must_use]
    pub fn prompter(
        &self,
        installed: &Installed,
        user: User,
        variables: &[(String, String)],
    ) -> Running {
        let known = self.prompters(user);
        let mut command = self.in_session(installed, user, "/usr/bin/stile-prompt");
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let running = Running::new(&mut command);
        until("the prompter is registered", || {
            (self.prompters(user) > known).then_some(())
        });
        running
    }

    /// How many prompters this user has.
    #[track_caller]
    #[must_use]
    pub fn prompters(&self, user: User) -> usize {
        let said = self.stile(user, &["prompters", "--json"]);
        said.succeeded().json().as_array().unwrap().len()
    }
}
