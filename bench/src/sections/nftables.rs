// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What sets of prefixes cost in nftables, to hold against what the agent's policies do.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::Result;

use super::{Run, Section};
use crate::lane::Network;
use crate::peers::nftables::{self, Loaded};
use crate::prefixes::{Family, Prefixes};
use crate::report::{Row, Table};

pub(super) const SECTION: Section = Section {
    name: "nftables",
    run,
};

const TABLE: &str = "nftables";

/// Sizes of the sets, and how they are called; the last one only in a full run: it takes nft two
/// minutes.
const SIZES: [(usize, &str); 4] = [
    (10, "10"),
    (1000, "1k"),
    (100_000, "100k"),
    (1_000_000, "1M"),
];

/// An address that no set has.
const ONE_MORE: (IpAddr, u8) = (IpAddr::V4(Ipv4Addr::new(10, 9, 9, 9)), 32);

fn run(run: &mut Run) -> Result<()> {
    let sizes = &SIZES[..SIZES.len() - usize::from(run.quick)];
    let mut rows = Vec::new();
    for (size, name) in sizes {
        match of_size(*size, name) {
            Ok(more) => rows.extend(more),
            Err(error) => {
                run.misses(
                    &format!("nftables with {name} prefixes"),
                    format!("{error:#}"),
                );
                break;
            }
        }
    }
    run.tables.push(Table {
        id: TABLE.to_owned(),
        title: "The same prefixes in nftables".to_owned(),
        note: "Load: `nft -f` with an interval set of IPv4 prefixes, from its start to its end. One \
               more: the same with one element for that set. Memory: the kernel's, for each prefix, \
               where it can be told from what others use."
            .to_owned(),
        rows,
    });
    Ok(())
}

fn of_size(size: usize, name: &str) -> Result<Vec<Row>> {
    let prefixes = Prefixes::new(Family::V4, size);
    let network = Network::new()?;
    let Loaded { time, bytes } = nftables::load(&network, prefixes.all())?;
    let one_more = nftables::add(&network, ONE_MORE)?;
    let mut rows = vec![
        row("load", "load", name, "ms", milliseconds(time)),
        row("one-more", "one more", name, "ms", milliseconds(one_more)),
    ];
    if let Some(bytes) = bytes {
        let each = bytes as f64 / size as f64;
        rows.push(row("memory", "memory for each", name, "B", each));
    }
    Ok(rows)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn row(id: &str, what: &str, size: &str, unit: &str, number: f64) -> Row {
    Row {
        id: format!("{TABLE}/{id}/{size}/{}", nftables::NAME),
        what: format!("{what}, {size} prefixes"),
        who: nftables::NAME.to_owned(),
        unit: unit.to_owned(),
        median: number,
        p99: None,
        cpu: None,
        ratio: None,
        rounds: 1,
        goal: None,
    }
}
