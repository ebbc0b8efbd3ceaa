// SPDX-License-Identifier: Apache-2.0 OR MIT
//! connect() to what is not protected, while more and more is.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Result, anyhow, ensure};
use nix::errno::Errno;
use stile_tests::{ALICE, Host};

use super::{Question, Run, Section, caught};
use crate::contest::{Contest, tried};
use crate::lane::{Lane, NO_AGENT, STILE};
use crate::peers::{empty, nftables};
use crate::prefixes::{Family, Prefixes};
use crate::report::{Goal, Row, Table};
use crate::say;
use crate::worker::{PORT, Protocol};

pub(super) const SECTION: Section = Section {
    name: "connect",
    run,
};

const TABLE: &str = "connect";

/// How many addresses are in turn: more than the caches of a processor keep the way to.
pub(super) const ROTATING: usize = 1 << 16;

/// Sizes of the sets, and how they are called.
const SIZES: [(usize, &str); 4] = [
    (10, "10"),
    (1000, "1k"),
    (100_000, "100k"),
    (1_000_000, "1M"),
];

/// The size that an unoptimised agent takes minutes to load.
const TOO_MANY_FOR_DEBUG: usize = 100_000;

/// The largest set that nftables loads in a quick run.
const MOST_IN_QUICK: usize = 100_000;

/// How long the agent may take to load a set in a quick run, in seconds.
const PATIENCE: f64 = 15.0;

fn run(run: &mut Run) -> Result<()> {
    let mut rows = Vec::new();
    for family in [Family::V4, Family::V6] {
        for (at, (size, name)) in SIZES.into_iter().enumerate() {
            let measured = caught(|| at_size(run, family, size, name));
            let next = SIZES.get(at + 1).map_or(0, |(next, _)| *next);
            let missing = match measured {
                Ok((more, seconds)) => {
                    rows.extend(more);
                    too_slow(run, size, seconds, next).map(|why| (next, why))
                }
                Err(error) => Some((size, format!("{error:#}"))),
            };
            if let Some((from, why)) = missing {
                let what = format!("connect with {from} or more {} prefixes", family.name());
                run.misses(&what, why);
                break;
            }
        }
    }
    ensure!(!rows.is_empty(), "no set of prefixes could be protected");
    run.tables.push(Table {
        id: TABLE.to_owned(),
        title: "connect() to an unprotected address".to_owned(),
        note: format!(
            "The call alone, on a loopback where every address is local; for TCP with the whole \
             handshake, for UDP on one socket that is connected again and again. Rotating: \
             {ROTATING} addresses in turn; hot: one address. nftables: an interval set, in which \
             each SYN is looked up; connect() over UDP sends nothing for it to look up."
        ),
        rows,
    });
    Ok(())
}

/// Why the next larger set, if there is one, can't be loaded in time.
fn too_slow(run: &Run, size: usize, seconds: f64, next: usize) -> Option<String> {
    if next == 0 {
        return None;
    }
    if cfg!(debug_assertions) && next >= TOO_MANY_FOR_DEBUG {
        return Some("an unoptimised agent takes minutes to load them".to_owned());
    }
    // What a daemon does beside loading takes half a second, which says nothing of larger sets.
    let expected = (seconds - 0.5) * (next as f64 / size as f64);
    let is_too_long = run.quick && size >= TOO_MANY_FOR_DEBUG && expected > PATIENCE;
    is_too_long.then(|| {
        format!(
            "the agent took {seconds:.1} s to enforce {size}, so these would take about \
             {expected:.0} s"
        )
    })
}

/// A host with this set protected, after its daemon enforces it.
pub(super) fn protecting(prefixes: &Prefixes, rule: &str) -> Result<Host> {
    // The set is in files of its own, beside the one of the host.
    let mut host = Host::builder().policy("").quiet().stopped().build();
    prefixes.write_policy(&host.policy(), PORT, rule)?;
    host.try_start().map_err(anyhow::Error::msg)?;
    Ok(host)
}

/// Who connects beside that many prefixes. The baseline is first.
fn lanes(run: &mut Run, host: &Host, prefixes: &Prefixes, beside: &str) -> Result<Vec<Lane>> {
    let mut lanes = vec![Lane::free(NO_AGENT, ALICE)?, Lane::gated(host, ALICE)?];
    // It has nothing to look anything up in: once is enough.
    if prefixes.all().len() == SIZES[0].0 {
        let floor = empty::hook(Lane::free(NO_AGENT, ALICE)?);
        lanes.extend(run.invites(TABLE, empty::WHO, floor));
    }
    let filtered = match run.quick && prefixes.all().len() > MOST_IN_QUICK {
        true => Err(anyhow!("a full run waits until it has loaded that many")),
        false => nftables::filter(Lane::free(NO_AGENT, ALICE)?, prefixes.all()),
    };
    let filtered = tried(filtered, |_, worker| {
        let inside = SocketAddr::new(prefixes.inside(1)[0], PORT);
        let list = worker.learn(vec![inside])?;
        worker.refused(list, 1, Errno::ECONNREFUSED.into())
    });
    lanes.extend(run.invites(
        &format!("{TABLE} beside {beside}"),
        nftables::NAME,
        filtered,
    ));
    Ok(lanes)
}

/// The rows, and how many seconds the agent took to start with that many prefixes.
fn at_size(run: &mut Run, family: Family, size: usize, name: &str) -> Result<(Vec<Row>, f64)> {
    let prefixes = Prefixes::new(family, size);
    let start = Instant::now();
    let host = protecting(&prefixes, "action = \"deny\"")?;
    let took = start.elapsed().as_secs_f64();
    let family_name = family.name();
    let beside = format!("{name} {family_name} prefixes");
    say::part(format!("{beside}; the agent was up after {took:.1} s"));
    let mut contest = Contest::new(lanes(run, &host, &prefixes, &beside)?)?;
    // What is protected is refused: it is this set that the gate looks addresses up in.
    let inside = prefixes.inside(1)[0];
    contest.each(|lane, worker| {
        let list = worker.learn(vec![SocketAddr::new(inside, PORT)])?;
        match lane.who {
            STILE => worker.refused(list, 1, Errno::EPERM.into()).map(drop),
            _ => Ok(()),
        }
    })?;
    let addresses = prefixes.outside(ROTATING);
    let mut rows = Vec::new();
    for (pattern, addresses) in [("rotating", &addresses[..]), ("hot", &addresses[..1])] {
        let to = |address: &_| SocketAddr::new(*address, PORT);
        let lists = contest.each(|_, worker| worker.learn(addresses.iter().map(to).collect()))?;
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let (word, count, rounds) = match protocol {
                Protocol::Tcp => ("tcp", 1500, 21),
                Protocol::Udp => ("udp", 5000, 15),
            };
            let measured = contest.measure(run.rounds(rounds), &lists, |worker, list| {
                worker.connect(protocol, *list, count)
            })?;
            let goal = (protocol == Protocol::Tcp).then(|| Goal::ratio_at_most(1.05));
            let question = Question {
                table: TABLE,
                id: &format!("{word}{}-{pattern}-{name}", family.digit()),
                what: &format!(
                    "{} over {family_name}, {name} prefixes, {pattern}",
                    word.to_uppercase()
                ),
                unit: "ns",
                guarded: true,
                goal,
            };
            rows.extend(question.rows(&measured));
        }
    }
    Ok((rows, took))
}
