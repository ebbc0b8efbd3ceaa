// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The real `stiled`.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use aya::programs::loaded_programs;

use crate::process::Running;
use crate::sandbox;
use crate::wait::{patience, until};

/// Where logind keeps its sessions, and the daemon looks for them. The sandbox has its own.
pub(crate) const SESSIONS: &str = "/run/systemd/sessions";
/// Shows the daemon the sessions of a machine there, and nobody else.
const SHOW_SESSIONS: &str = r#"mount --bind "$0" "$1" && shift && exec "$@""#;

/// Where a daemon finds everything.
#[derive(Debug)]
pub(crate) struct Places {
    pub(crate) dir: PathBuf,
    /// That of the gate; the daemon looks for the root of the hierarchy if there is none.
    pub(crate) cgroup: Option<PathBuf>,
    pub(crate) pins: PathBuf,
    pub(crate) bus: String,
    /// How much the daemon logs.
    pub(crate) log: &'static str,
    /// Where the ledger and the audit log lie.
    pub(crate) state: PathBuf,
    /// What the daemon finds in its environment beside that of the tests.
    pub(crate) environment: BTreeMap<&'static str, OsString>,
    /// The machine's folder of sessions, if it serves one.
    pub(crate) sessions: Option<PathBuf>,
}

impl Places {
    pub(crate) fn settings(&self) -> PathBuf {
        self.dir.join("stile.toml")
    }

    pub(crate) fn policy(&self) -> PathBuf {
        self.dir.join("policy.d")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.state.clone()
    }

    /// What shows the daemon its machine's sessions, if it serves one.
    fn runner(&self) -> Vec<&str> {
        let sessions = self.sessions.as_ref().and_then(|path| path.to_str());
        let Some(sessions) = sessions else {
            return Vec::new();
        };
        let unshare = ["unshare", "--mount", "/bin/sh", "-c", SHOW_SESSIONS];
        unshare.into_iter().chain([sessions, SESSIONS]).collect()
    }

    /// The daemon's command line, run by this program and its arguments if there are some.
    pub(crate) fn stiled(&self, runner: &[&str]) -> Command {
        let stiled = sandbox::bin("stiled");
        let mut command = match runner {
            [] => Command::new(stiled),
            [program, arguments @ ..] => {
                let mut command = Command::new(program);
                command.args(arguments).arg(stiled);
                command
            }
        };
        command
            .arg("--config")
            .arg(self.settings())
            .arg("--policy")
            .arg(self.policy())
            .args(
                self.cgroup
                    .iter()
                    .flat_map(|path| [Path::new("--cgroup"), path]),
            )
            .arg("--bpffs")
            .arg(&self.pins)
            .arg("--state-dir")
            .arg(self.state())
            .env("DBUS_SYSTEM_BUS_ADDRESS", &self.bus)
            .env_remove("CREDENTIALS_DIRECTORY")
            .envs(&self.environment)
            .stdin(Stdio::null());
        command
    }

    /// What every daemon of this host wrote to stderr, one after the other.
    pub(crate) fn log_file(&self) -> PathBuf {
        self.dir.join("stiled.log")
    }
}

/// A running daemon.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) process: Running,
    /// The programs that hold an attempt for it, by the kernel's ids.
    asking: HashSet<u32>,
    notify: UnixDatagram,
}

impl Daemon {
    /// Starts it, and waits for its `READY=1`.
    ///
    /// # Errors
    /// What it wrote, if it ends instead.
    pub(crate) fn start(places: &Places) -> Result<Self, String> {
        let socket = places.dir.join("notify");
        let _ = fs::remove_file(&socket);
        let notify = UnixDatagram::bind(&socket).unwrap();
        let log = File::options()
            .create(true)
            .append(true)
            .open(places.log_file())
            .unwrap();
        let written = log.metadata().unwrap().len();
        let process = Running::new(
            places
                .stiled(&places.runner())
                .env("NOTIFY_SOCKET", &socket)
                .env("STILE_LOG", places.log)
                .env("RUST_BACKTRACE", "1")
                .stdout(Stdio::null())
                .stderr(log),
        );
        let mut daemon = Self {
            process,
            asking: HashSet::new(),
            notify,
        };
        match daemon.hears("READY=1") {
            true => {
                daemon.asking = programs_of(daemon.process.pid());
                Ok(daemon)
            }
            false => Err(since(&places.log_file(), written)),
        }
    }

