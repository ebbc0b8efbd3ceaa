// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Many held connections under one challenge: how long after the accepted code is each one
//! through?

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::time::{ClockId, clock_gettime};
use serde_json::Value;

use super::audit_log;
use super::client::wait_for;
use super::phone::Phone;
use super::stage::{BURST, Stage, as_user};
use crate::sandbox::ALICE;

/// How many: the 99th percentile of fewer would be the slowest one.
pub(super) const CONNECTIONS: usize = 50;
const ENDPOINT: &str = "burst";

/// What the side that connects is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Where to connect to.
    address: SocketAddr,
    /// How many times.
    count: usize,
}

/// Connects, on a thread for each, and prints for each the boottime in nanoseconds at which
/// `connect` came back.
pub(super) fn open(options: &Options) -> Result<()> {
    let address = options.address;
    let threads: Vec<_> = (0..options.count)
        .map(|_| {
            std::thread::spawn(move || {
                let stream = TcpStream::connect(address);
                (boot_ns(), stream)
            })
        })
        .collect();
    let mut output = std::io::stdout().lock();
    for thread in threads {
        let Ok((at, stream)) = thread.join() else {
            bail!("a connecting thread panicked");
        };
        stream.context("a held connection was refused")?;
        writeln!(output, "{}", at?)?;
    }
    Ok(())
}

/// A burst of connections that wait under one challenge.
#[derive(Debug)]
pub(super) struct Burst<'a> {
    stage: &'a Stage,
    child: Child,
    challenge: Value,
}

impl<'a> Burst<'a> {
    /// Opens them, and waits until all of them are held.
    pub(super) fn begin(stage: &'a Stage) -> Result<Self> {
        let listener = TcpListener::bind(BURST).context("could not listen for the burst")?;
        std::thread::spawn(move || {
            let _open: Vec<_> = listener.incoming().collect();
        });
        let child = as_user(&stage.xtask, ALICE, &stage.folder)
            .args(["demo-part", "burst", BURST, &CONNECTIONS.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .context("could not start the burst")?;
        let challenge = wait_for("all connections wait", Duration::from_secs(20), || {
            let challenge = stage.stile.pending(ENDPOINT)?.pop();
            Ok(challenge.filter(|challenge| challenge["waiting"] == CONNECTIONS))
        })?;
        Ok(Self {
            stage,
            child,
            challenge,
        })
    }

    /// What they wait for.
    pub(super) fn challenge(&self) -> &Value {
        &self.challenge
    }

    /// Answers the challenge. Returns the times from the accepted code to the end of each
    /// connect, sorted.
    pub(super) fn approve(self, phone: &mut Phone) -> Result<Vec<Duration>> {
        let code = phone.fresh_code()?;
        let answer = self.stage.stile.approve(&self.challenge, &code)?;
        if answer["outcome"] != "accepted" || answer["released"] != CONNECTIONS {
            bail!("the burst was answered with {answer}");
        }
        let output = self.child.wait_with_output()?;
        if !output.status.success() {
            bail!("the burst ended with {}", output.status);
        }
        let log = self.stage.audit_log();
        let accepted = audit_log::accepted_at(&log, &self.challenge)?;
        let mut latencies = String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(|line| {
                Ok(Duration::from_nanos(
                    line.parse::<u64>()?.saturating_sub(accepted),
                ))
            })
            .collect::<Result<Vec<_>>>()?;
        latencies.sort();
        let released = audit_log::released(&log, ENDPOINT)?;
        if latencies.len() != CONNECTIONS || released != CONNECTIONS {
            bail!(
                "{} of {CONNECTIONS} connections came through, and the audit log has {released}",
                latencies.len()
            );
        }
        Ok(latencies)
    }
}

/// The value that this share of all is not above (nearest rank).
pub(super) fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

fn boot_ns() -> Result<u64> {
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME).context("could not read CLOCK_BOOTTIME")?;
    Ok(u64::try_from(Duration::from(time).as_nanos())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let sorted: Vec<_> = (1..=50).map(Duration::from_millis).collect();
        assert_eq!(percentile(&sorted, 50), Duration::from_millis(25));
        assert_eq!(percentile(&sorted, 99), Duration::from_millis(50));
        assert_eq!(percentile(&[], 99), Duration::ZERO);
    }
}
