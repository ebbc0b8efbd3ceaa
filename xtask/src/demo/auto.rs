// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The demo without a person: every step is checked, and told with its time.

use std::fmt::Display;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::burst::{self, Burst};
use super::client::wait_for;
use super::phone::Phone;
use super::stage::{self, DATABASE, PORT, Stage, TTL};
use crate::say;

const ENDPOINT: &str = "prod-db";
/// How long the agent is watched doing nothing.
const QUIET: Duration = Duration::from_secs(10);
/// How long any step may take that nothing holds up.
const PATIENCE: Duration = Duration::from_secs(10);

/// Plays it.
///
/// # Errors
/// Names the step that was not seen.
pub(super) fn play(stage: &Stage) -> Result<()> {
    let story = Story::begin();
    match tell(stage, &story) {
        Ok(()) => {
            say::step("every step was seen");
            Ok(())
        }
        Err(error) => {
            say::note(format!(
                "the agent's log ends with:\n{}",
                stage.tail("stiled.log")
            ));
            Err(error)
        }
    }
}

fn tell(stage: &Stage, story: &Story) -> Result<()> {
    let (mut phone, _) = stage.stile.enroll()?;
    story.seen("alice has enrolled her authenticator");

    let mut psql = Psql::start(stage)?;
    let (challenge, port) = held(stage, &mut psql)?;
    story.seen(format!(
        "held: psql (pid {}) waits in connect, from port {port}; challenge {} is pending",
        psql.pid(),
        challenge["id"]
    ));

    let code = phone.fresh_code()?;
    let answer = stage.stile.approve(&challenge, &code)?;
    if answer["outcome"] != "accepted" {
        bail!("the code was answered with {answer}");
    }
    story.seen("approved: alice's code was accepted");

    let backend = goes_on(stage, &mut psql, &port)?;
    story.seen(format!(
        "the same connection goes on: from port {port}, backend {backend}, 3 rows"
    ));
    cut(stage, &mut psql, &backend)?;
    story.seen(format!(
        "cut: {} s later the next query fails",
        TTL.as_secs()
    ));

    idle(stage, story)?;
    measure(stage, &mut phone, &code, story)?;
    verify(stage, story)
}

/// Tells what the agent costs while nobody connects. It is told, not judged: other things that
/// happen on this machine, such as a login, wake the agent too.
fn idle(stage: &Stage, story: &Story) -> Result<()> {
    let number = |field: &str| -> Result<u64> {
        let status = stage.agent_status()?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let digits = line.and_then(|line| line.split_whitespace().next());
        digits
            .and_then(|digits| digits.parse().ok())
            .with_context(|| format!("the kernel doesn't tell {field}"))
    };
    let woken = || number("voluntary_ctxt_switches:");
    let before = woken()?;
    std::thread::sleep(QUIET);
    story.seen(format!(
        "idle: stiled was woken {} times in {} s, and has {:.1} MiB resident",
        woken()? - before,
        QUIET.as_secs(),
        number("VmRSS:")? as f64 / 1024.0
    ));
    Ok(())
}

/// psql hangs in its connect, and says nothing. Returns the challenge and psql's port.
fn held(stage: &Stage, psql: &mut Psql) -> Result<(Value, String)> {
    let pending = || Ok(stage.stile.pending(ENDPOINT)?.pop());
    let challenge = wait_for("a pending challenge", PATIENCE, pending)?;
    if challenge["pid"] != psql.pid() {
        bail!("the challenge is not for psql's process: {challenge}");
    }
    if let Some(status) = psql.child.try_wait()? {
        bail!("psql did not wait, it ended with {status}");
    }
    if let Ok(line) = psql.output.try_recv() {
        bail!("psql was not held, it said {line:?}");
    }
    let ports = connecting_ports()?;
    let [port] = ports.as_slice() else {
        bail!("not one socket waits for the database, but {ports:?}");
    };
    Ok((challenge, port.clone()))
}

/// The connection comes through, and it is the one that was held. Returns its backend.
fn goes_on(stage: &Stage, psql: &mut Psql, port: &str) -> Result<String> {
    let backend = psql.ask("select pg_backend_pid();")?;
    let owners = psql.ask("select count(*) from accounts;")?;
    if owners != "3" {
        bail!("psql got {owners:?} instead of 3 rows");
    }
    let server = "select pid || ' ' || client_port from pg_stat_activity where usename = 'alice'";
    let seen = stage.sql(server)?;
    if seen.trim() != format!("{backend} {port}") {
        bail!("the server sees {seen:?}, psql was held on port {port}, backend {backend}");
    }
    Ok(backend)
}

