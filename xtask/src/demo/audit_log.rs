// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads the audit log of the scene.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

/// Boottime, in nanoseconds, at which the daemon took up the code that answered this
/// challenge and was accepted.
pub(super) fn accepted_at(log: &Path, challenge: &Value) -> Result<u64> {
    records(log)?
        .iter()
        .find(|record| {
            record["event"] == "factor"
                && record["outcome"] == "accepted"
                && record["challenge"] == challenge["id"]
        })
        .and_then(|record| record["boot_ns"].as_u64())
        .with_context(|| format!("no accepted code for {challenge} in the audit log"))
}

/// How many connections to an endpoint the log says were held and then released.
pub(super) fn released(log: &Path, endpoint: &str) -> Result<usize> {
    let is_released = |record: &&Value| {
        record["event"] == "connection"
            && record["passage"] == "released"
            && record["destination"]["endpoint"] == endpoint
    };
    Ok(records(log)?.iter().filter(is_released).count())
}

fn records(log: &Path) -> Result<Vec<Value>> {
    std::fs::read_to_string(log)
        .with_context(|| format!("could not read {}", log.display()))?
        .lines()
        .map(|line| serde_json::from_str(line).context("a line of the audit log is no JSON"))
        .collect()
}
