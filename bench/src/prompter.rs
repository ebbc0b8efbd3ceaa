// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A prompter that shows nothing: this same program once more, as a user and with the group of
//! prompters, which says when the agent has asked it.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::unistd::Group;
use stile::bus::{NAME, PATH};
use stile_tests::Host;
use zbus::connection::Builder;
use zbus::{OwnedVariant, Variant, interface};

use crate::numbers::boot_nanos;

/// The group of prompters.
const GROUP: &str = "stile-prompt";
/// Where the agent looks for the object.
const OBJECT: &str = "/org/stile/Prompter1";
/// A prompter that isn't asked within this time isn't asked at all.
const PATIENCE: Duration = Duration::from_secs(30);

/// The bus that it joins.
#[derive(Debug, clap::Args)]
pub(crate) struct Place {
    /// Its address.
    #[arg(long)]
    bus: String,
}

/// A running prompter. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Prompter {
    process: Child,
    lines: Receiver<String>,
}

impl Prompter {
    /// Starts one of this user's, and waits until the agent knows it.
    ///
    /// # Errors
    /// If the agent doesn't take it.
    pub(crate) fn start(host: &Host, uid: u32) -> Result<Self> {
        let group = Group::from_name(GROUP)?.with_context(|| format!("no group {GROUP}"))?;
        let mut process = Command::new(std::env::current_exe()?)
            .arg("prompter")
            .arg(format!("--bus={}", host.bus()))
            .uid(uid)
            .gid(group.gid.as_raw())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("could not start a prompter")?;
        let output = process.stdout.take().context("a prompter has no output")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let mut written = BufReader::new(output).lines().map_while(Result::ok);
            written.try_for_each(|line| sender.send(line))
        });
        let prompter = Self { process, lines };
        ensure!(prompter.line()? == "ready", "the prompter isn't ready");
        Ok(prompter)
    }

    /// When it was asked: `CLOCK_BOOTTIME` in nanoseconds.
    ///
    /// # Errors
    /// If it isn't.
    pub(crate) fn asked(&self) -> Result<u64> {
        Ok(self.line()?.parse()?)
    }

    fn line(&self) -> Result<String> {
        let line = self.lines.recv_timeout(PATIENCE);
        line.context("the prompter says nothing")
    }
}

impl Drop for Prompter {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// Is one, until its standard input ends.
///
/// # Errors
/// If the agent doesn't take it.
pub(crate) fn run(place: &Place) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let bus = Builder::address(place.bus.as_str())
            .serve_at(OBJECT, Object)
            .build()
            .await?;
        let about: HashMap<&str, Variant<'_>> = HashMap::from([
            ("session", Variant::from("")),
            ("places", Variant::from(vec!["pinentry"])),
            ("language", Variant::from("en")),
        ]);
        bus.call_method(Some(NAME), PATH, Some(NAME), "RegisterPrompter", &about)
            .await?;
        say("ready")?;
        let ends = tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0]));
        ends.await??;
        Ok(())
    })
}

fn say(line: &str) -> Result<()> {
    let mut output = std::io::stdout();
    writeln!(output, "{line}")?;
    Ok(output.flush()?)
}

/// What the agent calls.
struct Object;

#[interface(name = "org.stile.Prompter1")]
impl Object {
    fn prompt(
        &self,
        _challenge: HashMap<String, OwnedVariant>,
        _attempt: HashMap<String, OwnedVariant>,
    ) -> zbus::fdo::Result<HashMap<&'static str, Variant<'static>>> {
        let asked = boot_nanos().and_then(|now| say(&now.to_string()));
        asked.map_err(|error| zbus::fdo::Error::Failed(format!("{error:#}")))?;
        Ok(HashMap::from([("outcome", Variant::from("silent"))]))
    }

    fn cancel(&self, _id: u64, _outcome: &str) {}

    fn tell(&self, _news: HashMap<String, OwnedVariant>) {}
}
