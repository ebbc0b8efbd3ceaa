// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The scene, inside the sandbox: a bus, a database, the agent, and alice with a phone.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::StageOptions;
use super::client::Client;
use crate::sandbox::{ALICE, POSTGRES, User};
use crate::{say, workspace};

/// Where the database listens: nothing else on the loopback interface is protected.
pub(super) const DATABASE: &str = "127.83.0.1";
/// Its port.
pub(super) const PORT: u16 = 5432;
/// Where the burst's server listens.
pub(super) const BURST: &str = "127.83.0.2:7000";
/// How long a grant lasts. Long enough to look around, short enough to see it end.
pub(super) const TTL: Duration = Duration::from_secs(20);
/// How long anything of the scene may take to come up.
const PATIENCE: Duration = Duration::from_secs(30);

const SETTINGS: &str = "gated_uids = [\"42000-42999\"]\nissuer = \"stile demo\"\n";
const POLICY: &str = r#"
[[endpoint]]
name = "prod-db"
hosts = ["127.83.0.1/32"]
ports = [5432]

[[endpoint]]
name = "burst"
hosts = ["127.83.0.2/32"]
ports = [7000]

[[rule]]
name = "dba step-up"
endpoints = ["prod-db"]
users = ["%dba"]
action = "step-up"
factors = ["totp"]
ttl = "20s"
scope = "user"
max_hold = "60s"

[[rule]]
name = "burst step-up"
endpoints = ["burst"]
users = ["%dba"]
action = "step-up"
factors = ["totp"]
ttl = "60s"
scope = "user"
max_hold = "90s"
"#;
const TABLE: &str = "
create role alice login;
create table accounts (id int primary key, owner text, balance numeric(12,2));
insert into accounts values
  (1, 'Ada Lovelace', 1815.12), (2, 'Alan Turing', 1912.06), (3, 'Grace Hopper', 1906.12);
grant select on accounts to alice;
";
const BUS: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=@FOLDER@/bus</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus"/>
  </policy>
  <include>@POLICY@</include>
</busconfig>
"#;

/// The scene. What it started ends with the sandbox.
#[derive(Debug)]
pub(super) struct Stage {
    /// The sandbox's folder.
    pub(super) folder: PathBuf,
    /// PostgreSQL's programs.
    pub(super) postgres: PathBuf,
    /// This xtask, where alice may run it.
    pub(super) xtask: PathBuf,
    /// `stile` on the bus of the scene.
    pub(super) stile: Client,
    bin: PathBuf,
    cgroup: PathBuf,
}

impl Stage {
    /// Builds it.
    pub(super) fn build(options: &StageOptions) -> Result<Self> {
        say::step("building the scene in its sandbox");
        let bus = format!("unix:path={}/bus", options.folder.display());
        let stage = Self {
            folder: options.folder.clone(),
            postgres: options.postgres.clone(),
            xtask: options.xtask.clone(),
            stile: Client::new(options.bin.join("stile"), bus),
            bin: options.bin.clone(),
            cgroup: options.cgroup.clone(),
        };
        stage.start_bus(&options.bus_policy)?;
        stage.start_database()?;
        stage.start_agent()?;
        Ok(stage)
    }

    /// The audit log.
    pub(super) fn audit_log(&self) -> PathBuf {
        self.folder.join("state/audit/audit.jsonl")
    }

    /// What the status line of tmux knows of alice's phone, for root only.
    pub(super) fn phone_file(&self) -> PathBuf {
        self.folder.join("phone")
    }

    fn start_bus(&self, policy: &Path) -> Result<()> {
        if !policy.is_file() {
            bail!("{} is missing", policy.display());
        }
        let config = BUS
            .replace("@FOLDER@", &self.folder.display().to_string())
            .replace("@POLICY@", &policy.display().to_string());
        let file = self.write("bus.conf", &config)?;
        let mut child = Command::new("dbus-daemon")
            .arg("--config-file")
            .arg(file)
            .args(["--nofork", "--nopidfile", "--nosyslog", "--print-address"])
            .stdout(Stdio::piped())
            .stderr(self.log("bus.log")?)
            .spawn()
            .context("could not start dbus-daemon")?;
        // It prints its address once it listens.
        let output = child.stdout.take().context("dbus-daemon has no output")?;
        let mut address = String::new();
        BufReader::new(output).read_line(&mut address)?;
        if address.is_empty() {
            bail!("dbus-daemon did not come up:\n{}", self.tail("bus.log"));
        }
        say::done("a D-Bus system bus of its own");
        Ok(())
    }

    fn start_database(&self) -> Result<()> {
        let home = self.folder.join("home").join(POSTGRES.name);
        let data = home.join("data");
        let mut initdb = self.as_postgres("initdb");
        initdb
            .args([
                "--auth=trust",
                "--encoding=UTF8",
                "--no-locale",
                "--no-sync",
            ])
            .arg("--pgdata")
            .arg(&data);
        workspace::output(&mut initdb)?;

        let settings = format!(
            "-c listen_addresses={DATABASE} -c port={PORT} -c unix_socket_directories={} \
             -c fsync=off",
            home.display()
        );
        let mut start = self.as_postgres("pg_ctl");
        start
            .args([
                "start",
                "--wait",
                "--silent",
                "--options",
                &settings,
                "--pgdata",
            ])
            .arg(&data)
            .arg("--log")
            .arg(home.join("log"))
            // Or the server would hold on to a pipe of ours.
            .stdout(Stdio::null());
        workspace::run(&mut start)?;
        self.sql(TABLE)?;
        say::done(format!(
            "PostgreSQL on {DATABASE}:{PORT} with a table of accounts"
        ));
        Ok(())
    }

