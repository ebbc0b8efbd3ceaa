// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Uses up TOTP steps of several users in the ledger of the agent, until something ends it. The
//! suite `power` kills it, or cuts the power of the machine that it runs on.
//!
//! `stile-test-ledger STORE DIRECTORY ACKNOWLEDGED FROM` first tries all steps again that the file
//! ACKNOWLEDGED lists (`USER STEP` in each line), then goes on with fresh ones from FROM on. STORE is `ledger`,
//! or one of the stores that the suite must see losing steps: `unsynced`, a file that is written
//! and never synced, or `buffered`, one whose writes wait in the memory of this process.
//!
//! It prints `clock SECONDS` before it opens the store, `again USER STEP` for a listed step that
//! was accepted, `checked COUNT` after all of them, `ack USER STEP` for a fresh one once it is
//! used up for good, and `failed WHY` as the last line if it can't go on. A full stop ends each
//! line, so that one that is cut short can't be taken for another one.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use stile::clock;
use stile::decide::Bound;
use stile::ids::Uid;
use stile::ledger::{BootId, Ledger, NewElevation, StepOutcome, TotpSecret, TotpStep};
use stile::policy::{Assurance, Factor};

const USERS: [u32; 3] = [42001, 42002, 42003];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [store, directory, acknowledged, from] = arguments.as_slice() else {
        return usage();
    };
    let Ok(from) = from.parse() else {
        return usage();
    };
    let Err(error) = run(store, Path::new(directory), Path::new(acknowledged), from);
    // Nobody may be left to be told.
    let _ = say(format_args!("failed {error:#}"));
    ExitCode::FAILURE
}

fn usage() -> ExitCode {
    eprintln!("usage: stile-test-ledger ledger|unsynced|buffered DIRECTORY ACKNOWLEDGED FROM");
    ExitCode::from(2)
}

fn run(store: &str, directory: &Path, acknowledged: &Path, from: u64) -> Result<Infallible> {
    say(format_args!("clock {}", clock::now().wall.seconds()))?;
    let acknowledged = read(acknowledged)?;
    let mut store = Store::open(store, directory)?;
    for (user, step) in &acknowledged {
        if store.take(*user, *step)? {
            say(format_args!("again {user} {step}"))?;
        }
    }
    say(format_args!("checked {}", acknowledged.len()))?;
    for step in from.. {
        for user in USERS {
            if !store.take(user, step)? {
                bail!("the fresh step {step} of {user} was refused");
            }
            say(format_args!("ack {user} {step}"))?;
        }
    }
    bail!("there are no steps left")
}

fn say(line: std::fmt::Arguments<'_>) -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(format!("{line}.\n").as_bytes())?;
    output.flush()
}

/// Reads a list of steps; behind its end a disk has empty lines.
fn read(path: &Path) -> Result<Vec<(u32, u64)>> {
    let text = fs::read_to_string(path).context("could not read the acknowledged steps")?;
    let filled = text.lines().filter(|line| !line.is_empty());
    filled
        .map(|line| parse(line).with_context(|| format!("`{line}` is no step")))
        .collect()
}

fn parse(line: &str) -> Option<(u32, u64)> {
    let (user, step) = line.split_once(' ')?;
    Some((user.parse().ok()?, step.parse().ok()?))
}

/// What remembers used steps.
enum Store {
    /// The real one.
    Ledger(Ledger, BootId),
    /// One whose yes is worth nothing.
    Forgetful(Forgetful),
}

impl Store {
    fn open(kind: &str, directory: &Path) -> Result<Self> {
        if kind == "ledger" {
            let boot = BootId::from(clock::boot_id()?);
            return Ok(Self::Ledger(Ledger::open(directory)?, boot));
        }
        fs::create_dir_all(directory)?;
        let path = directory.join("steps");
        // What is left of a line after a cut is no step.
        let left = fs::read(&path).unwrap_or_default();
        let last = String::from_utf8_lossy(&left)
            .lines()
            .filter_map(parse)
            .collect();
        let file = File::options().append(true).create(true).open(&path)?;
        let output: Box<dyn Write> = match kind {
            "unsynced" => Box::new(file),
            "buffered" => Box::new(BufWriter::new(file)),
            _ => bail!("there is no store {kind}"),
        };
        Ok(Self::Forgetful(Forgetful { last, output }))
    }

    /// Uses a step up. False if it, or a later one of the user, already is.
    fn take(&mut self, user: u32, step: u64) -> Result<bool> {
        match self {
            Self::Ledger(ledger, boot) => take_in_ledger(ledger, boot, user, step),
            Self::Forgetful(store) => store.take(user, step),
        }
    }
}

fn take_in_ledger(ledger: &Ledger, boot: &BootId, user: u32, step: u64) -> Result<bool> {
    let elevation = NewElevation {
        uid: Uid(user),
        realm: "prod".to_owned(),
        bound: Bound::User,
        factor: Factor::Totp,
        assurance: Assurance::LOW,
        proven: clock::now(),
        boot: boot.clone(),
        until: None,
        reason: None,
    };
    let secret = TotpSecret::new(b"12345678901234567890").print();
    let outcome = ledger.consume_step(&secret, TotpStep(step), &elevation, &[])?;
    Ok(matches!(outcome, StepOutcome::Consumed { .. }))
}

/// Compares and records as the ledger does, but never waits for the disk.
struct Forgetful {
    last: HashMap<u32, u64>,
    output: Box<dyn Write>,
}

impl Forgetful {
    fn take(&mut self, user: u32, step: u64) -> Result<bool> {
        if self.last.get(&user).is_some_and(|last| step <= *last) {
            return Ok(false);
        }
        writeln!(self.output, "{user} {step}")?;
        self.last.insert(user, step);
        Ok(true)
    }
}
