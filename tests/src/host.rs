// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A machine with stile on it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use nix::sys::signal::Signal;

use crate::audit::AuditLog;
use crate::builder::{Builder, Dir, fill_in};
use crate::bus::Bus;
use crate::cgroup::Cgroup;
use crate::client::Client;
use crate::daemon::{Daemon, Places};
use crate::disk::Disks;
use crate::pty::Terminal;
use crate::sandbox::{self, User};
use crate::server::Server;
use crate::wait::until;

/// Joins the cgroup, becomes the user, and then the program.
const BECOME: &str = r#"echo $$ > "$0/cgroup.procs" && exec "$@""#;

/// The leader of a session takes the terminal that it opens first (credentials(7)).
pub(crate) const TAKE_TERMINAL: &str = r#"exec 3<>"$0" && exec "$@""#;

/// A machine with stile on it, for one test. The fields are dropped from first to last.
#[derive(Debug)]
pub struct Host {
    pub(crate) daemon: Option<Daemon>,
    pub(crate) places: Places,
    pub(crate) cgroup: Cgroup,
    pub(crate) _pins: Pins,
    pub(crate) bus: Option<Bus>,
    pub(crate) server: Server,
    pub(crate) server6: Server,
    pub(crate) disks: Option<Disks>,
    pub(crate) _dir: Dir,
    pub(crate) _disk: Option<Dir>,
}

/// The gate's pins, which end with the host.
#[derive(Debug)]
pub(crate) struct Pins(pub(crate) PathBuf);

impl Drop for Pins {
    fn drop(&mut self) {
        // Not there if the daemon never came so far.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Host {
    /// Describes one.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// The usual one: endpoint `db`, which everybody may reach after a step-up for 15 minutes.
    #[must_use]
    pub fn start_usual() -> Self {
        Self::builder().build()
    }

    /// The echo server on the host's own protected IPv4 address.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The echo server on `::1`, on a port of its own.
    #[must_use]
    pub fn server6(&self) -> &Server {
        &self.server6
    }

    /// The directory of the gate's pins.
    #[must_use]
    pub fn pins(&self) -> &Path {
        &self.places.pins
    }

    /// The directory of ledger and audit log.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.places.state()
    }

    /// The cgroup that the gate is attached to.
    #[must_use]
    pub fn cgroup(&self) -> &Path {
        self.cgroup.path()
    }

    /// The folder of the policy's files.
    #[must_use]
    pub fn policy(&self) -> PathBuf {
        self.places.policy()
    }

    /// The agent's settings.
    #[must_use]
    pub fn settings(&self) -> PathBuf {
        self.places.settings()
    }

    /// Has the next daemon find its credentials in this folder, as systemd says it
    /// (`LoadCredential=`); in none, if there is none.
    pub fn give_credentials(&mut self, folder: Option<&Path>) {
        let environment = &mut self.places.environment;
        match folder {
            Some(folder) => environment.insert("CREDENTIALS_DIRECTORY", folder.into()),
            None => environment.remove("CREDENTIALS_DIRECTORY"),
        };
    }

    /// Has the next daemon believe that its wall clock is so many seconds ahead of this machine's.
    /// Its other clocks are right.
    ///
    /// # Errors
    /// Why that can't be done here.
    pub fn shift_clock(&mut self, seconds: i64) -> Result<(), &'static str> {
        let Some(library) = faketime() else {
            return Err("libfaketime isn't installed");
        };
        self.places.environment.extend([
            ("LD_PRELOAD", library.into()),
            ("FAKETIME", format!("{seconds:+}s").into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        ]);
        Ok(())
    }

    /// The small disks of [`Builder::small_disks`].
    #[must_use]
    pub fn disks(&self) -> &Disks {
        self.disks.as_ref().unwrap()
    }

    /// The daemon's command line, run by this program and its arguments: one more daemon, or
    /// one that won't start. [`Self::start`] is for the usual one.
    #[must_use]
    pub fn stiled(&self, runner: &[&str]) -> Command {
        self.places.stiled(runner)
    }

