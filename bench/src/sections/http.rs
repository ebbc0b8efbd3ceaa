// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Requests of HTTP on a kept connection.

use anyhow::Result;
use stile_tests::ALICE;

use super::reply::guarding_the_door;
use super::{Question, Run, Section};
use crate::contest::{Contest, ensure_granted, tried};
use crate::lane::{DOOR, Lane, NO_AGENT};
use crate::peers::haproxy;
use crate::report::{Goal, Table};

pub(super) const SECTION: Section = Section { name: "http", run };

const TABLE: &str = "http";

/// Requests in a block.
const BLOCK: usize = 2000;

fn run(run: &mut Run) -> Result<()> {
    let host = guarding_the_door();
    let Some(direct) = run.invites(TABLE, "a web server", served(Lane::free(NO_AGENT, ALICE)?))
    else {
        return Ok(());
    };
    let mut lanes = vec![direct, served(Lane::gated(&host, ALICE)?)?];
    let free = || served(Lane::free(NO_AGENT, ALICE)?);
    let peers = [
        (haproxy::NAME, haproxy::relay(free()?, DOOR)),
        (haproxy::TLS_NAME, haproxy::tls_relay(free()?, DOOR)),
    ];
    for (who, lane) in peers {
        let lane = tried(lane, |lane, worker| {
            worker.open(lane.door)?;
            worker.requests(1)
        });
        lanes.extend(run.invites(TABLE, who, lane));
    }
    let mut contest = Contest::new(lanes)?;
    let doors = contest.each(|lane, _| Ok(lane.door))?;
    let measured = contest.measure(run.rounds(30), &doors, |worker, door| {
        worker.open(*door)?;
        worker.requests(BLOCK)
    })?;
    ensure_granted(&host, ALICE)?;
    let question = Question {
        table: TABLE,
        id: "keep-alive",
        what: "a request and its answer",
        unit: "ns",
        guarded: true,
        goal: Some(Goal::ratio_at_most(1.02)),
    };
    run.tables.push(Table {
        id: TABLE.to_owned(),
        title: "HTTP on a live connection".to_owned(),
        note: "One client, which asks again when it has its answer (HTTP/1.1, keep-alive), of \
               HAProxy as a web server on the same processor; with stile under a live grant."
            .to_owned(),
        rows: question.rows(&measured),
    });
    Ok(())
}

/// With a real web server at the door.
fn served(mut lane: Lane) -> Result<Lane> {
    let server = haproxy::web_server(&lane.network, DOOR.port())?;
    lane.keeps.push(Box::new(server));
    Ok(lane)
}
