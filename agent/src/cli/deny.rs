// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `stile deny`: the connection isn't wanted.

use super::approve::select;
use super::args::Deny;
use super::failure::{Exit, Failure};
use super::output::{print, print_json};
use super::text::{count, escape};
use crate::bus::AgentClient;
use crate::ids::ChallengeId;

/// Runs the command.
pub(super) async fn run(args: Deny) -> Result<Exit, Failure> {
    let client = AgentClient::connect().await?;
    let pending = client.pending().await?;
    let challenge = select(pending, args.id.map(ChallengeId), "deny")?;
    client.deny(challenge.id).await?;
    if args.format.json {
        print_json(&serde_json::json!({ "denied": challenge.id }))?;
    } else {
        print(&format!(
            "denied: {} to {} ({})",
            escape(&challenge.program),
            escape(&challenge.endpoint),
            count(challenge.waiting, "connection"),
        ))?;
    }
    Ok(Exit::Ok)
}
