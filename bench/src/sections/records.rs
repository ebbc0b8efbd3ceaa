// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the audit log and the ledger take down in a second.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use stile::audit::{AuditLog, Event, Record};
use stile::clock::{self, WallTime};
use stile::decide::Bound;
use stile::ids::Uid;
use stile::ledger::{
    BootId, Ledger, MAX_DEVICES, NewDevice, NewElevation, StepOutcome, TotpParameters, TotpSecret,
    TotpStep,
};
use stile::policy::{Assurance, Factor};
use stile::verify::{Purpose, Verification, verify_code};
use stile_tests::Authenticator;

use super::held::DISK;
use super::{Run, Section};
use crate::numbers::{DAEMON, at_most, row};
use crate::report::{Of, Row, Table};

/// A secret, and the same in base 32 (RFC 6238 appendix B).
const SECRET: &[u8] = b"12345678901234567890";
const SECRET_TEXT: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

pub(super) const SECTION: Section = Section {
    name: "records",
    run,
};

/// Measures.
///
/// # Errors
/// If the disk fails.
fn run(run: &mut Run) -> Result<()> {
    let time = Duration::from_millis(if run.quick { 400 } else { 3000 });
    let memory = std::env::temp_dir();
    let mut rows = Vec::new();
    for (place, folder) in [("disk", Path::new(DISK)), ("memory", &memory)] {
        for batch in [1, 256, 4096] {
            rows.push(records(place, folder, batch, time)?);
        }
        rows.push(commits(place, folder, time)?);
        rows.push(codes(place, folder, time)?);
    }
    run.tables.push(Table {
        id: "records".to_owned(),
        title: "Audit log and ledger".to_owned(),
        note: "One thread. Records of some 300 bytes are chained and flushed to the disk, so many at a \
               time; the ledger uses codes up, each in a transaction of its own. A code is checked against \
               five devices of its user. On a disk, and in memory, where a flush costs nothing."
            .to_owned(),
        rows,
    });
    Ok(())
}

/// Records a second, if so many share a flush.
fn records(place: &str, folder: &Path, batch: u32, time: Duration) -> Result<Row> {
    let folder = tempfile::tempdir_in(folder)?;
    let now = clock::now();
    let (mut log, _) = AuditLog::open(&folder.path().join("audit"), now)?;
    let record = Record::new(
        now,
        Event::EventsLost {
            kind: "x".repeat(60),
            count: 1,
        },
    );
    let (began, mut written) = (Instant::now(), 0_u32);
    while began.elapsed() < time {
        for _ in 0..batch {
            log.append(&record)?;
        }
        log.commit()?;
        written += batch;
    }
    let rate = f64::from(written) / began.elapsed().as_secs_f64();
    let id = format!("records/audit-{batch}-{place}/{DAEMON}");
    let what = format!("audit records, {batch} to a flush, {place}");
    Ok(row(&id, &what, DAEMON, "1/s", &[rate]))
}

/// Codes used up in a second.
fn commits(place: &str, folder: &Path, time: Duration) -> Result<Row> {
    let folder = tempfile::tempdir_in(folder)?;
    let ledger = Ledger::open(&folder.path().join("state"))?;
    let elevation = NewElevation {
        uid: Uid(1000),
        realm: "step-up".to_owned(),
        bound: Bound::User,
        factor: Factor::Totp,
        assurance: Assurance::LOW,
        proven: clock::now(),
        boot: BootId::from(clock::boot_id()?),
        until: None,
        reason: None,
    };
    let print = TotpSecret::new(&[7; 20]).print();
    let (began, mut used) = (Instant::now(), 0);
    while began.elapsed() < time {
        used += 1;
        let outcome = ledger.consume_step(&print, TotpStep(used), &elevation, &[])?;
        ensure!(
            matches!(outcome, StepOutcome::Consumed { .. }),
            "{outcome:?}"
        );
    }
    let rate = used as f64 / began.elapsed().as_secs_f64();
    let id = format!("records/ledger-{place}/{DAEMON}");
    Ok(row(
        &id,
        &format!("codes used up, {place}"),
        DAEMON,
        "1/s",
        &[rate],
    ))
}

/// How long it takes from a code to a yes that is on the disk.
fn codes(place: &str, folder: &Path, time: Duration) -> Result<Row> {
    /// Seconds of a step.
    const STEP: u64 = 30;
    let folder = tempfile::tempdir_in(folder)?;
    let mut ledger = Ledger::open(&folder.path().join("state"))?;
    let uid = Uid(1000);
    let boot = BootId::from(clock::boot_id()?);
    let mut now = clock::now();
    for number in 1..=MAX_DEVICES {
        // The last one is the one that is used: none is looked at longer.
        let secret = match number {
            MAX_DEVICES => TotpSecret::new(SECRET),
            other => TotpSecret::new(&[u8::try_from(other)?; 20]),
        };
        let device = NewDevice {
            name: format!("device {number}"),
            secret,
            parameters: TotpParameters::default(),
        };
        ledger.enroll(uid, &device, None, now.wall, false)?;
    }
    let phone = Authenticator::new(SECRET_TEXT);
    let (began, mut taken) = (Instant::now(), Vec::new());
    while began.elapsed() < time {
        now.wall = WallTime(now.wall.0 + STEP * 1_000_000_000);
        let code = phone.code_of(now.wall.seconds() / STEP);
        let purpose = Purpose::new("step-up", &Bound::User);
        let asked = Instant::now();
        let verified = verify_code(&mut ledger, uid, purpose, &code, now, &boot)?;
        taken.push(asked.elapsed().as_secs_f64() * 1e3);
        ensure!(
            matches!(verified, Verification::Verified(_)),
            "a fresh code was refused"
        );
    }
    let id = format!("records/code-{place}/{DAEMON}");
    let what = format!("from a code to a durable yes, {place}");
    let row = row(&id, &what, DAEMON, "ms", &taken);
    let goal = at_most(Of::Median, 2.0);
    Ok(Row { goal, ..row })
}
