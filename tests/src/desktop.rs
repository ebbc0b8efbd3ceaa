// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A user's desktop, on an X server of its own.

use std::fs;
use std::io::{BufRead, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use nix::unistd::chown;
use tempfile::TempDir;

use crate::host::Host;
use crate::process::Running;
use crate::sandbox::User;
use crate::unavailable::cannot_run;
use crate::wait::until;

/// What a desktop is made of.
const DESKTOP: [&str; 6] = [
    "Xvfb",
    "dbus-daemon",
    "openbox",
    "xdotool",
    "display",
    "import",
];

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

/// A desktop.
#[derive(Debug)]
pub struct Desktop {
    _manager: Running,
    _bus: Running,
    display: Running,
    home: TempDir,
    variables: Vec<(String, String)>,
}

impl Desktop {
    /// Starts one for this user. `None`, having said so, where it can't run.
    #[must_use]
    pub fn of(host: &Host, user: User) -> Option<Self> {
        let begun = Self::begin(host, user);
        begun.inspect_err(|why| cannot_run(why)).ok()
    }

    /// Starts one for this user.
    ///
    /// # Errors
    /// What it takes that isn't installed.
    pub fn begin(host: &Host, user: User) -> Result<Self, String> {
        if let Some(program) = missing(&DESKTOP) {
            return Err(format!("there is no {program}"));
        }
        let home = tempfile::Builder::new().tempdir_in("/tmp").unwrap();
        chown(home.path(), Some(user.uid.into()), Some(user.uid.into())).unwrap();
        let path = home.path().to_str().unwrap().to_owned();
        let authority = home.path().join("Xauthority");
        admit(&authority, user);
        let authority = authority.to_str().unwrap().to_owned();
        let mut command = host.as_user(user, "/usr/bin/Xvfb");
        command
            .args(["-displayfd", "1", "-screen", "0", "1280x800x24"])
            .args(["-nolisten", "tcp", "-noreset", "-auth", &authority]);
        let (display, number) = first_line(&mut command);
        let mut variables = vec![
            ("DISPLAY".to_owned(), format!(":{number}")),
            ("XAUTHORITY".to_owned(), authority),
            ("HOME".to_owned(), path.clone()),
            ("XDG_RUNTIME_DIR".to_owned(), path.clone()),
            // None of another session.
            ("TMUX_TMPDIR".to_owned(), path),
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
        Ok(Self {
            _manager: manager,
            _bus: bus,
            display,
            home,
            variables,
        })
    }

    /// Ends the X server, and with it everything that is drawn.
    pub fn crash(&mut self) {
        self.display.signal(Signal::SIGKILL);
        self.display.wait();
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

    /// Writes what is to be seen to NAME.png, for people ([`screenshots`]), and returns where. A
    /// window with this title is among it.
    pub fn screenshot(&self, title: &str, name: &str) -> Option<PathBuf> {
        let path = screenshots()?.join(format!("{name}.png"));
        // A desktop isn't black. Without this program this one is.
        let _ = self.tool("xsetroot").args(["-solid", "#3b5975"]).status();
        // A window is there, and takes keys, before it is drawn.
        until("something is drawn", || {
            let window = self.windows(title).pop()?;
            (self.picture(&window, &path)? > 16).then_some(())
        });
        self.picture("root", &path).unwrap();
        Some(path)
    }

    /// Writes what a window shows to this file, and returns in how many colours. `None` if it is
    /// gone.
    fn picture(&self, window: &str, path: &Path) -> Option<u32> {
        let mut import = self.tool("import");
        import.args(["-window", window]).arg(path);
        // It complains of a window that is not drawn yet.
        import.stderr(Stdio::null());
        import.status().unwrap().success().then_some(())?;
        let mut identify = self.tool("identify");
        let colours = identify.args(["-format", "%k"]).arg(path).output();
        let colours = String::from_utf8(colours.unwrap().stdout).unwrap();
        Some(colours.trim().parse().unwrap())
    }

    /// A folder of the user's.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }
}

/// The folder for what people may want to look at, if `cargo xtask` has named one
/// (`STILE_SCREENSHOTS`).
#[must_use]
pub fn screenshots() -> Option<PathBuf> {
    std::env::var_os("STILE_SCREENSHOTS").map(PathBuf::from)
}

/// Writes a fresh key to an X server (Xsecurity(7)) where only this user and root can read it.
fn admit(file: &Path, user: User) {
    const KIND: &[u8] = b"MIT-MAGIC-COOKIE-1";
    /// `FamilyWild` of `X11/Xauth.h`: at any address, as the address is empty.
    const ANYWHERE: [u8; 2] = [0xff; 2];
    const EMPTY: [u8; 2] = [0; 2];
    let mut key = [0; 16];
    let mut random = fs::File::open("/dev/urandom").unwrap();
    random.read_exact(&mut key).unwrap();
    let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap().to_be_bytes();
    // Family, address, number of the display, kind, key (Xau(3)); no number is any.
    let entry = [
        &ANYWHERE[..],
        &EMPTY,
        &EMPTY,
        &length(KIND),
        KIND,
        &length(&key),
        &key,
    ];
    fs::write(file, entry.concat()).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    chown(file, Some(user.uid.into()), Some(user.uid.into())).unwrap();
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
