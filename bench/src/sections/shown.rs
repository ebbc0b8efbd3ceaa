// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From a connect to the question in front of its user.

use anyhow::{Result, ensure};
use stile_tests::{ALICE, Host};

use super::held::DISK;
use super::{Run, Section};
use crate::admin::Admin;
use crate::numbers::{DAEMON, at_most, millis, row};
use crate::prompter::Prompter;
use crate::report::{Of, Table};

pub(super) const SECTION: Section = Section { name: "shown", run };

/// How many connects are made before they are given up again; the agent lets 16 of a user wait.
const BATCH: usize = 10;

/// Measures.
///
/// # Errors
/// If the agent refuses what it shouldn't, or asks nobody.
fn run(run: &mut Run) -> Result<()> {
    let batches = if run.quick { 6 } else { 30 };
    let host = Host::builder().state_on(DISK).quiet();
    let host = host.settings("prompts_per_hour = 1000\n");
    let host = host.scope("socket").max_hold("5m").build();
    let admin = Admin::of(&host)?;
    let _authenticator = admin.enroll(ALICE.uid)?;
    let prompter = Prompter::start(&host, ALICE.uid)?;
    let mut crowd = host.crowd(ALICE, host.server().address());
    let mut took = Vec::new();
    for _ in 0..batches {
        for _ in 0..BATCH {
            ensure!(crowd.begin(1) == 1, "a connect was refused");
            took.push(millis(prompter.asked()? - crowd.since()));
        }
        crowd.leave();
        host.wait_for_challenges(ALICE, 0);
    }
    let mut shown = row(
        "shown/prompt/stiled",
        "connect to prompt",
        DAEMON,
        "ms",
        &took,
    );
    shown.goal = at_most(Of::Median, 150.0);
    run.tables.push(Table {
        id: "shown".to_owned(),
        title: "The question on its way".to_owned(),
        note: format!(
            "{} connects, one after the other, each a question of its own. From before the connect \
             until the prompter, a program of the user's on the bus, is called with the question. \
             What a dialog takes to be drawn comes on top, and is the desktop's.",
            took.len()
        ),
        rows: vec![shown],
    });
    Ok(())
}