    /// Runs SQL as the database's superuser, past the gate: over the Unix socket.
    pub(super) fn sql(&self, text: &str) -> Result<String> {
        let mut psql = self.as_postgres("psql");
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "--host"])
            .arg(self.folder.join("home").join(POSTGRES.name))
            .args(["--dbname=postgres", "--command", text]);
        workspace::output(&mut psql)
    }

    fn as_postgres(&self, program: &str) -> Command {
        let mut command = as_user(self.postgres.join(program), POSTGRES, &self.folder);
        command.current_dir("/");
        command
    }

    fn start_agent(&self) -> Result<()> {
        let settings = self.write("stile.toml", SETTINGS)?;
        let policy = self.folder.join("policy.d");
        std::fs::DirBuilder::new().mode(0o755).create(&policy)?;
        self.write("policy.d/10-demo.toml", POLICY)?;
        let ready = UnixDatagram::bind(self.folder.join("ready"))
            .context("could not make the notify socket")?;
        let mut child = Command::new(self.bin.join("stiled"))
            .arg("--config")
            .arg(settings)
            .arg("--policy")
            .arg(policy)
            .arg("--cgroup")
            .arg(&self.cgroup)
            .args(["--bpffs", "/sys/fs/bpf/stile", "--state-dir"])
            .arg(self.folder.join("state"))
            .env("DBUS_SYSTEM_BUS_ADDRESS", self.stile.bus())
            .env("NOTIFY_SOCKET", self.folder.join("ready"))
            .stdin(Stdio::null())
            .stderr(self.log("stiled.log")?)
            .spawn()
            .context("could not start stiled")?;
        self.write("stiled.pid", &child.id().to_string())?;
        wait_ready(&ready, &mut child)
            .with_context(|| format!("stiled did not come up:\n{}", self.tail("stiled.log")))?;
        self.stile.wait_for_agent(PATIENCE)?;
        say::done(format!(
            "stiled holds what reaches {DATABASE}:{PORT}; a code opens it for {} s",
            TTL.as_secs()
        ));
        Ok(())
    }

    /// What the kernel says of the agent's process (proc_pid_status(5)).
    pub(super) fn agent_status(&self) -> Result<String> {
        let pid = std::fs::read_to_string(self.folder.join("stiled.pid"))?;
        std::fs::read_to_string(format!("/proc/{pid}/status")).context("stiled is gone")
    }

    /// The last lines of a log of the scene.
    pub(super) fn tail(&self, name: &str) -> String {
        let bytes = std::fs::read(self.folder.join(name)).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Writes a file that only root may change.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        let mut file = std::fs::File::create(&path)
            .with_context(|| format!("could not write {}", path.display()))?;
        file.set_permissions(PermissionsExt::from_mode(0o644))?;
        file.write_all(text.as_bytes())?;
        Ok(path)
    }

    fn log(&self, name: &str) -> Result<std::fs::File> {
        let path = self.folder.join(name);
        std::fs::File::create(&path).with_context(|| format!("could not write {}", path.display()))
    }
}

/// A command as one of the sandbox's users, in their home.
pub(super) fn as_user(program: impl AsRef<std::ffi::OsStr>, user: User, folder: &Path) -> Command {
    let home = folder.join("home").join(user.name);
    let mut command = Command::new(program);
    command
        .uid(user.id)
        .gid(user.id)
        .current_dir(&home)
        .env("HOME", home)
        .env("USER", user.name)
        .env("LOGNAME", user.name);
    command
}

/// `psql` as alice, on a connection that nothing but the gate can hold up.
pub(super) fn psql(stage: &Stage) -> Command {
    let mut psql = as_user(stage.postgres.join("psql"), ALICE, &stage.folder);
    psql.args([
        "-X",
        "--host",
        DATABASE,
        "--username=alice",
        "--dbname=postgres",
    ])
    // Either could make psql try a second connection after the first.
    .env("PGSSLMODE", "disable")
    .env("PGGSSENCMODE", "disable");
    psql
}

/// Waits for `READY=1` (`sd_notify(3)`), as systemd does.
fn wait_ready(ready: &UnixDatagram, child: &mut Child) -> Result<()> {
    ready.set_read_timeout(Some(Duration::from_millis(200)))?;
    let deadline = Instant::now() + PATIENCE;
    let mut message = [0; 4096];
    loop {
        if let Ok(length) = ready.recv(&mut message) {
            let text = String::from_utf8_lossy(&message[..length]).into_owned();
            if text.lines().any(|line| line == "READY=1") {
                return Ok(());
            }
        }
        if let Some(status) = child.try_wait()? {
            bail!("it ended with {status}");
        }
        if Instant::now() > deadline {
            bail!("it was not ready after {} s", PATIENCE.as_secs());
        }
    }
}

/// A text field of a JSON object.
pub(super) fn text<'a>(value: &'a Value, field: &str) -> Result<&'a str> {
    value[field]
        .as_str()
        .with_context(|| format!("there is no text `{field}` in {value}"))
}
