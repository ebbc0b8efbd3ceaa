// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the daemon takes when there is nothing to do, and when connections pass by.

use std::time::{Duration, Instant};

use anyhow::Result;
use stile_tests::{Crowd, CrowdServer, Footprint, Host, ROOT};

use super::events::{POLICY, grant};
use super::held::DISK;
use super::{Run, Section};
use crate::admin::{Admin, FIRST_UID};
use crate::numbers::{DAEMON, at_most, cpu_seconds, resident, row};
use crate::report::{Of, Row, Table};

pub(super) const SECTION: Section = Section { name: "idle", run };

/// Connects a second while the daemon is looked at.
const RATE: u32 = 10_000;

/// Measures.
///
/// # Errors
/// If the daemon ends.
fn run(run: &mut Run) -> Result<()> {
    let quiet = Duration::from_secs(if run.quick { 10 } else { 60 });
    let busy = Duration::from_secs(if run.quick { 2 } else { 10 });
    let host = Host::builder()
        .quiet()
        .policy(POLICY)
        .state_on(DISK)
        .build();
    let pid = host.pid();
    let before = wake_ups(pid)?;
    std::thread::sleep(quiet);
    let woken = wake_ups(pid)? - before;
    let footprint = Footprint::of(pid);
    let what = format!("woken in {} s without traffic", quiet.as_secs());
    let mut rows = vec![
        goal(of_daemon("wake-ups", &what, "count", woken as f64), 0.0),
        goal(
            of_daemon("memory", "resident memory", "MiB", resident(pid)),
            12.0,
        ),
        of_daemon(
            "anonymous",
            "of it in no file",
            "MiB",
            footprint.anonymous as f64 / 1024.0,
        ),
        of_daemon("threads", "threads", "count", footprint.threads as f64),
        of_daemon(
            "descriptors",
            "descriptors",
            "count",
            footprint.descriptors as f64,
        ),
    ];
    let server = CrowdServer::start(host.server().address().ip(), 5432);
    let elsewhere = CrowdServer::start([127, 99, 0, 1].into(), 5432);
    let mut free = host.crowd(ROOT, elsewhere.address());
    free.become_user(FIRST_UID);
    rows.extend(load(pid, &mut free, "unprotected", busy)?);
    let admin = Admin::of(&host)?;
    let mut granted = [host.crowd(ROOT, server.address())];
    grant(&admin, &mut granted)?;
    rows.extend(load(pid, &mut granted[0], "granted", busy)?);
    rows.push(of_daemon(
        "memory-after",
        "resident memory after it",
        "MiB",
        resident(pid),
    ));
    run.tables.push(Table {
        id: "idle".to_owned(),
        title: "The daemon at rest, and while connections pass by".to_owned(),
        note: format!(
            "Woken: voluntary context switches of all its threads. Processor time: user and system \
             time of the daemon while a program makes {RATE} TCP connections a second for {} s, in \
             percent of one processor.",
            busy.as_secs()
        ),
        rows,
    });
    Ok(())
}

fn of_daemon(id: &str, what: &str, unit: &str, number: f64) -> Row {
    row(
        &format!("idle/{id}/{DAEMON}"),
        what,
        DAEMON,
        unit,
        &[number],
    )
}

fn goal(row: Row, value: f64) -> Row {
    let goal = at_most(Of::Median, value);
    Row { goal, ..row }
}

/// Connections pass at a rate; what the daemon takes of a processor meanwhile.
fn load(pid: u32, crowd: &mut Crowd, what: &str, time: Duration) -> Result<Vec<Row>> {
    let (before, began) = (cpu_seconds(pid)?, Instant::now());
    crowd.begin_passing(false, RATE, time);
    let passed = crowd.passed();
    // What it writes once a second is part of it.
    std::thread::sleep(Duration::from_millis(1200));
    let used = cpu_seconds(pid)? - before;
    let percent = 100.0 * used / (began.elapsed().as_secs_f64() - 1.2);
    let rate = passed.passed as f64 / passed.took.as_secs_f64();
    Ok(vec![
        of_daemon(
            &format!("{what}-rate"),
            &format!("{what} connections made"),
            "1/s",
            rate,
        ),
        of_daemon(
            &format!("{what}-cpu"),
            &format!("of a processor, {what} traffic"),
            "%",
            percent,
        ),
    ])
}

/// How often all threads of a process have waited for something (proc_pid_status(5)).
fn wake_ups(pid: u32) -> Result<u64> {
    let mut sum = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let status = std::fs::read_to_string(task?.path().join("status"))?;
        let mut lines = status.lines();
        let number = lines.find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        sum += number.map_or(Ok(0), |number| number.trim().parse::<u64>())?;
    }
    Ok(sum)
}
