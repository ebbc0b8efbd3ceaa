// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The kernel's side alone: how large the gate's programs are, and how long one call takes, as
//! the kernel itself tells (`struct bpf_prog_info` in its include/uapi/linux/bpf.h).

mod loaded;

use std::net::SocketAddr;

use anyhow::Result;
use aya::sys::{Stats, enable_stats};
use stile_tests::{ALICE, Host, ROOT, User};

use self::loaded::Loaded;
use super::connect::{ROTATING, protecting};
use super::reply::{guarding_the_door, with_server};
use super::{Run, Section, caught};
use crate::contest::Contest;
use crate::lane::{DOOR, Lane, STILE};
use crate::peers::empty::Empty;
use crate::prefixes::{Family, Prefixes};
use crate::report::{Row, Table};
use crate::rounds::Sample;
use crate::say;
use crate::worker::{PORT, Protocol, Worker};

pub(super) const SECTION: Section = Section {
    name: "programs",
    run,
};

/// Sizes of the sets, and how they are called.
const SIZES: [(usize, &str); 4] = [
    (10, "10"),
    (1000, "1k"),
    (100_000, "100k"),
    (1_000_000, "1M"),
];

/// The largest set of a quick run.
const QUICK: usize = 1000;

/// The size that an unoptimised agent takes minutes to load.
const TOO_MANY_FOR_DEBUG: usize = 100_000;

/// Rounds of a full run.
const ROUNDS: usize = 15;

/// Calls in a block.
const BLOCK: usize = 5000;

fn run(run: &mut Run) -> Result<()> {
    // The kernel counts until this is closed, however this process ends.
    match enable_stats(Stats::RunTime) {
        Ok(_counting) => hooks(run)?,
        Err(error) => run.misses(
            "the time of one call of a hook",
            format!("the kernel counts it since Linux 5.8: {error}"),
        ),
    }
    let sizes = sizes(run)?;
    run.tables.push(sizes);
    Ok(())
}

/// What one call of each hook takes, while the kernel counts.
fn hooks(run: &mut Run) -> Result<()> {
    let mut rows = Vec::new();
    for (size, name) in SIZES {
        if run.quick && size > QUICK {
            break;
        }
        let slow = cfg!(debug_assertions) && size >= TOO_MANY_FOR_DEBUG;
        let why = slow.then(|| "an unoptimised agent takes minutes to load them".to_owned());
        let measured = match why {
            Some(why) => Err(why),
            None => caught(|| connects(run, size, name)).map_err(|error| format!("{error:#}")),
        };
        match measured {
            Ok(more) => rows.extend(more),
            Err(why) => run.misses(&format!("the connect hooks with {name} prefixes"), why),
        }
    }
    rows.extend(packets(run)?);
    run.tables.push(Table {
        id: "hooks".to_owned(),
        title: "One call of a hook".to_owned(),
        note: format!(
            "What the kernel counts for the program, less what it counts for one that returns at \
             once. Rotating: {ROTATING} addresses in turn; hot: one address. Packets are of \
             64-byte round trips. What runs behind connect by a tail call counts there."
        ),
        rows,
    });
    Ok(())
}

/// Rows of the connect hooks of both families beside that many prefixes.
fn connects(run: &Run, size: usize, name: &str) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (family, hook) in [(Family::V4, "connect4"), (Family::V6, "connect6")] {
        say::part(format!("{hook}, {name} prefixes"));
        let prefixes = Prefixes::new(family, size);
        let host = protecting(&prefixes, "action = \"deny\"")?;
        let mut pair = Pair::new(&host, ALICE, hook, Ok)?;
        let addresses = prefixes.outside(ROTATING);
        for (pattern, addresses) in [("hot", &addresses[..1]), ("rotating", &addresses[..])] {
            let to = |address: &_| SocketAddr::new(*address, PORT);
            let lists = pair
                .contest
                .each(|_, worker| worker.learn(addresses.iter().map(to).collect()))?;
            let id = format!("hooks/{hook}-{pattern}-{name}/{STILE}");
            let what = format!("{hook}, {name} prefixes, {pattern}");
            rows.push(pair.row(run, id, &what, |worker, at| {
                worker.connect(Protocol::Udp, lists[at], BLOCK).map(|_| ())
            })?);
        }
    }
    Ok(rows)
}