/// After the grant's end a query fails. Until then, the connection lives.
fn cut(stage: &Stage, psql: &mut Psql, backend: &str) -> Result<()> {
    if psql.ask("select pg_backend_pid();")? != backend {
        bail!("psql has another backend");
    }
    let over = || Ok(stage.stile.grants(ENDPOINT)?.is_empty().then_some(()));
    wait_for("the end of the grant", TTL + PATIENCE, over)?;
    if let Ok(answer) = psql.ask("select pg_backend_pid();") {
        bail!("a query after the end of the grant was answered with {answer:?}");
    }
    let status = psql.child.wait()?;
    if status.success() {
        bail!("psql ended well, although its connection was cut");
    }
    Ok(())
}

fn measure(stage: &Stage, phone: &mut Phone, used_code: &str, story: &Story) -> Result<()> {
    let burst = Burst::begin(stage)?;
    story.seen(format!("held: {} connections at once", burst::CONNECTIONS));
    let answer = stage.stile.approve(burst.challenge(), used_code)?;
    if answer["outcome"] == "accepted" {
        bail!("a code was accepted twice");
    }
    story.seen("refused: the code that was used before");
    let latencies = burst.approve(phone)?;
    story.seen(format!(
        "approved: from the accepted code to connected p50 {:.2} ms, p99 {:.2} ms",
        millis(burst::percentile(&latencies, 50)),
        millis(burst::percentile(&latencies, 99)),
    ));
    Ok(())
}

/// The audit log is whole, and a changed copy isn't.
fn verify(stage: &Stage, story: &Story) -> Result<()> {
    let log = stage.audit_log();
    if !stage.stile.is_whole(&log)? {
        bail!("the audit log is not whole");
    }
    story.seen("the audit log is whole");
    let copy = stage.folder.join("changed.jsonl");
    change_one_byte(&log, &copy)?;
    if stage.stile.is_whole(&copy)? {
        bail!("a changed audit log passes for whole");
    }
    story.seen("a copy of it with one byte changed is found out");
    Ok(())
}

/// A digit in the middle: the copy stays readable JSON.
fn change_one_byte(log: &Path, copy: &Path) -> Result<()> {
    let mut bytes = std::fs::read(log).context("could not read the audit log")?;
    let middle = bytes.len() / 2;
    let digit = bytes
        .iter_mut()
        .skip(middle)
        .find(|byte| byte.is_ascii_digit())
        .context("there is no digit in the audit log")?;
    *digit = if *digit == b'1' { b'2' } else { b'1' };
    std::fs::write(copy, bytes).context("could not write a copy of the audit log")
}

/// The local ports of sockets that wait for the database (state SYN_SENT), from proc_net(5).
fn connecting_ports() -> Result<Vec<String>> {
    const SYN_SENT: &str = "02";
    let table = std::fs::read_to_string("/proc/self/net/tcp").context("no /proc/self/net/tcp")?;
    let address: std::net::Ipv4Addr = DATABASE.parse()?;
    let remote = format!("{:08X}:{PORT:04X}", u32::from_ne_bytes(address.octets()));
    table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|fields| {
            fields.get(2) == Some(&remote.as_str()) && fields.get(3) == Some(&SYN_SENT)
        })
        .filter_map(|fields| Some(fields.get(1)?.split_once(':')?.1))
        .map(|port| Ok(u16::from_str_radix(port, 16)?.to_string()))
        .collect()
}

/// One psql of alice's, driven through pipes.
#[derive(Debug)]
struct Psql {
    child: Child,
    input: ChildStdin,
    output: Receiver<String>,
}

impl Psql {
    fn start(stage: &Stage) -> Result<Self> {
        let mut child = stage::psql(stage)
            .args(["-q", "-A", "-t"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("could not start psql")?;
        let input = child.stdin.take().context("psql has no input")?;
        let lines = BufReader::new(child.stdout.take().context("psql has no output")?).lines();
        let (sender, output) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(std::io::Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            child,
            input,
            output,
        })
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A query with one line as its answer.
    fn ask(&mut self, query: &str) -> Result<String> {
        writeln!(self.input, "{query}").context("psql is gone")?;
        self.output
            .recv_timeout(PATIENCE)
            .with_context(|| format!("no answer to {query:?}"))
    }
}

/// Tells steps with the time since the beginning.
#[derive(Debug)]
struct Story {
    since: Instant,
}

impl Story {
    fn begin() -> Self {
        say::step("alice connects to the database");
        Self {
            since: Instant::now(),
        }
    }

    fn seen(&self, what: impl Display) {
        say::done(format!(
            "{:7.3} s  {what}",
            self.since.elapsed().as_secs_f64()
        ));
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
