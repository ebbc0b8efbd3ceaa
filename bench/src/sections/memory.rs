// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What users and connections take of the disk.

use std::time::Duration;

use anyhow::{Result, ensure};
use stile::clock;
use stile::decide::Bound;
use stile::ids::Uid;
use stile::ledger::{
    BootId, Ledger, NewDevice, NewElevation, StepOutcome, TotpParameters, TotpSecret, TotpStep,
};
use stile::policy::{Assurance, Factor};
use stile_tests::{CrowdServer, Host, ROOT, until};

use super::events::grant;
use super::{Run, Section};
use crate::admin::Admin;
use crate::numbers::{DAEMON, row};
use crate::report::{Row, Table};

pub(super) const SECTION: Section = Section {
    name: "memory",
    run,
};

/// Connections under a grant that are written down.
const PASSED: u64 = 100;

/// Measures.
///
/// # Errors
/// If the ledger or the agent refuses.
fn run(run: &mut Run) -> Result<()> {
    let mut rows = Vec::new();
    for users in [100, 1000, 5000] {
        rows.push(ledger(users)?);
    }
    rows.extend(audit()?);
    run.tables.push(Table {
        id: "memory".to_owned(),
        title: "What users and connections take of the disk".to_owned(),
        note: "Ledger: each user has a secret, a used code and one elevation; the file by the number of \
               users. Audit log: what one user leaves who is held, answers and is connected, until the \
               grant is revoked; and each further connection under the grant."
            .to_owned(),
        rows,
    });
    Ok(())
}

/// Bytes of the ledger's file for each user.
fn ledger(users: u32) -> Result<Row> {
    let folder = tempfile::tempdir()?;
    let state = folder.path().join("state");
    let ledger = Ledger::open(&state)?;
    let (now, boot) = (clock::now(), BootId::from(clock::boot_id()?));
    for number in 0..users {
        let uid = Uid(100_000 + number);
        let phone = NewDevice {
            name: "phone".to_owned(),
            secret: TotpSecret::new(&[7; 20]),
            parameters: TotpParameters::default(),
        };
        ledger.enroll(uid, &phone, Some(TotpStep(1)), now.wall, false)?;
        let elevation = NewElevation {
            uid,
            realm: "step-up".to_owned(),
            bound: Bound::User,
            factor: Factor::Totp,
            assurance: Assurance::LOW,
            proven: now,
            boot: boot.clone(),
            until: None,
            reason: None,
        };
        let outcome = ledger.consume_step(&phone.secret.print(), TotpStep(2), &elevation, &[])?;
        ensure!(
            matches!(outcome, StepOutcome::Consumed { .. }),
            "{outcome:?}"
        );
    }
    let bytes = state.join(stile::ledger::FILE_NAME).metadata()?.len();
    let id = format!("memory/ledger/{users}/{DAEMON}");
    let what = format!("ledger, a user of {users}");
    Ok(row(
        &id,
        &what,
        DAEMON,
        "B",
        &[bytes as f64 / f64::from(users)],
    ))
}

/// Bytes of the audit log for a step-up, and for a connection under its grant.
fn audit() -> Result<[Row; 2]> {
    let host = Host::builder().quiet().build();
    let server = CrowdServer::start(host.server().address().ip(), 5432);
    let admin = Admin::of(&host)?;
    let mut crowds = [host.crowd(ROOT, server.address())];
    let log = host.audit();
    let size = || log.path().metadata().map(|metadata| metadata.len());
    let began = size()?;
    grant(&admin, &mut crowds)?;
    until("the connection is written down", || {
        (log.records().of("connection").len() == 1).then_some(())
    });
    let before = size()?;
    crowds[0].begin_passing(false, 500, Duration::from_secs(PASSED) / 500);
    let passed = crowds[0].passed().passed;
    let _ = log.wait_for("connection", 1 + usize::try_from(passed)?);
    let after = size()?;
    admin.revoke_all()?;
    let _ = log.wait_for("grant-revoked", 1);
    let step_up = (before - began) + (size()? - after);
    let row = |id: &str, what: &str, bytes: f64| {
        row(
            &format!("memory/{id}/{DAEMON}"),
            what,
            DAEMON,
            "B",
            &[bytes],
        )
    };
    Ok([
        row(
            "step-up",
            "audit log, enrolled and stepped up",
            step_up as f64,
        ),
        row(
            "passed",
            "audit log, a connection under a grant",
            (after - before) as f64 / passed as f64,
        ),
    ])
}
