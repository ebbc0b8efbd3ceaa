// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From a new connection to the server's first answer: what a client waits for.

use anyhow::Result;
use stile_tests::{ALICE, Host};

use super::{Question, Run, Section};
use crate::contest::{Contest, ensure_granted, settle, tried};
use crate::lane::{DOOR, Lane, NO_AGENT, STILE};
use crate::machine::quiet_cpu;
use crate::peers::{haproxy, nfqueue, opensnitch};
use crate::report::{Goal, Table};
use crate::server::Server;

pub(super) const SECTION: Section = Section { name: "reply", run };

const TABLE: &str = "reply";

/// Connections in a block.
const BLOCK: usize = 1000;
/// The same behind what takes many times as long.
const PEERS_BLOCK: usize = 100;

/// A host that protects [`DOOR`], and lets everybody through for an hour.
pub(super) fn guarding_the_door() -> Host {
    let policy = format!(
        "[[endpoint]]\nname = \"door\"\nhosts = [\"{}\"]\nports = [{}]\n\
         [[rule]]\nname = \"all\"\nendpoints = [\"door\"]\nusers = [\"*\"]\n\
         action = \"allow\"\nttl = \"1h\"\n",
        DOOR.ip(),
        DOOR.port()
    );
    Host::builder().policy(&policy).quiet().build()
}

/// Lets a server live as long as its lane, on the clients' processor.
pub(super) fn with_server(mut lane: Lane) -> Result<Lane> {
    let server = Server::start(&lane.network, DOOR.port(), Some(quiet_cpu()))?;
    lane.keeps.push(Box::new(server));
    Ok(lane)
}

fn run(run: &mut Run) -> Result<()> {
    let host = guarding_the_door();
    let mut lanes = vec![
        with_server(Lane::free(NO_AGENT, ALICE)?)?,
        with_server(Lane::gated(&host, ALICE)?)?,
    ];
    let free = || with_server(Lane::free(NO_AGENT, ALICE)?);
    for (who, lane) in [
        (nfqueue::NAME, nfqueue::watch(free()?)),
        (opensnitch::NAME, opensnitch::watch(free()?)),
        (haproxy::NAME, haproxy::relay(free()?, DOOR)),
        (haproxy::TLS_NAME, haproxy::tls_relay(free()?, DOOR)),
    ] {
        let lane = tried(lane, |lane, worker| {
            let list = worker.learn(vec![lane.door])?;
            worker.reply(list, 1)
        });
        lanes.extend(run.invites(TABLE, who, lane));
    }
    let mut contest = Contest::new(lanes)?;
    let lists = contest.each(|lane, worker| Ok((worker.learn(vec![lane.door])?, lane.who)))?;
    let measured = contest.measure(run.rounds(30), &lists, |worker, (list, who)| {
        let count = match *who {
            NO_AGENT | STILE => BLOCK,
            _ => PEERS_BLOCK,
        };
        let mut sample = worker.reply(*list, count)?;
        sample.add_cpu(if *who == STILE { settle(&host)? } else { 0.0 }, count);
        Ok(sample)
    })?;
    ensure_granted(&host, ALICE)?;
    let question = Question {
        table: TABLE,
        id: "tcp4",
        what: "TCP over IPv4, 16 bytes and back",
        unit: "ns",
        guarded: false,
        goal: Some(Goal::ratio_at_most(1.1)),
    };
    run.tables.push(Table {
        id: TABLE.to_owned(),
        title: "A new connection, until the first reply".to_owned(),
        note: "socket, connect, send and receive, of an echo server on the same processor; with \
               stile under a live grant. NFQUEUE: a program accepts every SYN and does nothing \
               else. OpenSnitch: one rule allows what a regular expression matches. HAProxy relays \
               TCP; two-hop TLS is two of them, with mutual TLS and a full handshake for each \
               connection."
            .to_owned(),
        rows: question.rows(&measured),
    });
    Ok(())
}
