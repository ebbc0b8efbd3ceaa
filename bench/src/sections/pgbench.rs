// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Transactions of PostgreSQL, by the real pgbench.

use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::{Context, Result};
use stile_tests::{ALICE, Host, postgres_bin};

use super::{Question, Run, Section};
use crate::contest::ensure_granted;
use crate::database::{DATABASE, Data, Database, PORT};
use crate::lane::{DOOR, Lane, NO_AGENT, Network, STILE};
use crate::machine::quiet_cpu;
use crate::peers::{done, haproxy, opensnitch, pgbouncer};
use crate::report::{Bound, Goal, Of, Table};
use crate::rounds::{Contender, Sample, take_turns};

pub(super) const SECTION: Section = Section {
    name: "pgbench",
    run,
};

const TABLE: &str = "pgbench";

/// Transactions in a block of a client that stays connected. The blocks are short and many:
/// what interrupts some of them doesn't move the median. Behind a relay they take several times as
/// long.
const DIRECT: usize = 2000;
const RELAYED: usize = 600;
/// Those of one that connects for each of them.
const CONNECTING: usize = 25;

fn run(run: &mut Run) -> Result<()> {
    let host = guarding_the_database();
    let data = match Data::new() {
        Ok(data) => data,
        Err(error) => {
            run.misses(TABLE, format!("{error:#}"));
            return Ok(());
        }
    };
    let (lanes, _servers) = lanes(run, &host, data)?;
    let mut rows = Vec::new();
    for (id, what, connects, rounds, goal) in [
        ("persistent", "one connection", false, 54, Some(0.98)),
        ("connecting", "a connection for each", true, 9, None),
    ] {
        let mut blocks: Vec<_> = lanes
            .iter()
            .map(|lane| move || block(lane, connects))
            .collect();
        let mut contenders: Vec<&mut dyn Contender> = blocks
            .iter_mut()
            .map(|block| block as &mut dyn Contender)
            .collect();
        let measured = take_turns(run.rounds(rounds), &mut contenders)?;
        let question = Question {
            table: TABLE,
            id,
            what: &format!("SELECT only, {what}"),
            unit: "1/s",
            // A rate is of a whole block, with all that interrupts it.
            guarded: false,
            goal: goal.map(|value| Goal {
                of: Of::Ratio,
                bound: Bound::AtLeast,
                value,
            }),
        };
        let names = lanes.iter().map(|lane| lane.who);
        rows.extend(question.rows(&names.zip(measured).collect::<Vec<_>>()));
    }
    ensure_granted(&host, ALICE)?;
    run.tables.push(Table {
        id: TABLE.to_owned(),
        title: "PostgreSQL transactions".to_owned(),
        note: "`pgbench -S` with one client, at scale 1, over TCP; with stile under a live grant. \
               Client, server and what stands between them are on one processor. pgbouncer pools \
               sessions: for a client that connects again it has one already."
            .to_owned(),
        rows,
    });
    Ok(())
}

/// Where the database is.
fn server() -> SocketAddr {
    SocketAddr::new(DOOR.ip(), PORT)
}

fn guarding_the_database() -> Host {
    let policy = format!(
        "[[endpoint]]\nname = \"database\"\nhosts = [\"{}\"]\nports = [{PORT}]\n\
         [[rule]]\nname = \"all\"\nendpoints = [\"database\"]\nusers = [\"*\"]\n\
         action = \"allow\"\nttl = \"1h\"\n",
        DOOR.ip()
    );
    Host::builder().policy(&policy).quiet().build()
}

/// All who can be there, at one server; but what watches a whole network has one of its own.
fn lanes(run: &mut Run, host: &Host, data: Data) -> Result<(Vec<Lane>, Vec<Database>)> {
    let network = Rc::new(Network::new()?);
    let mut servers = Vec::new();
    let copy = data.copy()?;
    servers.push(data.serve(&network)?);
    let at = |mut lane: Lane| {
        lane.network = Rc::clone(&network);
        lane.door = server();
        lane
    };
    let free = || anyhow::Ok(at(Lane::free(NO_AGENT, ALICE)?));
    let mut lanes = vec![free()?, at(Lane::gated(host, ALICE)?)];
    let watched = opensnitch::watch(Lane::free(NO_AGENT, ALICE)?).and_then(|mut lane| {
        servers.push(copy.serve(&lane.network)?);
        lane.door = server();
        Ok(lane)
    });
    let peers = [
        (opensnitch::NAME, watched),
        (haproxy::NAME, haproxy::relay(free()?, server())),
        (haproxy::TLS_NAME, haproxy::tls_relay(free()?, server())),
        (pgbouncer::NAME, pgbouncer::pool(free()?, server())),
    ];
    for (who, lane) in peers {
        let tried = lane.and_then(|lane| transactions(&lane, 1, true).map(|_| lane));
        lanes.extend(run.invites(TABLE, who, tried));
    }
    Ok((lanes, servers))
}

fn block(lane: &Lane, connects: bool) -> Result<Sample> {
    let count = match (connects, lane.who) {
        (true, _) => CONNECTING,
        (false, NO_AGENT | STILE | opensnitch::NAME) => DIRECT,
        (false, _) => RELAYED,
    };
    transactions(lane, count, connects)
}

fn transactions(lane: &Lane, count: usize, connects: bool) -> Result<Sample> {
    let mut command = lane.command(postgres_bin("pgbench"), quiet_cpu());
    command
        .args(["-n", "-S", "-c", "1", "-U", "postgres", "-t"])
        .arg(count.to_string())
        .args(connects.then_some("-C"))
        .arg("-h")
        .arg(lane.door.ip().to_string())
        .arg("-p")
        .arg(lane.door.port().to_string())
        .arg(DATABASE);
    let said = done(&mut command).context(lane.who)?;
    let rate = rate(&said, connects).with_context(|| format!("pgbench says {said}"))?;
    Ok(Sample::one(rate))
}

/// The transactions for each second that pgbench tells of, with the time to connect if it
/// connects for each. Before version 14 it told both, that one first.
fn rate(said: &str, connects: bool) -> Option<f64> {
    let mut rates = said.lines().filter_map(|line| line.strip_prefix("tps = "));
    let rate = if connects {
        rates.next()
    } else {
        rates.next_back()
    };
    rate?.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_read_of_old_and_new_versions() {
        let new = "latency average = 0.025 ms\ntps = 39847.5 (without initial connection time)\n";
        assert_eq!(rate(new, false), Some(39847.5));
        let old = "tps = 200.5 (including connections establishing)\n\
                   tps = 900.5 (excluding connections establishing)\n";
        assert_eq!(rate(old, true), Some(200.5));
        assert_eq!(rate(old, false), Some(900.5));
        assert_eq!(rate("no luck", true), None);
    }
}
