// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a host is to be like.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::bus::Bus;
use crate::cgroup::Cgroup;
use crate::daemon::{Daemon, Places};
use crate::disk::Disks;
use crate::host::{Host, Pins};
use crate::sandbox;
use crate::server::Server;

/// The port of each host's own server.
const PORT: u16 = 7000;

/// Describes a [`Host`].
#[derive(Clone, Debug)]
pub struct Builder {
    policy: Option<String>,
    rule: Vec<(&'static str, String)>,
    settings: String,
    cgroups: Vec<String>,
    starts: bool,
    bus: bool,
    small_disks: bool,
    at_root: bool,
    log: &'static str,
    state: Option<PathBuf>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            policy: None,
            rule: Vec::new(),
            settings: String::new(),
            cgroups: Vec::new(),
            starts: true,
            bus: true,
            small_disks: false,
            at_root: false,
            log: "debug",
            state: None,
        }
    }

    /// The whole policy, instead of the usual one. `{address}` and `{port}` stand for the
    /// host's server, `{port6}` for its server on `::1`.
    #[must_use]
    pub fn policy(mut self, text: &str) -> Self {
        self.policy = Some(text.to_owned());
        self
    }

    /// Another `ttl` of the usual rule than `15m`.
    #[must_use]
    pub fn ttl(self, ttl: &str) -> Self {
        self.rule("ttl", ttl)
    }

    /// Another `scope` of the usual rule than `user`.
    #[must_use]
    pub fn scope(self, scope: &str) -> Self {
        self.rule("scope", scope)
    }

    /// Another `max_hold` of the usual rule than `60s`.
    #[must_use]
    pub fn max_hold(self, max_hold: &str) -> Self {
        self.rule("max_hold", max_hold)
    }

    /// Another `first` of the usual rule than `hold`.
    #[must_use]
    pub fn first(self, first: &str) -> Self {
        self.rule("first", first)
    }

    /// Another `on_expiry` of the usual rule than `close`.
    #[must_use]
    pub fn on_expiry(self, on_expiry: &str) -> Self {
        self.rule("on_expiry", on_expiry)
    }

    fn rule(mut self, key: &'static str, value: &str) -> Self {
        self.rule.push((key, value.to_owned()));
        self
    }

    /// The agent's settings, `stile.toml`.
    #[must_use]
    pub fn settings(mut self, text: &str) -> Self {
        text.clone_into(&mut self.settings);
        self
    }

    /// A cgroup that is there before the daemon starts, as `user.slice/user-42001.slice`.
    #[must_use]
    pub fn cgroup(mut self, relative: &str) -> Self {
        self.cgroups.push(relative.to_owned());
        self
    }

    /// With a daemon that logs as an installed one does, not all that it does: for measuring.
    #[must_use]
    pub fn quiet(mut self) -> Self {
        self.log = "info";
        self
    }

    /// Without a daemon; [`Host::start`] starts it.
    #[must_use]
    pub fn stopped(mut self) -> Self {
        self.starts = false;
        self
    }

    /// Without a system bus; [`Host::start_bus`] starts it.
    #[must_use]
    pub fn without_bus(mut self) -> Self {
        self.bus = false;
        self
    }

    /// With the ledger and the audit log each on a small disk of its own.
    #[must_use]
    pub fn small_disks(mut self) -> Self {
        self.small_disks = true;
        self
    }

    /// With the ledger and the audit log in a folder of their own below this one, which ends with
    /// the host, instead of in the sandbox's memory.
    #[must_use]
    pub fn state_on(mut self, folder: impl Into<PathBuf>) -> Self {
        self.state = Some(folder.into());
        self
    }

    /// With the gate on the root of the cgroup2 hierarchy, where the daemon puts it by itself. It
    /// takes a machine of its own ([`crate::is_throwaway_machine`]), and one such host at a time.
    #[must_use]
    pub fn at_root(mut self) -> Self {
        self.at_root = true;
        self
    }

    /// Makes the host, and waits until its daemon enforces and is reached on the bus.
    ///
    /// # Panics
    /// If the daemon doesn't start; with what it wrote.
    #[must_use]
    pub fn build(self) -> Host {
        let number = next_number();
        let [high, low] = number.to_be_bytes();
        let address = Ipv4Addr::new(127, 83, high, low);
        let cgroup = match self.at_root {
            true => Cgroup::root(),
            false => Cgroup::create(sandbox::cgroup().join(format!("host-{number}"))),
        };
        for relative in &self.cgroups {
            cgroup.child(relative);
        }
        let dir = tempfile::Builder::new()
            .prefix("host-")
            .permissions(PermissionsExt::from_mode(0o755))
            .tempdir()
            .unwrap();
        let server = Server::start(IpAddr::V4(address), PORT);
        let server6 = Server::start(IpAddr::V6(Ipv6Addr::LOCALHOST), 0);
        let bus = self.bus.then(|| Bus::start(dir.path()));
        let pins = Pins(Path::new("/sys/fs/bpf").join(format!("host-{number}")));
        let disk = self.state.as_ref().map(|folder| {
            let mut builder = tempfile::Builder::new();
            builder.prefix("stile-state-").tempdir_in(folder).unwrap()
        });
        let places = Places {
            dir: dir.path().to_owned(),
            cgroup: (!self.at_root).then(|| cgroup.path().to_owned()),
            pins: pins.0.clone(),
            bus: Bus::address(dir.path()),
            log: self.log,
            state: disk.as_ref().unwrap_or(&dir).path().join("state"),
            environment: BTreeMap::new(),
            sessions: None,
        };
        let disks = self.small_disks.then(|| Disks::mount(&places.state()));
        self.write(&places, &server, &server6);
        let mut host = Host {
            daemon: None,
            places,
            cgroup,
            _pins: pins,
            bus,
            server,
            server6,
            disks,
            _dir: dir,
            _disk: disk,
        };
        if self.starts {
            host.start();
        }
        host
    }

    fn write(&self, places: &Places, server: &Server, server6: &Server) {
        fs::create_dir(places.policy()).unwrap();
        let usual = || self.usual_policy();
        let text = self.policy.clone().unwrap_or_else(usual);
        let text = fill_in(&text, server, server6);
        fs::write(places.policy().join("10-test.toml"), text).unwrap();
        fs::write(places.settings(), &self.settings).unwrap();
    }

    fn usual_policy(&self) -> String {
        let mut text = r#"
[[endpoint]]
name = "db"
hosts = ["{address}", "::1"]
ports = [5432, {port}, {port6}]

[[rule]]
name = "step-up"
endpoints = ["db"]
users = ["*"]
action = "step-up"
"#
        .to_owned();
        for (key, value) in &self.rule {
            text += &format!("{key} = \"{value}\"\n");
        }
        text
    }
}