/// Rows of the packet hooks: by whose the connection is, and where it goes.
fn packets(run: &Run) -> Result<Vec<Row>> {
    let unprotected = SocketAddr::from(([203, 0, 113, 7], DOOR.port()));
    let host = guarding_the_door();
    let mut rows = Vec::new();
    for hook in ["egress", "ingress"] {
        for (kind, user, to) in [
            ("unprotected", ALICE, unprotected),
            ("exempt", ROOT, DOOR),
            ("granted", ALICE, DOOR),
        ] {
            say::part(format!("{hook}, {kind}"));
            let mut pair = Pair::new(&host, user, hook, with_server)?;
            pair.contest.each(|_, worker| worker.open(to))?;
            let id = format!("hooks/{hook}-{kind}/{STILE}");
            let what = format!("{hook}, {kind} connection");
            rows.push(pair.row(run, id, &what, |worker, _| {
                worker.ping_pong(BLOCK / 2).map(|_| ())
            })?);
        }
    }
    Ok(rows)
}

/// A lane with a program that returns at once, and one with the gate's on the same hook.
struct Pair {
    contest: Contest,
    programs: [Loaded; 2],
    /// Outlives its lane's worker.
    _empty: Empty,
}

impl Pair {
    fn new(
        host: &Host,
        user: User,
        hook: &'static str,
        furnish: impl Fn(Lane) -> Result<Lane>,
    ) -> Result<Self> {
        let free = Lane::free("an empty program", user)?;
        let empty = Empty::attach(hook, &free.cgroup)?;
        let programs = [Loaded::new(empty.info()?), Loaded::on(host, hook)?];
        let lanes = vec![furnish(free)?, furnish(Lane::gated(host, user)?)?];
        Ok(Self {
            contest: Contest::new(lanes)?,
            programs,
            _empty: empty,
        })
    }

    /// What a call of the gate's takes more, in nanoseconds. `work` makes a worker call it; it
    /// gets the lane's place.
    fn row(
        &mut self,
        run: &Run,
        id: String,
        what: &str,
        work: impl Fn(&mut Worker, usize) -> Result<()>,
    ) -> Result<Row> {
        let programs = &self.programs;
        let rounds = run.rounds(ROUNDS);
        let measured = self.contest.measure(rounds, &[0, 1], |worker, at| {
            let before = programs[*at].calls()?;
            work(worker, *at)?;
            Ok(Sample::one(programs[*at].calls()?.since(before)?))
        })?;
        let [(_, empty), (who, gate)] = &measured[..] else {
            anyhow::bail!("two lanes gave {} numbers", measured.len());
        };
        Ok(gate.beyond(empty).row(id, what, who, "ns"))
    }
}

/// A number of a program: its id, what it is, its unit, and where it comes from.
type Kind = (
    &'static str,
    &'static str,
    &'static str,
    fn(&Loaded) -> Option<u32>,
);

/// How large each program is.
fn sizes(run: &mut Run) -> Result<Table> {
    let host = guarding_the_door();
    let programs = loaded::all(&host)?;
    let mut rows = Vec::new();
    let kinds: [Kind; 3] = [
        (
            "verified",
            "instructions that the verifier went through",
            "count",
            Loaded::verified,
        ),
        (
            "translated",
            "bytecode as it was taken",
            "B",
            Loaded::translated,
        ),
        ("machine", "machine code", "B", Loaded::machine),
    ];
    for (kind, what, unit, number) in kinds {
        for program in &programs {
            let name = &program.name;
            match number(program) {
                Some(number) => rows.push(Row {
                    id: format!("programs/{kind}/{name}"),
                    what: what.to_owned(),
                    who: name.clone(),
                    unit: unit.to_owned(),
                    median: f64::from(number),
                    p99: None,
                    cpu: None,
                    ratio: None,
                    rounds: 1,
                    goal: None,
                }),
                None => run.misses(
                    &format!("{name}: {what}"),
                    "this kernel doesn't tell (verified since Linux 5.16, machine code with the \
                     JIT compiler)",
                ),
            }
        }
    }
    Ok(Table {
        id: "programs".to_owned(),
        title: "The kernel programs".to_owned(),
        note: "As this kernel took them. The verifier's limit is a million instructions; what \
               it goes through is more than what runs in one call."
            .to_owned(),
        rows,
    })
}
