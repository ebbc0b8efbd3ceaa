// SPDX-License-Identifier: Apache-2.0 OR MIT
//! connect() under a live grant: the way of nearly every connection to a protected database.

use std::net::SocketAddr;

use anyhow::Result;
use stile_tests::ALICE;

use super::connect::{ROTATING, protecting};
use super::{Question, Run, Section};
use crate::contest::{Contest, ensure_granted, settle, tried};
use crate::lane::{Lane, NO_AGENT, STILE};
use crate::peers::{empty, nfqueue, opensnitch, seccomp};
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
/// The same where a program is asked about each, which takes many times as long.
const PEERS_BLOCK: usize = 100;

fn run(run: &mut Run) -> Result<()> {
    let mut rows = Vec::new();
    let mut lost = 0;
    for family in [Family::V4, Family::V6] {
        let prefixes = Prefixes::new(family, SIZE);
        let host = protecting(&prefixes, "action = \"allow\"\nttl = \"1h\"")?;
        let addresses = prefixes.inside(ROTATING);
        let mut lanes = vec![Lane::free(NO_AGENT, ALICE)?, Lane::gated(&host, ALICE)?];
        let floor = empty::hook(Lane::free(NO_AGENT, ALICE)?);
        lanes.extend(run.invites(TABLE, empty::WHO, floor));
        lanes.extend(watched(run, SocketAddr::new(addresses[0], PORT))?);
        let mut contest = Contest::new(lanes)?;
        for (pattern, addresses) in [("hot", &addresses[..1]), ("rotating", &addresses[..])] {
            let to = |address: &_| SocketAddr::new(*address, PORT);
            let lists = contest.each(|lane, worker| {
                let list = worker.learn(addresses.iter().map(to).collect())?;
                Ok((list, lane.who))
            })?;
            // The round before the first one, which isn't counted, waits for the grant.
            let measured = contest.measure(run.rounds(21), &lists, |worker, (list, who)| {
                let count = match *who {
                    NO_AGENT | STILE | empty::WHO => BLOCK,
                    _ => PEERS_BLOCK,
                };
                let mut sample = worker.connect(Protocol::Tcp, *list, count)?;
                sample.add_cpu(if *who == STILE { settle(&host)? } else { 0.0 }, count);
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
    run.misses(&format!("{TABLE}: {}", seccomp::NAME), seccomp::WHY_NOT);
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

/// Those who ask a program about each connection, as one does who wants a person's answer.
fn watched(run: &mut Run, to: SocketAddr) -> Result<Vec<Lane>> {
    let free = || Lane::free(NO_AGENT, ALICE);
    let mut lanes = Vec::new();
    for (who, lane) in [
        (nfqueue::NAME, nfqueue::watch(free()?)),
        (opensnitch::NAME, opensnitch::watch(free()?)),
    ] {
        let lane = tried(lane, |_, worker| {
            let list = worker.learn(vec![to])?;
            worker.connect(Protocol::Tcp, list, 1)
        });
        lanes.extend(run.invites(TABLE, who, lane));
    }
    Ok(lanes)
}
