// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One held connection: from its connect to the question, and from the answer to the connection.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, ensure};
use stile_tests::{Host, ROOT};

use super::{Run, Section};
use crate::admin::{Admin, FIRST_UID};
use crate::numbers::{DAEMON, at_most, boot_nanos, millis, row};
use crate::report::{Of, Row, Table};

pub(super) const SECTION: Section = Section { name: "held", run };

/// A folder on a disk; the sandbox's own lie in memory.
pub(crate) const DISK: &str = "/var/tmp";

/// What was measured with ledger and audit log in one place, in milliseconds.
#[derive(Default)]
struct Found {
    asked: Vec<f64>,
    round_trip: Vec<f64>,
    connected: Vec<f64>,
    flushes: Vec<f64>,
}

/// Measures.
///
/// # Errors
/// If the agent refuses what it shouldn't.
fn run(run: &mut Run) -> Result<()> {
    let users = if run.quick { 60 } else { 500 };
    let disk = of_each_user(users, Host::builder().state_on(DISK), DISK.into())?;
    let memory = of_each_user(users, Host::builder(), std::env::temp_dir())?;
    let mut rows = Vec::new();
    rows.extend(disk.rows("disk", "ledger and audit log on a disk"));
    rows.extend(memory.rows("memory", "both in memory"));
    run.tables.push(Table {
        id: "held".to_owned(),
        title: "One held connection".to_owned(),
        note: format!(
            "{users} users connect and answer one after the other, each once: a code counts once. \
             Asked: from before the connect until an answer to Pending on the bus shows it, asked \
             over and over, each of which takes a round trip. Connected: from before the code is \
             sent on the bus until the client's epoll says so. Flushes: what an approval has to \
             wait for, done by itself between two of them: three fdatasync, one after an append \
             (audit log) and two after a page in place (ledger)."
        ),
        rows,
    });
    Ok(())
}

impl Found {
    fn rows(&self, place: &str, where_it_is: &str) -> Vec<Row> {
        let row = |id: &str, what: &str, who, numbers| {
            let (id, what) = (
                format!("held/{id}/{place}/{who}"),
                format!("{what}, {where_it_is}"),
            );
            row(&id, &what, who, "ms", numbers)
        };
        let mut connected = row("connected", "answer to connected", DAEMON, &self.connected);
        connected.goal = at_most(Of::Median, 0.5);
        let what = "answer to connected, 99 of 100";
        let mut slowest = row("connected-p99", what, DAEMON, &self.connected);
        slowest.goal = at_most(Of::P99, 2.0);
        vec![
            row("asked", "connect to question", DAEMON, &self.asked),
            row(
                "asked",
                "a round trip of Pending",
                "floor",
                &self.round_trip,
            ),
            connected,
            slowest,
            row("connected", "the flushes alone", "floor", &self.flushes),
        ]
    }
}

/// Holds a connection of each user, and lets it go on.
fn of_each_user(users: u32, host: stile_tests::Builder, place: PathBuf) -> Result<Found> {
    let host = host.quiet().max_hold("5m").build();
    let admin = Admin::of(&host)?;
    let mut crowd = host.crowd(ROOT, host.server().address());
    let mut flushes = Flushes::new(&place)?;
    let mut found = Found::default();
    for uid in FIRST_UID..FIRST_UID + users {
        let authenticator = admin.enroll(uid)?;
        crowd.become_user(uid);
        let began = boot_nanos()?;
        admin.pending()?;
        found.round_trip.push(millis(boot_nanos()? - began));
        ensure!(crowd.begin(1) == 1, "a connect was refused");
        let id = admin.wait_for_waiting(uid, 1)?;
        found.asked.push(millis(boot_nanos()? - crowd.since()));
        crowd.order("settle");
        let code = authenticator.fresh_code();
        let sent = boot_nanos()?;
        ensure!(admin.approve(id, code)? == 1, "nothing was let go on");
        let settled = crowd.settled();
        ensure!(settled.connected == 1, "{settled:?}");
        found.connected.push(millis(settled.at - sent));
        crowd.leave();
        found.flushes.push(flushes.of_an_approval()?);
    }
    Ok(found)
}

/// What a disk takes to flush what an approval writes.
struct Flushes {
    log: File,
    pages: File,
}

impl Flushes {
    fn new(folder: &Path) -> Result<Self> {
        let (log, pages) = (
            tempfile::tempfile_in(folder)?,
            tempfile::tempfile_in(folder)?,
        );
        pages.write_all_at(&[1; 64 << 10], 0)?;
        pages.sync_all()?;
        Ok(Self { log, pages })
    }

    /// In milliseconds.
    fn of_an_approval(&mut self) -> Result<f64> {
        let began = Instant::now();
        self.log.write_all(&[b'x'; 1800])?;
        self.log.sync_data()?;
        for place in [4096, 0] {
            self.pages.write_all_at(&[2; 4096], place)?;
            self.pages.sync_data()?;
        }
        Ok(began.elapsed().as_secs_f64() * 1e3)
    }
}
