// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Promises S5 and S6: what the ledger and the audit log have acknowledged is there after
//! `kill -9`, whenever it hits.
//!
//! Each cycle runs this test binary again as a writer that prints a line for each step it was
//! told is durable, and kills it at a random moment.
#![expect(clippy::unwrap_used, reason = "helpers of a test may stop it")]

use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use stile::audit::{AuditLog, Event, Record, verify_file};
use stile::clock::{BootTime, Now, WallTime};
use stile::ids::Uid;
use stile::ledger::{BootId, Ledger, NewElevation, SecretPrint, StepOutcome, TotpSecret, TotpStep};
use stile::policy::{Assurance, Factor};
use tempfile::TempDir;

const CYCLES: usize = 40;
const USER: Uid = Uid(1000);
/// Tells the writers where to write.
const DIR: &str = "STILE_TEST_STATE_DIR";

const NOW: Now = Now {
    boot: BootTime(1),
    wall: WallTime(1),
};

fn boot() -> BootId {
    BootId::from("this boot".to_owned())
}

/// What the ledger knows the user's secret by.
fn print() -> SecretPrint {
    TotpSecret::new(b"12345678901234567890").print()
}

fn consume(ledger: &Ledger, step: u64) -> StepOutcome {
    let elevation = NewElevation {
        uid: USER,
        realm: "prod".to_owned(),
        bound: stile::decide::Bound::User,
        factor: Factor::Totp,
        assurance: Assurance::LOW,
        proven: NOW,
        boot: boot(),
        until: None,
        reason: None,
    };
    ledger
        .consume_step(&print(), TotpStep(step), &elevation, &[])
        .unwrap()
}

#[test]
#[ignore = "not a test: the process that no_used_step_is_accepted_again_after_a_kill kills"]
fn ledger_writer() {
    let ledger = Ledger::open(Path::new(&std::env::var(DIR).unwrap())).unwrap();
    let last = ledger
        .last_step(USER, &print())
        .unwrap()
        .map_or(0, |step| step.0);
    for step in last + 1.. {
        let outcome = consume(&ledger, step);
        assert!(matches!(outcome, StepOutcome::Consumed { .. }));
        acknowledge(step);
    }
}

#[test]
#[ignore = "not a test: the process that no_committed_record_is_lost_in_a_kill kills"]
fn audit_writer() {
    let dir = std::env::var(DIR).unwrap();
    let (mut log, _) = AuditLog::open(Path::new(&dir), NOW).unwrap();
    loop {
        let what = "x".repeat(3000);
        let seq = log
            .append(&Record::new(NOW, Event::Fault { what }))
            .unwrap();
        log.commit().unwrap();
        acknowledge(seq.0);
    }
}

/// Tells the parent; past the test harness, which would keep it.
fn acknowledge(number: u64) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nACK {number}").unwrap();
    out.flush().unwrap();
}

#[test]
fn no_used_step_is_accepted_again_after_a_kill() {
    let dir = TempDir::new().unwrap();
    let state = dir.path().join("state");
    let mut total = 0;
    for cycle in 0..CYCLES {
        let acknowledged = run_and_kill("ledger_writer", &state, cycle).unwrap_or(total);
        let ledger = Ledger::open(&state).unwrap();
        let last = ledger
            .last_step(USER, &print())
            .unwrap()
            .map_or(0, |step| step.0);
        // The step at work when the kill hit may be durable without having been told.
        assert!(
            last == acknowledged || last == acknowledged + 1,
            "cycle {cycle}: {acknowledged} acknowledged, {last} found"
        );
        let elevations = ledger.elevations(USER, &boot()).unwrap();
        assert_eq!(elevations.len() as u64, last, "one elevation for each step");
        for step in [1, acknowledged / 2, acknowledged] {
            if (1..=acknowledged).contains(&step) {
                let outcome = consume(&ledger, step);
                assert!(matches!(outcome, StepOutcome::Replayed(_)), "step {step}");
            }
        }
        total = last;
    }
    assert!(total >= CYCLES as u64, "the writers did their work");
}

#[test]
fn a_kill_while_the_ledger_is_made_leaves_none_or_a_whole_one() {
    let dir = TempDir::new().unwrap();
    for cycle in 0..CYCLES {
        let state = dir.path().join(cycle.to_string());
        let acknowledged = run_and_kill("ledger_writer", &state, 0).unwrap_or(0);
        let ledger = Ledger::open(&state).unwrap_or_else(|error| panic!("{cycle}: {error}"));
        let last = ledger
            .last_step(USER, &print())
            .unwrap()
            .map_or(0, |step| step.0);
        assert!(last == acknowledged || last == acknowledged + 1);
    }
}

#[test]
fn no_committed_record_is_lost_in_a_kill() {
    let dir = TempDir::new().unwrap();
    let audit = dir.path().join("audit");
    let mut total = 0;
    for cycle in 0..CYCLES {
        let acknowledged = run_and_kill("audit_writer", &audit, cycle).unwrap_or(total);
        let (log, opened) = AuditLog::open(&audit, NOW).unwrap();
        let report = verify_file(&audit.join(stile::audit::FILE_NAME)).unwrap();
        assert_eq!(report.last_hash, log.last_hash());
        let last = report.records;
        assert!(
            last >= acknowledged && last <= acknowledged.max(1) + 1,
            "cycle {cycle}: {acknowledged} acknowledged, {last} found, {opened:?}"
        );
        total = last;
    }
    assert!(total >= CYCLES as u64, "the writers did their work");
}

/// Runs a writer, kills it, and returns the last number that it acknowledged.
fn run_and_kill(writer: &str, dir: &Path, cycle: usize) -> Option<u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", writer, "--ignored", "--nocapture"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = Acknowledged::of(&mut child);
    // The first few cycles kill while the file is being made or opened.
    let wait_for = if cycle < 5 { 0 } else { random(12) + 1 };
    let mut last = None;
    for _ in 0..wait_for {
        last = Some(
            acknowledged
                .next()
                .expect("the writer goes on until killed"),
        );
    }
    let moment = if cycle < 5 { 8_000 } else { 2_000 };
    spin(Duration::from_micros(random(moment)));
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success());
    // What was told before the kill and not read yet.
    acknowledged.last().or(last)
}

/// The numbers that a writer has acknowledged.
struct Acknowledged<R>(R);

impl Acknowledged<BufReader<std::process::ChildStdout>> {
    fn of(child: &mut Child) -> Self {
        Self(BufReader::new(child.stdout.take().unwrap()))
    }
}

impl<R: BufRead> Iterator for Acknowledged<R> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.0.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            // A line that the kill cut short acknowledges nothing.
            if let Some(number) = line.strip_suffix('\n').and_then(|l| l.strip_prefix("ACK ")) {
                return Some(number.parse().unwrap());
            }
        }
    }
}

fn random(below: u64) -> u64 {
    RandomState::new().hash_one(0) % below
}

/// Passes a time that is too short to sleep: the kill shall hit any phase of a commit.
fn spin(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}
