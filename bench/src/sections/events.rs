// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Connections under a live grant as fast as they go: each is written down, or counted.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use stile_tests::{Crowd, CrowdServer, Host, ROOT};

use super::held::DISK;
use super::{Run, Section};
use crate::admin::{Admin, FIRST_UID};
use crate::numbers::{DAEMON, at_most, row};
use crate::report::{Of, Row, Table};

pub(super) const SECTION: Section = Section {
    name: "events",
    run,
};

/// How many programs connect at the same time.
const PROGRAMS: usize = 2;
/// The gate's count of connections that its ring had no room for.
const LOST: &str = "connection-not-recorded";

/// One endpoint, over both protocols.
pub(crate) const POLICY: &str = r#"
[[endpoint]]
name = "db"
hosts = ["{address}"]
ports = [5432, {port}]
protocol = "any"

[[rule]]
name = "step-up"
endpoints = ["db"]
users = ["*"]
action = "step-up"
max_hold = "5m"
"#;

/// Measures.
///
/// # Errors
/// If a connect fails, or the log can't be read.
fn run(run: &mut Run) -> Result<()> {
    let time = Duration::from_secs(if run.quick { 2 } else { 10 });
    let mut rows = Vec::new();
    let kinds = [
        ("udp", true, "UDP connects under a grant"),
        ("tcp", false, "TCP connections under a grant"),
    ];
    for (id, udp, what) in kinds {
        rows.extend(Flood::of(udp, time)?.rows(id, what));
    }
    run.tables.push(Table {
        id: "events".to_owned(),
        title: "Connections under a grant, as fast as they go".to_owned(),
        note: format!(
            "{PROGRAMS} programs connect for {} s, each with a new socket after the other: as many as \
             the processors make beside the daemon. Written: one by one, or in an exact number for \
             a grant. Lost: the gate's ring had no room; \
             the gate counted them, and the log has their number. Neither written nor lost: none.",
            time.as_secs()
        ),
        rows,
    });
    Ok(())
}

/// What came of a flood of connections.
struct Flood {
    made: u64,
    took: Duration,
    written: Written,
    lost: u64,
    log_bytes: u64,
}

impl Flood {
    fn of(udp: bool, time: Duration) -> Result<Self> {
        let host = Host::builder()
            .quiet()
            .policy(POLICY)
            .state_on(DISK)
            .build();
        let server = CrowdServer::start(host.server().address().ip(), 5432);
        let admin = Admin::of(&host)?;
        let mut crowds: Vec<_> = (0..PROGRAMS)
            .map(|_| host.crowd(ROOT, server.address()))
            .collect();
        grant(&admin, &mut crowds)?;
        let log = host.audit().path().to_owned();
        let (before, bytes) = (Written::of(&log)?, log.metadata()?.len());
        let lost = admin.faults(LOST)?;
        for crowd in &mut crowds {
            crowd.begin_passing(udp, 0, time);
        }
        let passed: Vec<_> = crowds.iter_mut().map(Crowd::passed).collect();
        ensure!(
            passed.iter().all(|passed| passed.refused == 0),
            "{passed:?}"
        );
        let made = passed.iter().map(|passed| passed.passed).sum();
        let took = passed.iter().map(|passed| passed.took).max();
        let (written, lost) = settle(&log, &before, made, || Ok(admin.faults(LOST)? - lost))?;
        Ok(Self {
            made,
            took: took.context("nobody connected")?,
            written,
            lost,
            log_bytes: log.metadata()?.len() - bytes,
        })
    }

    fn rows(&self, id: &str, what: &str) -> Vec<Row> {
        let row = |of: &str, which: &str, unit, number: f64| {
            let (id, what) = (
                format!("events/{id}-{of}/{DAEMON}"),
                format!("{what}: {which}"),
            );
            row(&id, &what, DAEMON, unit, &[number])
        };
        let seconds = self.took.as_secs_f64();
        let recorded = self.written.each + self.written.counted;
        let uncounted = self.made.abs_diff(recorded + self.lost);
        let mut neither = row(
            "uncounted",
            "neither written nor lost",
            "count",
            uncounted as f64,
        );
        neither.goal = at_most(Of::Median, 0.0);
        vec![
            row("made", "made", "1/s", self.made as f64 / seconds),
            row(
                "each",
                "written one by one",
                "1/s",
                self.written.each as f64 / seconds,
            ),
            row(
                "counted",
                "written in numbers",
                "1/s",
                self.written.counted as f64 / seconds,
            ),
            row(
                "lost",
                "lost, and counted",
                "1/s",
                self.lost as f64 / seconds,
            ),
            row(
                "log",
                "growth of the log",
                "MiB",
                self.log_bytes as f64 / 1024.0 / 1024.0,
            ),
            neither,
        ]
    }
}

/// Earns the grant under which everything passes.
pub(crate) fn grant(admin: &Admin, crowds: &mut [Crowd]) -> Result<()> {
    let authenticator = admin.enroll(FIRST_UID)?;
    for crowd in &mut *crowds {
        crowd.become_user(FIRST_UID);
    }
    let first = crowds.first_mut().context("nobody is there")?;
    ensure!(first.begin(1) == 1, "the connect was refused");
    let id = admin.wait_for_waiting(FIRST_UID, 1)?;
    admin.approve(id, authenticator.fresh_code())?;
    ensure!(
        first.settle().connected == 1,
        "the connection didn't come through"
    );
    first.leave();
    Ok(())
}

/// Waits until the log has everything, as far as it is going to.
fn settle(
    log: &Path,
    before: &Written,
    made: u64,
    lost: impl Fn() -> Result<u64>,
) -> Result<(Written, u64)> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let lost = lost()?;
        let now = Written::of(log)?;
        let written = Written {
            each: now.each - before.each,
            counted: now.counted - before.counted,
        };
        if written.each + written.counted + lost >= made || Instant::now() > deadline {
            return Ok((written, lost));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Connections that passed under a grant, as the log has them.
struct Written {
    /// With a record each.
    each: u64,
    /// In records that count many.
    counted: u64,
}

impl Written {
    fn of(log: &Path) -> Result<Self> {
        let mut written = Self {
            each: 0,
            counted: 0,
        };
        for line in BufReader::new(std::fs::File::open(log)?).lines() {
            let line = line?;
            if line.contains(r#""event":"connection","#) && line.contains(r#""passage":"passed""#) {
                written.each += 1;
            } else if line.contains(r#""event":"connections","#) {
                // The last line may be under way.
                if let Ok(record) = serde_json::from_str::<serde_json::Value>(&line) {
                    written.counted += record["count"].as_u64().unwrap_or(0);
                }
            }
        }
        Ok(written)
    }
}
