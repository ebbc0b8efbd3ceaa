// SPDX-License-Identifier: Apache-2.0 OR MIT
//! connect() under a live grant: the way of nearly every connection to a protected database.

use std::net::SocketAddr;

use anyhow::Result;
use stile_tests::ALICE;

use super::connect::{ROTATING, protecting};
use super::{Question, Run, Section};
use crate::contest::{Contest, ensure_granted, settle};
use crate::lane::{Lane, NO_AGENT, STILE};
use crate::prefixes::{Family, Prefixes};
use crate::report::{Goal, Table};
use crate::worker::{PORT, Protocol};

pub(super) const SECTION: Section = Section {
    name: "granted",
    run,
};

const TABLE: &str = "granted";

/// How many prefixes are protected.
const SIZE: usize = 1000;

/// Connects in a block. The ring of reports holds more than twice as many.
const BLOCK: usize = 1500;

fn run(run: &mut Run) -> Result<()> {
    let mut rows = Vec::new();
    let mut lost = 0;
    for family in [Family::V4, Family::V6] {
        let prefixes = Prefixes::new(family, SIZE);
        let host = protecting(&prefixes, "action = \"allow\"\nttl = \"1h\"")?;
        let lanes = vec![Lane::free(NO_AGENT, ALICE)?, Lane::gated(&host, ALICE)?];
        let mut contest = Contest::new(lanes)?;
        let addresses = prefixes.inside(ROTATING);
        for (pattern, addresses) in [("hot", &addresses[..1]), ("rotating", &addresses[..])] {
            let to = |address: &_| SocketAddr::new(*address, PORT);
            let lists = contest.each(|lane, worker| {
                let list = worker.learn(addresses.iter().map(to).collect())?;
                Ok((list, lane.who == STILE))
            })?;
            // The round before the first one, which isn't counted, waits for the grant.
            let measured = contest.measure(run.rounds(21), &lists, |worker, (list, gated)| {
                let mut sample = worker.connect(Protocol::Tcp, *list, BLOCK)?;
                sample.add_cpu(if *gated { settle(&host)? } else { 0.0 }, BLOCK);
                Ok(sample)
            })?;
            let question = Question {
                table: TABLE,
                id: &format!("tcp{}-{pattern}", family.digit()),
                what: &format!("TCP over {}, {pattern}", family.name()),
                unit: "ns",
                guarded: true,
                goal: Some(Goal::ratio_at_most(1.15)),
            };
            rows.extend(question.rows(&measured));
        }
        ensure_granted(&host, ALICE)?;
        lost += host.faults(&["connection-not-recorded"]);
    }
    run.tables.push(Table {
        id: TABLE.to_owned(),
        title: "connect() under a live grant".to_owned(),
        note: format!(
            "{SIZE} protected prefixes; each connect looks up its grant, marks its socket, and is \
             reported to the daemon, which writes it to the audit log. {lost} of the reports did \
             not fit into their ring and were counted."
        ),
        rows,
    });
    Ok(())
}
