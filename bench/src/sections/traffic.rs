// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Data on a connection that is there.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::Result;
use stile_tests::ALICE;

use super::reply::{guarding_the_door, with_server};
use super::{Question, Run, Section};
use crate::contest::{Contest, ensure_granted, tried};
use crate::lane::{DOOR, Lane, NO_AGENT};
use crate::peers::{empty, haproxy};
use crate::report::{Goal, Table};

pub(super) const SECTION: Section = Section {
    name: "traffic",
    run,
};

const TABLE: &str = "traffic";

/// The same server, at an address that nobody protects.
const UNPROTECTED: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)), DOOR.port());

fn run(run: &mut Run) -> Result<()> {
    let host = guarding_the_door();
    let mut rows = Vec::new();
    for (kind, to) in [("granted", None), ("unprotected", Some(UNPROTECTED))] {
        let mut lanes = vec![
            with_server(Lane::free(NO_AGENT, ALICE)?)?,
            with_server(Lane::gated(&host, ALICE)?)?,
        ];
        let floor = Lane::free(NO_AGENT, ALICE).and_then(with_server);
        let floor = floor.and_then(empty::hook);
        lanes.extend(run.invites(TABLE, empty::WHO, floor));
        // Nobody sends what isn't protected through a relay.
        if to.is_none() {
            lanes.extend(relays(run)?);
        }
        let mut contest = Contest::new(lanes)?;
        let doors = contest.each(|lane, _| Ok(to.unwrap_or(lane.door)))?;
        let mut ask = |id: &str, what: &str, measured: &[_]| {
            let question = Question {
                table: TABLE,
                id: &format!("{id}-{kind}"),
                what: &format!("{what}, {kind}"),
                unit: "ns",
                // How fast bulk is depends on the block more than on anything else.
                guarded: id == "ping-pong",
                goal: Some(Goal::ratio_at_most(1.02)),
            };
            rows.extend(question.rows(measured));
        };
        // A connection for each block: what one of them is lucky with, the next one isn't.
        let ping_pong = contest.measure(run.rounds(30), &doors, |worker, door| {
            worker.open(*door)?;
            worker.ping_pong(3000)
        })?;
        ask("ping-pong", "64 bytes and back", &ping_pong);
        let bulk = contest.measure(run.rounds(30), &doors, |worker, door| {
            worker.open(*door)?;
            worker.bulk(8)?;
            worker.bulk(64)
        })?;
        ask("bulk", "1 MiB", &bulk);
    }
    ensure_granted(&host, ALICE)?;
    run.tables.push(Table {
        id: TABLE.to_owned(),
        title: "Data on a live connection".to_owned(),
        note: "Client and server on one processor. Bulk is 64 MiB, from the first byte to the \
               server's word that it has the last one."
            .to_owned(),
        rows,
    });
    Ok(())
}

fn relays(run: &mut Run) -> Result<Vec<Lane>> {
    let free = || with_server(Lane::free(NO_AGENT, ALICE)?);
    let mut lanes = Vec::new();
    for (who, lane) in [
        (haproxy::NAME, haproxy::relay(free()?, DOOR)),
        (haproxy::TLS_NAME, haproxy::tls_relay(free()?, DOOR)),
    ] {
        let lane = tried(lane, |lane, worker| {
            worker.open(lane.door)?;
            worker.ping_pong(1)
        });
        lanes.extend(run.invites(TABLE, who, lane));
    }
    Ok(lanes)
}