    /// Waits for what it tells its service manager. False if it ended instead.
    pub(crate) fn hears(&mut self, what: &str) -> bool {
        // Short, to notice a daemon that ends without a word.
        self.notify
            .set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        let deadline = Instant::now() + patience();
        let mut buffer = [0; 4096];
        while Instant::now() < deadline {
            match self.notify.recv(&mut buffer) {
                Ok(length) => {
                    let text = String::from_utf8_lossy(&buffer[..length]);
                    if text.lines().any(|line| line == what) {
                        return true;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if self.process.ended().is_some() {
                        return false;
                    }
                }
                Err(error) => panic!("the notify socket: {error}"),
            }
        }
        panic!("stiled didn't say {what} within {} s", patience().as_secs());
    }

    /// How it ended, if it has and the gate has noticed: the kernel empties its program arrays a
    /// moment later, and what connects within that moment waits for the next daemon.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.process.ended()?;
        until("the gate notices that its daemon has ended", || {
            let left = asking_programs().any(|id| self.asking.contains(&id));
            (!left).then_some(())
        });
        Some(status)
    }

    /// Waits for its end, and until the gate has noticed.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        until("stiled ends", || self.ended())
    }

    /// True if it has said that by now.
    pub(crate) fn has_said(&mut self, what: &str) -> bool {
        self.notify.set_nonblocking(true).unwrap();
        let mut buffer = [0; 4096];
        let mut said = false;
        while let Ok(length) = self.notify.recv(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]);
            said |= text.lines().any(|line| line == what);
        }
        self.notify.set_nonblocking(false).unwrap();
        said
    }
}

/// The programs that hold an attempt and ask, of every daemon on this machine.
fn asking_programs() -> impl Iterator<Item = u32> {
    let names = ["stile_hold4", "stile_hold6", "stile_ask4", "stile_ask6"];
    let loaded = loaded_programs().map_while(Result::ok);
    let asking = loaded.filter(move |info| info.name_as_str().is_some_and(|n| names.contains(&n)));
    asking.map(|info| info.id())
}

/// Those of one daemon (proc(5), "fdinfo").
fn programs_of(pid: u32) -> HashSet<u32> {
    let infos = fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap();
    let infos = infos.filter_map(|info| fs::read_to_string(info.ok()?.path()).ok());
    let held: HashSet<u32> = infos
        .filter_map(|info| {
            let id = info
                .lines()
                .find_map(|line| line.strip_prefix("prog_id:"))?;
            id.trim().parse().ok()
        })
        .collect();
    asking_programs().filter(|id| held.contains(id)).collect()
}

/// What a process takes of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// Resident memory, in KiB.
    pub resident: usize,
    /// That part of it that no file has, in KiB: heap, stacks, relocated pointers.
    pub anonymous: usize,
    /// Open descriptors.
    pub descriptors: usize,
    /// Threads.
    pub threads: usize,
}

impl Footprint {
    /// That of a living process, from /proc (proc(5)).
    #[must_use]
    pub fn of(pid: u32) -> Self {
        let entries = |folder: &str| {
            let entries = fs::read_dir(format!("/proc/{pid}/{folder}"));
            entries.unwrap().count()
        };
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let kibibytes = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name));
            let number = value.and_then(|value| value.split_whitespace().next());
            number.unwrap().parse().unwrap()
        };
        Self {
            resident: kibibytes("VmRSS:"),
            anonymous: kibibytes("RssAnon:"),
            descriptors: entries("fd"),
            threads: entries("task"),
        }
    }
}

/// The log from this byte on.
fn since(log: &Path, byte: u64) -> String {
    let bytes = fs::read(log).unwrap();
    let from = usize::try_from(byte).unwrap();
    String::from_utf8_lossy(&bytes[from..]).into_owned()
}
