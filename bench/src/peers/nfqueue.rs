// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The floor under every firewall that asks a program about each new connection: the kernel
//! queues its SYN (NFQUEUE), and a program that does nothing else accepts it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nfq::{Queue, Verdict};

use super::{Process, Tool, done};
use crate::lane::{Lane, Network};
use crate::machine::quiet_cpu;
use crate::worker::enter;

/// Its name in the tables.
pub(crate) const NAME: &str = "NFQUEUE";

/// The queue's number.
const QUEUE: u16 = 0;

/// Where the program that accepts everything runs.
#[derive(Debug, clap::Args)]
pub(crate) struct Place {
    /// The file of its network namespace.
    #[arg(long)]
    network: PathBuf,
    /// The only processor that it runs on.
    #[arg(long)]
    cpu: usize,
}

/// Queues every SYN that is sent in the lane's network. If the program ended, none would pass.
///
/// # Errors
/// If iptables is missing, or if the kernel has no NFQUEUE.
pub(crate) fn watch(mut lane: Lane) -> Result<Lane> {
    let mut command = Command::new("/proc/self/exe");
    command
        .arg("accept-queue")
        .arg("--network")
        .arg(lane.network.path())
        .arg(format!("--cpu={}", quiet_cpu()));
    let process = Process::start(&mut command, || is_read(&lane.network)).context("NFQUEUE")?;
    let number = QUEUE.to_string();
    for program in ["iptables", "ip6tables"] {
        let mut command = Tool::find(program)?.command(&lane.network);
        command.args(["-t", "mangle", "-A", "OUTPUT", "-p", "tcp", "--syn"]);
        command.args(["-j", "NFQUEUE", "--queue-num", &number]);
        done(&mut command)?;
    }
    ensure_queued(&lane.network)?;
    lane.who = NAME;
    lane.keeps.push(Box::new(process));
    Ok(lane)
}

/// Accepts everything in the queue until it is killed.
///
/// # Errors
/// If the queue can't be read.
pub(crate) fn accept(place: &Place) -> Result<()> {
    enter(&place.network, Some(place.cpu))?;
    let mut queue = Queue::open().context("the kernel has no NFQUEUE")?;
    queue.bind(QUEUE)?;
    queue.set_copy_range(QUEUE, 0)?;
    loop {
        let mut message = queue.recv()?;
        message.set_verdict(Verdict::Accept);
        queue.verdict(message)?;
    }
}

/// Whether a program reads the queue: it is listed in /proc/net/netfilter/nfnetlink_queue, which
/// begins each line with the number.
pub(super) fn is_read(network: &Network) -> bool {
    let table = network.table("netfilter/nfnetlink_queue");
    let numbers = table
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    numbers
        .filter_map(|word| word.parse().ok())
        .any(|number: u16| number == QUEUE)
}

/// Makes sure that the kernel puts new connections into the queue: nothing is worth measuring
/// that lets them pass.
pub(super) fn ensure_queued(network: &Network) -> Result<()> {
    let mut command = Tool::find("iptables")?.command(network);
    let rules = done(command.args(["-t", "mangle", "-S", "OUTPUT"]))?;
    ensure!(
        rules.contains("-j NFQUEUE"),
        "no rule queues new connections; the rules are: {rules}"
    );
    Ok(())
}
