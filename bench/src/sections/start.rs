// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From the daemon's execve to a gate that stands and a daemon that is reached.

use anyhow::Result;
use stile_tests::Host;

use super::held::DISK;
use super::{Run, Section};
use crate::numbers::{DAEMON, row};
use crate::report::Table;

pub(super) const SECTION: Section = Section { name: "start", run };

/// Measures.
///
/// # Errors
/// Never; a daemon that doesn't start ends the section.
fn run(run: &mut Run) -> Result<()> {
    let rounds = run.rounds(15);
    let cold: Vec<_> = (0..rounds)
        .map(|_| {
            let mut host = Host::builder().quiet().state_on(DISK).stopped().build();
            host.time_start().as_secs_f64() * 1e3
        })
        .collect();
    let mut host = Host::builder().quiet().state_on(DISK).build();
    let adopted: Vec<_> = (0..rounds)
        .map(|_| {
            host.stop();
            host.time_start().as_secs_f64() * 1e3
        })
        .collect();
    let row = |id: &str, what, numbers: &[f64]| {
        row(&format!("start/{id}/{DAEMON}"), what, DAEMON, "ms", numbers)
    };
    run.tables.push(Table {
        id: "start".to_owned(),
        title: "Start of the daemon".to_owned(),
        note: "From its start until it tells its service manager that it is ready: programs loaded \
               and attached, ledger and audit log open on a disk, on the bus. Cold: it makes all of \
               that. Adopted: the gate of an earlier daemon stands."
            .to_owned(),
        rows: vec![
            row("cold", "cold", &cold),
            row("adopted", "with a gate that stands", &adopted),
        ],
    });
    Ok(())
}
