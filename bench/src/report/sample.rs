// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A report with invented numbers, for the tests of what is made of reports.

use super::{Bound, Goal, Machine, Missing, Of, Ratio, Report, Row, SCHEMA, Table};

/// One with everything that a report can have.
pub(crate) fn report() -> Report {
    Report {
        schema: SCHEMA,
        started: 1_700_000_000,
        seconds: 1540,
        quick: false,
        machine: Machine {
            kernel: "6.12.0".to_owned(),
            processor: "Example <Processor> 9000".to_owned(),
            cpus: 8,
            memory: 32_000,
            load: 0.4,
            build: "release".to_owned(),
        },
        tables: vec![connect(), reply(), events(), approval()],
        missing: vec![Missing {
            what: "Tetragon".to_owned(),
            why: "this kernel has no kprobes".to_owned(),
        }],
    }
}

/// A row without a goal.
pub(crate) fn row(id: &str, what: &str, unit: &str, median: f64) -> Row {
    Row {
        id: id.to_owned(),
        what: what.to_owned(),
        who: id.rsplit('/').next().unwrap_or_default().to_owned(),
        unit: unit.to_owned(),
        median,
        p99: None,
        cpu: None,
        ratio: None,
        rounds: 24,
        goal: None,
    }
}

/// A ratio with an interval of this half width.
pub(crate) fn ratio(against: &str, value: f64, around: f64, guarded: bool) -> Ratio {
    Ratio {
        against: against.to_owned(),
        value,
        low: value - around,
        high: value + around,
        guarded,
    }
}

fn table(id: &str, title: &str, note: &str, rows: Vec<Row>) -> Table {
    Table {
        id: id.to_owned(),
        title: title.to_owned(),
        note: note.to_owned(),
        rows,
    }
}

fn connect() -> Table {
    let mut rows = Vec::new();
    for (size, what, stile, nftables) in [
        ("10", "TCP over IPv4, 10 prefixes", 1.021, 1.058),
        ("1k", "TCP over IPv4, 1,000 prefixes", 1.036, 1.124),
        ("100k", "TCP over IPv4, 100,000 prefixes", 1.041, 1.707),
        ("1m", "TCP over IPv4, 1,000,000 prefixes", 1.062, 1.94),
    ] {
        let base = format!("connect/tcp4/{size}/no agent");
        for (who, factor) in [("no agent", 1.0), ("stile", stile), ("nftables", nftables)] {
            let id = format!("connect/tcp4/{size}/{who}");
            let mut row = row(&id, what, "ns", 4552.0 * factor);
            row.p99 = Some(10_108.0 * factor);
            row.cpu = Some(6900.0 * factor);
            if who != "no agent" {
                row.ratio = Some(ratio(&base, factor, 0.009, who == "stile"));
            }
            if who == "stile" {
                row.goal = Some(Goal::ratio_at_most(1.05));
            }
            rows.push(row);
        }
    }
    table(
        "connect",
        "connect() to an address that isn't protected",
        "A whole TCP handshake over loopback, one thread, destinations rotating over 65,536 \
         addresses.",
        rows,
    )
}

fn reply() -> Table {
    let base = "reply/no agent";
    let mut rows = vec![row(base, "connect and first reply", "µs", 43.0)];
    for (who, factor) in [
        ("stile", 1.084),
        ("HAProxy", 2.46),
        ("two-hop TLS", 31.2),
        ("OpenSnitch", 92.4),
    ] {
        let id = format!("reply/{who}");
        let mut row = row(&id, "connect and first reply", "µs", 43.0 * factor);
        row.p99 = Some(120.0 * factor);
        row.ratio = Some(ratio(base, factor, factor * 0.02, who == "stile"));
        if who == "stile" {
            row.goal = Some(Goal::ratio_at_most(1.1));
        }
        rows.push(row);
    }
    table(
        "reply",
        "Connect and first reply",
        "A new connection to an echo server, until the first bytes are back; with stile under a \
         live grant.",
        rows,
    )
}

fn events() -> Table {
    let mut stile = row("events/stile", "events read without loss", "1/s", 2.9e6);
    stile.goal = Some(Goal {
        of: Of::Median,
        bound: Bound::AtLeast,
        value: 1e6,
    });
    table(
        "events",
        "Events under a grant",
        "How many a second the daemon reads for 0.3 s until one is lost.",
        vec![stile],
    )
}

fn approval() -> Table {
    let mut p50 = row("approval/p50/stile", "approval to connected", "ms", 0.34);
    p50.p99 = Some(2.8);
    p50.goal = Some(Goal {
        of: Of::Median,
        bound: Bound::AtMost,
        value: 0.5,
    });
    let mut p99 = row("approval/p99/stile", "its slowest of 100", "ms", 2.8);
    p99.p99 = Some(2.8);
    p99.goal = Some(Goal {
        of: Of::P99,
        bound: Bound::AtMost,
        value: 2.0,
    });
    table(
        "approval",
        "Approval to connected",
        "One held socket; from the accepted code to the end of its connect().",
        vec![p50, p99],
    )
}