pub(crate) fn fill_in(policy: &str, server: &Server, server6: &Server) -> String {
    policy
        .replace("{address}", &server.address().ip().to_string())
        .replace("{port}", &server.address().port().to_string())
        .replace("{port6}", &server6.address().port().to_string())
}

/// Each host of a test binary has its own; each binary has a network namespace of its own.
fn next_number() -> u16 {
    static LAST: AtomicU16 = AtomicU16::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

impl Host {
    /// Starts the daemon, and waits until it is reached on the bus, if there is one.
    ///
    /// # Panics
    /// If it doesn't start; with what it wrote.
    pub fn start(&mut self) {
        if let Err(said) = self.try_start() {
            panic!("stiled doesn't start:\n{said}");
        }
    }

    /// Starts the daemon, and returns how long that took: until it said that it is ready.
    ///
    /// # Panics
    /// If it doesn't start; with what it wrote.
    pub fn time_start(&mut self) -> Duration {
        self.daemon = None;
        let began = Instant::now();
        match Daemon::start(&self.places) {
            Ok(daemon) => self.daemon = Some(daemon),
            Err(said) => panic!("stiled doesn't start:\n{said}"),
        }
        began.elapsed()
    }

    /// Starts the daemon.
    ///
    /// # Errors
    /// What it wrote, if it ends instead.
    pub fn try_start(&mut self) -> Result<(), String> {
        self.daemon = None;
        self.daemon = Some(Daemon::start(&self.places)?);
        if self.bus.is_some() {
            self.wait_for_bus();
        }
        Ok(())
    }
}

/// Keeps the directory of a host alive as long as the host.
pub(crate) type Dir = TempDir;