    /// Ends the system bus.
    pub fn stop_bus(&mut self) {
        self.bus = None;
    }

    /// Starts the system bus.
    pub fn start_bus(&mut self) {
        self.bus = Some(Bus::start(&self.places.dir));
    }

    /// What the daemon has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = fs::read(self.places.log_file()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What the audit log says.
    #[must_use]
    pub fn audit(&self) -> AuditLog {
        AuditLog(self.state().join("audit/audit.jsonl"))
    }

    /// A program on this host, run by this user. Where it is found, the user's session is a
    /// cgroup that tells nothing about the user.
    pub fn as_user(&self, user: User, program: impl AsRef<Path>) -> Command {
        self.in_cgroup("session", user, program)
    }

    /// A program run by this user in this cgroup below the host's, made if it isn't there.
    pub fn in_cgroup(&self, relative: &str, user: User, program: impl AsRef<Path>) -> Command {
        self.wrapped(relative, user, &[], program.as_ref())
    }

    /// A program whose controlling terminal is this one.
    pub fn on_terminal(&self, terminal: &Terminal, user: User, program: &Path) -> Command {
        let path = terminal.path().to_str().unwrap();
        let before = ["setsid", "/bin/sh", "-c", TAKE_TERMINAL, path];
        self.wrapped("session", user, &before, program)
    }

    /// The client, about to connect to the host's server, with this controlling terminal.
    pub fn client_on(&self, terminal: &Terminal, user: User) -> Command {
        let mut command = self.on_terminal(terminal, user, &client_program());
        command.args(["tcp", &self.server.address().to_string()]);
        command
    }

    /// A program of root's in this cgroup below the host's.
    pub(crate) fn run_as_root_in(&self, relative: &str, program: &Path) -> Command {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", BECOME])
            .arg(self.cgroup.child(relative))
            .arg(program)
            .stdin(Stdio::null());
        command
    }

    /// The folder of its own.
    pub(crate) fn dir(&self) -> &Path {
        &self.places.dir
    }

    /// From now on it gates this cgroup below its own, and nothing else, and finds sessions in
    /// this folder.
    pub(crate) fn serve_machine(&mut self, relative: &str, sessions: PathBuf) {
        self.places.cgroup = Some(self.cgroup.child(relative));
        self.places.sessions = Some(sessions);
        self.start();
        self.wait_for_bus();
    }

    /// A program of this user's, after what root does before it.
    pub(crate) fn run_after(&self, before: &[&str], user: User, program: &Path) -> Command {
        self.wrapped("session", user, before, program)
    }

    fn wrapped(&self, relative: &str, user: User, before: &[&str], program: &Path) -> Command {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", BECOME])
            .arg(self.cgroup.child(relative))
            .args(before)
            .arg("setpriv")
            .arg(format!("--reuid={}", user.uid))
            .arg(format!("--regid={}", user.uid))
            .args(["--init-groups", "--"])
            .arg(program)
            .env("DBUS_SYSTEM_BUS_ADDRESS", &self.places.bus)
            .env("HOME", "/")
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(Stdio::null());
        command
    }

    /// The client program, about to connect over `tcp` or `udp`; for [`Client::start`].
    pub fn client(&self, user: User, protocol: &str, to: SocketAddr) -> Command {
        let mut command = self.as_user(user, client_program());
        command.args([protocol, &to.to_string()]);
        command
    }

    /// A client of this user that connects to the host's server.
    #[must_use]
    pub fn connect(&self, user: User) -> Client {
        self.connect_to(user, self.server.address())
    }

    /// A client of this user that connects to this address over TCP.
    #[must_use]
    pub fn connect_to(&self, user: User, to: SocketAddr) -> Client {
        Client::start(&mut self.client(user, "tcp", to))
    }

    /// A client of this user, in this cgroup below the host's, that connects to its server.
    #[must_use]
    pub fn connect_in(&self, relative: &str, user: User) -> Client {
        let mut command = self.in_cgroup(relative, user, client_program());
        command.args(["tcp", &self.server.address().to_string()]);
        Client::start(&mut command)
    }

