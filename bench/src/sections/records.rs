// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the audit log and the ledger take down in a second.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use stile::audit::{AuditLog, Event, Record};
use stile::clock;
use stile::decide::Bound;
use stile::ids::Uid;
use stile::ledger::{BootId, Ledger, NewElevation, StepOutcome, TotpSecret, TotpStep};
use stile::policy::{Assurance, Factor};

use super::held::DISK;
use super::{Run, Section};
use crate::numbers::{DAEMON, row};
use crate::report::{Row, Table};

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
    }
    run.tables.push(Table {
        id: "records".to_owned(),
        title: "Audit log and ledger".to_owned(),
        note: "One thread. Records of some 300 bytes are chained and flushed to the disk, so many at a \
               time; the ledger uses codes up, each in a transaction of its own. On a disk, and in \
               memory, where a flush costs nothing."
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
