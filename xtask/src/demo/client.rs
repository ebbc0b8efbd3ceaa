// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The command `stile`, as alice would type it.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::phone::Phone;
use crate::sandbox::ALICE;
use crate::workspace;

/// How often is asked for what the command line can't wait for.
const INTERVAL: Duration = Duration::from_millis(50);

/// `stile` on one bus, as alice.
#[derive(Debug)]
pub(super) struct Client {
    stile: PathBuf,
    bus: String,
}

impl Client {
    pub(super) fn new(stile: PathBuf, bus: String) -> Self {
        Self { stile, bus }
    }

    /// The address of the bus.
    pub(super) fn bus(&self) -> &str {
        &self.bus
    }

    /// The path of `stile`.
    pub(super) fn path(&self) -> &Path {
        &self.stile
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.stile);
        command
            .args(arguments)
            .uid(ALICE.id)
            .gid(ALICE.id)
            .current_dir("/")
            .env("DBUS_SYSTEM_BUS_ADDRESS", &self.bus);
        command
    }

    /// Waits until the agent answers on the bus: it is ready when it enforces, and reaches
    /// for the bus then.
    pub(super) fn wait_for_agent(&self, patience: Duration) -> Result<()> {
        wait_for("an answer of stiled on the bus", patience, || {
            Ok(self.pending("").is_ok().then_some(()))
        })
    }

    /// Enrolls alice, and confirms with a first code. Returns her phone and its address.
    pub(super) fn enroll(&self) -> Result<(Phone, String)> {
        let mut child = self
            .command(&["enroll", "--json"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("could not start `stile enroll`")?;
        let output = child
            .stdout
            .take()
            .context("`stile enroll` has no output")?;
        let mut line = String::new();
        let mut output = BufReader::new(output);
        output.read_line(&mut line)?;
        let enrollment: Value =
            serde_json::from_str(&line).context("`stile enroll --json` printed no JSON")?;
        let url = super::stage::text(&enrollment, "url")?.to_owned();
        let mut phone = Phone::scan(&url)?;
        let code = phone.fresh_code()?;
        if let Some(mut input) = child.stdin.take() {
            writeln!(input, "{code}")?;
        }
        let mut outcome = String::new();
        output.read_line(&mut outcome)?;
        let status = child.wait()?;
        if !status.success() {
            bail!("`stile enroll` ended with {status}: {outcome}");
        }
        Ok((phone, url))
    }

    /// Alice's challenges for an endpoint.
    pub(super) fn pending(&self, endpoint: &str) -> Result<Vec<Value>> {
        self.list("pending", endpoint)
    }

    /// Alice's live grants for an endpoint.
    pub(super) fn grants(&self, endpoint: &str) -> Result<Vec<Value>> {
        self.list("grants", endpoint)
    }

    fn list(&self, what: &str, endpoint: &str) -> Result<Vec<Value>> {
        let text = workspace::output(&mut self.command(&[what, "--json"]))?;
        let mut all: Vec<Value> = serde_json::from_str(&text)
            .with_context(|| format!("`stile {what} --json` printed something else: {text}"))?;
        all.retain(|entry| entry["endpoint"] == endpoint);
        Ok(all)
    }

    /// Answers a challenge. Returns what `stile` says became of the code.
    pub(super) fn approve(&self, challenge: &Value, code: &str) -> Result<Value> {
        let id = challenge["id"].to_string();
        let mut child = self
            .command(&["approve", &id, "--stdin", "--json"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // What it shows the person before it takes the code.
            .stderr(Stdio::piped())
            .spawn()
            .context("could not start `stile approve`")?;
        if let Some(mut input) = child.stdin.take() {
            writeln!(input, "{code}")?;
        }
        let output = child.wait_with_output()?;
        serde_json::from_slice(&output.stdout).with_context(|| {
            format!(
                "`stile approve` ended with {} and no JSON: {}",
                output.status,
                String::from_utf8_lossy(&output.stderr).trim()
            )
        })
    }

    /// Whether `stile audit verify` finds a log whole.
    pub(super) fn is_whole(&self, log: &Path) -> Result<bool> {
        let mut command = Command::new(&self.stile);
        command.args(["audit", "verify", "--log"]).arg(log);
        let output = command
            .output()
            .context("could not start `stile audit verify`")?;
        match output.status.code() {
            Some(0) => Ok(true),
            // "a broken audit log was found", as `stile audit verify --help` says.
            Some(5) => Ok(false),
            _ => bail!(
                "`stile audit verify` ended with {}: {}",
                output.status,
                String::from_utf8_lossy(&output.stderr).trim()
            ),
        }
    }
}

/// Asks until there is an answer.
pub(super) fn wait_for<T>(
    what: &str,
    patience: Duration,
    mut ask: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if Instant::now() > deadline {
            bail!("{what}: not seen within {} s", patience.as_secs());
        }
        std::thread::sleep(INTERVAL);
    }
}
