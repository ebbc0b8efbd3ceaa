// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Uses up TOTP steps of several users in the ledger of the agent, and counts wrong answers of
//! theirs, until something ends it. The suite `power` kills it, or cuts the power of the machine
//! that it runs on.
//!
//! `stile-test-ledger STORE DIRECTORY ACKNOWLEDGED FROM` first tries all steps again that the file
//! ACKNOWLEDGED lists (`USER STEP` in each line; `USER x COUNT` for wrong answers that must not be
//! forgotten), then goes on with fresh ones from FROM on. STORE is `ledger`,
//! or one of the stores that the suite must see losing steps: `unsynced`, a file that is written
//! and never synced, or `buffered`, one whose writes wait in the memory of this process.
//!
//! It prints `clock SECONDS` before it opens the store, `again USER STEP` for a listed step that
//! was accepted, `lost USER COUNT` for wrong answers that were forgotten, `checked COUNT` after all
//! of them, `ack USER STEP` for a fresh one once it is used up for good, `count USER COUNT` for so
//! many wrong answers once they are counted for good, and `failed WHY` as the last line if it can't
//! go on. A full stop ends each line, so that one that is cut short can't be taken for another one.

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

/// At this factor answers are wrong: no right one-time code ends that.
const COUNTED: Factor = Factor::Recovery;
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
    for known in &acknowledged {
        match *known {
            Known::Step(user, step) if store.take(user, step)? => {
                say(format_args!("again {user} {step}"))?;
            }
            Known::Wrong(user, count) if store.wrong(user)? < count => {
                say(format_args!("lost {user} {count}"))?;
            }
            Known::Step(..) | Known::Wrong(..) => {}
        }
    }
    say(format_args!("checked {}", acknowledged.len()))?;
    for step in from.. {
        for user in USERS {
            if !store.take(user, step)? {
                bail!("the fresh step {step} of {user} was refused");
            }
            say(format_args!("ack {user} {step}"))?;
            let count = store.count(user)?;
            say(format_args!("count {user} {count}"))?;
        }
    }
    bail!("there are no steps left")
}

fn say(line: std::fmt::Arguments<'_>) -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(format!("{line}.\n").as_bytes())?;
    output.flush()
}

/// What was acknowledged.
#[derive(Clone, Copy)]
enum Known {
    /// A step of a user was used up.
    Step(u32, u64),
    /// So many wrong answers of a user were counted.
    Wrong(u32, u64),
}

/// Reads a list of these; behind its end a disk has empty lines.
fn read(path: &Path) -> Result<Vec<Known>> {
    let text = fs::read_to_string(path).context("could not read the acknowledged steps")?;
    let filled = text.lines().filter(|line| !line.is_empty());
    filled
        .map(|line| parse(line).with_context(|| format!("`{line}` is no step")))
        .collect()
}

fn parse(line: &str) -> Option<Known> {
    let (user, number) = line.split_once(' ')?;
    let user = user.parse().ok()?;
    Some(match number.strip_prefix("x ") {
        Some(count) => Known::Wrong(user, count.parse().ok()?),
        None => Known::Step(user, number.parse().ok()?),
    })
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
        let (mut last, mut wrong) = (HashMap::new(), HashMap::new());
        for known in String::from_utf8_lossy(&left).lines().filter_map(parse) {
            match known {
                Known::Step(user, step) => last.insert(user, step),
                Known::Wrong(user, count) => wrong.insert(user, count),
            };
        }
        let file = File::options().append(true).create(true).open(&path)?;
        let output: Box<dyn Write> = match kind {
            "unsynced" => Box::new(file),
            "buffered" => Box::new(BufWriter::new(file)),
            _ => bail!("there is no store {kind}"),
        };
        Ok(Self::Forgetful(Forgetful {
            last,
            wrong,
            output,
        }))
    }

    /// Uses a step up. False if it, or a later one of the user, already is.
    fn take(&mut self, user: u32, step: u64) -> Result<bool> {
        match self {
            Self::Ledger(ledger, boot) => take_in_ledger(ledger, boot, user, step),
            Self::Forgetful(store) => store.take(user, step),
        }
    }

    /// Counts a wrong answer of the user. Returns how many there are.
    fn count(&mut self, user: u32) -> Result<u64> {
        match self {
            Self::Ledger(ledger, boot) => {
                let now = clock::now().boot;
                let failures = ledger.record_failure(Uid(user), &COUNTED, now, boot)?;
                Ok(failures.consecutive().into())
            }
            Self::Forgetful(store) => store.count(user),
        }
    }

    /// How many wrong answers of the user there are.
    fn wrong(&self, user: u32) -> Result<u64> {
        match self {
            Self::Ledger(ledger, _) => {
                let failures = ledger.failures(Uid(user), &COUNTED)?;
                Ok(failures.map_or(0, |failures| failures.consecutive().into()))
            }
            Self::Forgetful(store) => Ok(store.wrong.get(&user).copied().unwrap_or_default()),
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
    wrong: HashMap<u32, u64>,
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

    fn count(&mut self, user: u32) -> Result<u64> {
        let count = self.wrong.entry(user).or_default();
        *count += 1;
        writeln!(self.output, "{user} x {count}")?;
        Ok(*count)
    }
}
