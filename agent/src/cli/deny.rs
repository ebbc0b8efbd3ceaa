// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `stile deny`: the connection isn't wanted.

use super::answer_args::Deny;
use super::approve::select;
use super::failure::{Exit, Failure};
use super::output::{print, print_json};
use super::text::escape;
use crate::bus::AgentClient;
use crate::ids::ChallengeId;
use crate::texts::Texts;
use crate::texts::Value::{Number, Text};

/// Runs the command.
pub(super) async fn run(args: Deny) -> Result<Exit, Failure> {
    let texts = Texts::of_environment();
    let client = AgentClient::connect().await?;
    let pending = client.pending().await?;
    let challenge = select(&texts, pending, args.id.map(ChallengeId), "deny")?;
    client.deny(challenge.id).await?;
    if args.format.json {
        print_json(&serde_json::json!({ "denied": challenge.id }))?;
    } else {
        let values = [
            ("program", Text(&escape(&challenge.program))),
            ("endpoint", Text(&escape(&challenge.endpoint))),
            ("number", Number(challenge.waiting.into())),
        ];
        print(&texts.fill("cli-denied", &values))?;
    }
    Ok(Exit::Ok)
}
