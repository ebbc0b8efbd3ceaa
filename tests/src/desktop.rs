// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A user's session with `stile-prompt` in it: a desktop on an X server of its own, or tmux.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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

/// What a desktop is made of.
const DESKTOP: [&str; 5] = ["Xvfb", "dbus-daemon", "openbox", "xdotool", "import"];

/// The name of the first program of these that isn't installed.
#[must_use]
pub fn missing<'p>(programs: &[&'p str]) -> Option<&'p str> {
    let folders = [
        "/usr/bin",
        "/usr/sbin",
        "/bin",
        "/usr/libexec",
        "/usr/lib/gcr",
    ];
    let there = |name: &str| {
        folders
            .iter()
            .any(|dir| Path::new(dir).join(name).is_file())
    };
    programs.iter().copied().find(|name| !there(name))
}

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

/// A desktop.
#[derive(Debug)]
pub struct Desktop {
    _manager: Running,
    _bus: Running,
    _display: Running,
    home: TempDir,
    variables: Vec<(String, String)>,
}

impl Desktop {
    /// Starts one for this user. `None` if something that it takes isn't installed.
    #[must_use]
    pub fn of(host: &Host, user: User) -> Option<Self> {
        if missing(&DESKTOP).is_some() {
            return None;
        }
        let home = tempfile::Builder::new().tempdir_in("/tmp").unwrap();
        chown(home.path(), Some(user.uid.into()), Some(user.uid.into())).unwrap();
        let path = home.path().to_str().unwrap().to_owned();
        let mut command = host.as_user(user, "/usr/bin/Xvfb");
        command
            .args(["-displayfd", "1", "-screen", "0", "1280x800x24"])
            .args(["-nolisten", "tcp", "-ac", "-noreset"]);
        let (display, number) = first_line(&mut command);
        let mut variables = vec![
            ("DISPLAY".to_owned(), format!(":{number}")),
            ("HOME".to_owned(), path.clone()),
            ("XDG_RUNTIME_DIR".to_owned(), path),
            ("LC_ALL".to_owned(), "C.UTF-8".to_owned()),
            ("NO_AT_BRIDGE".to_owned(), "1".to_owned()),
        ];
        let mut command = host.as_user(user, "/usr/bin/dbus-daemon");
        command
            .args(["--session", "--nofork", "--print-address=1"])
            .envs(variables.iter().cloned());
        let (bus, address) = first_line(&mut command);
        variables.push(("DBUS_SESSION_BUS_ADDRESS".to_owned(), address));
        let mut command = host.as_user(user, "/usr/bin/openbox");
        command.envs(variables.iter().cloned());
        let manager = Running::start(&mut command);
        Some(Self {
            _manager: manager,
            _bus: bus,
            _display: display,
            home,
            variables,
        })
    }

    /// What programs of this desktop find in their environment, and this beside.
    #[must_use]
    pub fn variables(&self, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let more = more
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.variables.iter().cloned().chain(more).collect()
    }

    fn tool(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .envs(self.variables.iter().cloned())
            .stdin(Stdio::null());
        command
    }

    fn xdotool(&self, arguments: &[&str]) -> Option<String> {
        let output = self.tool("xdotool").args(arguments).output().unwrap();
        output
            .status
            .success()
            .then(|| String::from_utf8(output.stdout).unwrap())
    }

    /// The visible windows with this in their titles.
    #[must_use]
    pub fn windows(&self, title: &str) -> Vec<String> {
        let found = self.xdotool(&["search", "--onlyvisible", "--name", title]);
        found
            .unwrap_or_default()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// Waits until there is one window with this in its title.
    #[track_caller]
    pub fn wait_for_window(&self, title: &str) {
        until(&format!("a window {title:?}"), || {
            (self.windows(title).len() == 1).then_some(())
        });
        // It takes keys once it has the focus.
        let window = self.windows(title).remove(0);
        until("the window has the focus", || {
            let focused = self.xdotool(&["getwindowfocus"])?;
            if focused.trim() != window {
                self.xdotool(&["windowactivate", &window]);
            }
            (focused.trim() == window).then_some(())
        });
    }

    /// The process whose window has this in its title.
    #[must_use]
    pub fn process_of(&self, title: &str) -> Option<String> {
        let window = self.windows(title).pop()?;
        self.xdotool(&["getwindowpid", &window])
    }

    /// Waits until there is none.
    #[track_caller]
    pub fn wait_for_no_window(&self, title: &str) {
        until(&format!("no window {title:?}"), || {
            self.windows(title).is_empty().then_some(())
        });
    }

    /// Types this, as fast as a person at their best.
    pub fn types(&self, text: &str) {
        self.xdotool(&["type", "--delay", "20", text]);
    }

    /// Presses a key, as `Return`.
    pub fn presses(&self, key: &str) {
        self.xdotool(&["key", key]);
    }

    /// Writes what is to be seen to NAME.png in the folder that `STILE_SCREENSHOTS` names.
    pub fn screenshot(&self, name: &str) {
        if let Some(folder) = std::env::var_os("STILE_SCREENSHOTS") {
            let path = PathBuf::from(folder).join(format!("{name}.png"));
            // A window is there before it is drawn.
            until("something is drawn", || {
                let mut import = self.tool("import");
                let status = import.args(["-window", "root"]).arg(&path).status();
                assert!(status.unwrap().success(), "no screenshot");
                let mut identify = self.tool("identify");
                let colours = identify.args(["-format", "%k"]).arg(&path).output();
                let colours = String::from_utf8(colours.unwrap().stdout).unwrap();
                (colours.trim().parse::<u32>().unwrap() > 16).then_some(())
            });
        }
    }

    /// A folder of the user's.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }
}

/// Starts a program that says something once it is ready.
fn first_line(command: &mut Command) -> (Running, String) {
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut running = Running::new(command);
    let mut line = String::new();
    let mut output = BufReader::new(running.child().stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    assert!(!line.is_empty(), "it ended without a word");
    // What else it says goes nowhere, and ends it not.
    std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
    (running, line.trim().to_owned())
}