    /// The real `psql` of this user, unmodified, against the host's address. The name tells
    /// its sessions from others ([`crate::Postgres::sessions_of`]).
    pub fn psql(&self, user: User, application: &str) -> Command {
        let mut command = self.as_user(user, sandbox::postgres_bin("psql"));
        command
            .args(["--no-psqlrc", "--no-align", "--tuples-only", "--host"])
            .arg(self.server.address().ip().to_string())
            .args(["--port=5432", "--username=postgres", "--dbname=postgres"])
            .env("PGAPPNAME", application);
        command
    }

    /// Writes another policy; [`Self::reload`] makes it count. `{address}`, `{port}` and
    /// `{port6}` stand for the host's servers.
    pub fn write_policy(&self, text: &str) {
        let text = fill_in(text, &self.server, &self.server6);
        fs::write(self.places.policy().join("10-test.toml"), text).unwrap();
    }

    /// Makes the daemon read its policy anew, and waits until it has.
    pub fn reload(&mut self) {
        self.signal(Signal::SIGHUP);
        let daemon = self.daemon.as_mut().unwrap();
        assert!(daemon.hears("READY=1"), "stiled ended");
    }

    /// Makes the daemon read its policy anew; [`Self::has_reloaded`] tells when it has.
    pub fn begin_reload(&self) {
        self.signal(Signal::SIGHUP);
    }

    /// True once the daemon has done what [`Self::begin_reload`] asked for.
    #[must_use]
    pub fn has_reloaded(&mut self) -> bool {
        self.daemon.as_mut().unwrap().has_said("READY=1")
    }

    /// Where the host's system bus listens.
    #[must_use]
    pub fn bus(&self) -> &str {
        &self.places.bus
    }

    /// The daemon's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.daemon.as_ref().unwrap().process.pid()
    }

    /// True until the daemon has ended.
    pub fn is_running(&mut self) -> bool {
        self.daemon.as_mut().unwrap().ended().is_none()
    }

    /// Sends the daemon a signal.
    pub fn signal(&self, signal: Signal) {
        self.daemon.as_ref().unwrap().process.signal(signal);
    }

    /// Stops the daemon as systemd does, and waits for its end.
    pub fn stop(&mut self) {
        self.signal(Signal::SIGTERM);
        let status = self.daemon.as_mut().unwrap().wait();
        assert!(status.success(), "stiled ended with {status}");
        self.daemon = None;
    }

    /// Stops the daemon as systemd does, and starts it again.
    pub fn restart(&mut self) {
        self.stop();
        self.start();
    }

    /// Kills the daemon without a warning, and waits until it is gone.
    pub fn kill9(&mut self) {
        self.signal(Signal::SIGKILL);
        self.daemon.as_mut().unwrap().wait();
        self.daemon = None;
    }

    /// Waits until the daemon has ended by itself or by a signal, and returns how.
    #[track_caller]
    pub fn wait_for_end(&mut self) -> ExitStatus {
        let status = self.daemon.as_mut().unwrap().wait();
        self.daemon = None;
        status
    }

    /// Waits until the daemon is reached on the bus.
    #[track_caller]
    pub fn wait_for_bus(&self) {
        until("the daemon is on the bus", || {
            let status = self.stile(sandbox::ROOT, &["status"]);
            (status.code != 4).then_some(())
        });
    }
}

/// The library that tells a process another time; each architecture has a folder of its own.
fn faketime() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?;
    folders
        .filter_map(|folder| Some(folder.ok()?.path().join("faketime/libfaketime.so.1")))
        .find(|library| library.is_file())
}

/// Where the sandbox's users find a program of stile.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    sandbox::bin(name)
}

/// Where the sandbox's users find the tests' own client.
#[must_use]
pub fn client_program() -> PathBuf {
    sandbox::bin("stile-test-client")
}

impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "--- stiled of {} ---\n{}---",
                self.cgroup().display(),
                self.log()
            );
        }
    }
}
