// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Policies of up to a million prefixes: start, reload, and what they take of memory.

use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use stile_tests::{ALICE, CrowdServer, Host};

use super::held::DISK;
use super::{Run, Section};
use crate::numbers::{DAEMON, at_most, resident, row};
use crate::report::{Goal, Of, Row, Table};

pub(super) const SECTION: Section = Section {
    name: "reload",
    run,
};

/// Hosts in one file: a policy file may have 16 MiB.
const IN_A_FILE: u32 = 250_000;
/// How long a reload may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// The host's own server is protected, and its users are refused at once.
const FIRST: &str = r#"
[[endpoint]]
name = "db"
hosts = ["{address}"]
ports = [5432, {port}]

[[rule]]
name = "step-up"
endpoints = ["*"]
users = ["*"]
action = "step-up"
first = "reject"
"#;

/// Measures.
///
/// # Errors
/// If a policy is refused, or something passes while it is loaded.
fn run(run: &mut Run) -> Result<()> {
    let sizes: &[u32] = match run.quick {
        true => &[1000, 100_000],
        false => &[1000, 100_000, 1_000_000],
    };
    let rounds = run.rounds(3);
    let mut rows = Vec::new();
    for prefixes in sizes {
        rows.extend(of_size(*prefixes, rounds)?);
    }
    run.tables.push(Table {
        id: "reload".to_owned(),
        title: "Policies with many prefixes".to_owned(),
        note: "IPv4 hosts, in one endpoint for each file of 250,000. Start: of a daemon that finds no gate. All new: a reload from one host. One other: a \
               reload with one host changed. Meanwhile a user without a grant connects to a protected \
               endpoint, over and over: none may get through. Memory: what \
               the whole kernel takes (slab, vmalloc, per CPU), less what it took with one host, for \
               each prefix, after the gate has started with all of them; and the daemon's own."
            .to_owned(),
        rows,
    });
    Ok(())
}

fn of_size(prefixes: u32, rounds: usize) -> Result<Vec<Row>> {
    let mut host = Host::builder().quiet().policy(FIRST).state_on(DISK).build();
    let empty = kernel_bytes()?;
    let (mut all_new, mut one_other) = (Vec::new(), Vec::new());
    let mut got_through = 0;
    for round in 0..rounds {
        write(&host, prefixes, 0)?;
        all_new.push(reload(&mut host)?);
        write(&host, prefixes, 1)?;
        one_other.push(reload(&mut host)?);
        if round + 1 < rounds {
            write(&host, 0, 0)?;
            reload(&mut host)?;
        }
    }
    let daemon = resident(host.pid());
    let server = CrowdServer::start(host.server().address().ip(), 5432);
    for (size, first) in [(0, 0), (prefixes, 0)] {
        write(&host, size, first)?;
        got_through += reload_under_fire(&mut host, &server)?;
    }
    host.stop();
    fs::remove_dir_all(host.pins()).context("the gate's pins")?;
    let start = host.time_start().as_secs_f64();
    let bytes = (kernel_bytes()? - empty) / f64::from(prefixes);
    let row = |id: &str, what: &str, unit, numbers: &[f64], goal: Option<Goal>| Row {
        goal,
        ..row(
            &format!("reload/{id}/{prefixes}/{DAEMON}"),
            &format!("{what}, {prefixes} prefixes"),
            DAEMON,
            unit,
            numbers,
        )
    };
    let million = prefixes == 1_000_000;
    let at_most = |value| million.then(|| at_most(Of::Median, value)).flatten();
    let mut rows = vec![
        row("start", "start", "s", &[start], None),
        row("all-new", "reload, all new", "s", &all_new, at_most(3.0)),
        row("one-other", "reload, one other", "s", &one_other, None),
        row("memory", "resident memory", "MiB", &[daemon], None),
        row(
            "through",
            "got through meanwhile",
            "count",
            &[got_through as f64],
            crate::numbers::at_most(Of::Median, 0.0),
        ),
    ];
    // What else the kernel allocates meanwhile is more than the maps of a small policy.
    if prefixes >= 100_000 {
        let goal = at_most(152.0);
        rows.push(row("kernel", "kernel memory for each", "B", &[bytes], goal));
    }
    Ok(rows)
}

/// Writes a policy of so many hosts from this one on.
fn write(host: &Host, prefixes: u32, first: u32) -> Result<()> {
    for entry in fs::read_dir(host.policy())? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name != "10-test.toml") {
            fs::remove_file(path)?;
        }
    }
    let numbers: Vec<u32> = (first..first + prefixes).collect();
    for (file, hosts) in numbers.chunks(IN_A_FILE as usize).enumerate() {
        let mut text = format!("[[endpoint]]\nname = \"many-{file}\"\nports = [5432]\nhosts = [\n");
        for number in hosts {
            // Spread over the space, so that few share what lies above them in a trie.
            let spread = number.wrapping_mul(0x9e37_79b1) % (1 << 30);
            let [a, b, c, d] = ((16 << 24) + spread).to_be_bytes();
            writeln!(text, "\"{a}.{b}.{c}.{d}\",")?;
        }
        text += "]\n";
        fs::write(host.policy().join(format!("20-many-{file}.toml")), text)?;
    }
    Ok(())
}

fn reload(host: &mut Host) -> Result<f64> {
    let began = Instant::now();
    host.begin_reload();
    wait_for_reload(host, || ())?;
    Ok(began.elapsed().as_secs_f64())
}

/// Reloads while a user tries to get through. Returns how many attempts did.
fn reload_under_fire(host: &mut Host, server: &CrowdServer) -> Result<u64> {
    let mut crowd = host.crowd(ALICE, server.address());
    let (mut through, mut refused) = (0, 0);
    host.begin_reload();
    wait_for_reload(host, || {
        crowd.begin_passing(false, 0, Duration::from_millis(20));
        let passed = crowd.passed();
        (through, refused) = (through + passed.passed, refused + passed.refused);
    })?;
    ensure!(refused > 0, "nobody tried");
    Ok(through)
}

fn wait_for_reload(host: &mut Host, mut meanwhile: impl FnMut()) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !host.has_reloaded() {
        meanwhile();
        if Instant::now() > deadline {
            bail!("no reload within {} s", PATIENCE.as_secs());
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    Ok(())
}

/// What the kernel has allocated in all (proc_meminfo(5)). What it counts for a single map leaves
/// out the inner nodes of a trie.
fn kernel_bytes() -> Result<f64> {
    let text = fs::read_to_string("/proc/meminfo").context("/proc/meminfo")?;
    let of = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
        number.with_context(|| format!("/proc/meminfo has no {name}"))
    };
    let kib = of("SUnreclaim:")? + of("VmallocUsed:")? + of("Percpu:")?;
    Ok(kib * 1024.0)
}
