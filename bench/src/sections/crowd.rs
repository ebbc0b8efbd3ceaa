// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Thousands of held connections that one answer lets go on.

use std::time::Duration;

use anyhow::{Result, ensure};
use stile_tests::{Crowd, CrowdServer, Host, ROOT};

use super::held::DISK;
use super::{Run, Section};
use crate::admin::{Admin, FIRST_UID};
use crate::numbers::{DAEMON, at_most, boot_nanos, millis, resident, row};
use crate::report::{Of, Table};

pub(super) const SECTION: Section = Section { name: "crowd", run };

/// How many programs share the connections.
const PROGRAMS: u64 = 4;
/// Most connections that are begun at once: what the gate reports of them fits into half of its
/// ring.
const BATCH: u64 = 1000;

/// Measures.
///
/// # Errors
/// If a connection doesn't come through.
fn run(run: &mut Run) -> Result<()> {
    let rounds = run.rounds(5).min(5);
    let host = Host::builder()
        .quiet()
        .max_hold("5m")
        .state_on(DISK)
        .build();
    let server = CrowdServer::start(host.server().address().ip(), 5432);
    let admin = Admin::of(&host)?;
    let mut crowds: Vec<_> = (0..PROGRAMS)
        .map(|_| host.crowd(ROOT, server.address()))
        .collect();
    let before = resident(host.pid());
    let (mut rows, mut held) = (Vec::new(), before);
    let mut uids = FIRST_UID..;
    for (connections, what) in [(1, "1"), (1000, "1,000"), (10_000, "10,000")] {
        let mut took = Vec::new();
        for uid in uids.by_ref().take(rounds) {
            let (nanos, resident_then) = release(&host, &admin, &mut crowds, uid, connections)?;
            took.push(millis(nanos));
            held = resident_then.max(held);
        }
        let what = format!("{what} held connections");
        let mut row = row(
            &format!("crowd/{connections}/{DAEMON}"),
            &what,
            DAEMON,
            "ms",
            &took,
        );
        if connections == 10_000 {
            row.goal = at_most(Of::Median, 1000.0);
        }
        rows.push(row);
    }
    // It gives memory back once it has been quiet for a second.
    std::thread::sleep(Duration::from_secs(3));
    let after = resident(host.pid());
    let memory = [
        ("before", before),
        ("while 10,000 are held", held),
        ("afterwards", after),
    ];
    for (when, mebibytes) in memory {
        let id = format!(
            "crowd/memory-{}/{DAEMON}",
            when.split(' ').next().unwrap_or(when)
        );
        let what = format!("resident memory {when}");
        rows.push(row(&id, &what, DAEMON, "MiB", &[mebibytes]));
    }
    run.tables.push(Table {
        id: "crowd".to_owned(),
        title: "Many held connections, one answer".to_owned(),
        note: format!(
            "{PROGRAMS} programs of one user connect; then the code is sent. Until the last of the \
             connections is connected."
        ),
        rows,
    });
    Ok(())
}

/// Lets so many connections go on. Returns how many nanoseconds that took, and what the daemon
/// had resident before, in MiB.
fn release(
    host: &Host,
    admin: &Admin,
    crowds: &mut [Crowd],
    uid: u32,
    connections: u64,
) -> Result<(u64, f64)> {
    let authenticator = admin.enroll(uid)?;
    let programs = connections.min(PROGRAMS);
    let each = connections.min(BATCH) / programs;
    let crowds = &mut crowds[..usize::try_from(programs)?];
    let mut begun = 0;
    for crowd in &mut *crowds {
        crowd.become_user(uid);
    }
    while begun < connections {
        for crowd in &mut *crowds {
            begun += crowd.begin(each);
        }
        admin.wait_for_waiting(uid, begun)?;
    }
    let id = admin.wait_for_waiting(uid, begun)?;
    let resident = resident(host.pid());
    for crowd in &mut *crowds {
        crowd.order("settle");
    }
    let code = authenticator.fresh_code();
    let sent = boot_nanos()?;
    admin.approve(id, code)?;
    let settled: Vec<_> = crowds.iter_mut().map(Crowd::settled).collect();
    let connected: u64 = settled.iter().map(|settled| settled.connected).sum();
    ensure!(connected == begun, "{connected} of {begun} came through");
    let last = settled.iter().map(|settled| settled.at).max().unwrap_or(0);
    admin.revoke_all()?;
    for crowd in crowds {
        crowd.leave();
    }
    Ok((last - sent, resident))
}
