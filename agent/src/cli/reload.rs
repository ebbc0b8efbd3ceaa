// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `stile reload`: the agent reads its policy anew.

use super::args::Format;
use super::failure::{Exit, Failure};
use super::output::{print, print_json};
use crate::bus::{AgentClient, ClientError, Refused};

/// Runs the command.
pub(super) async fn run(format: Format) -> Result<Exit, Failure> {
    let client = AgentClient::connect_as_admin().await?;
    match client.reload().await {
        Ok(()) => {}
        Err(ClientError::Refused(Refused::BadPolicy(text))) => {
            return Err(Failure::new(Exit::Broken, text));
        }
        Err(error) => return Err(error.into()),
    }
    let status = client.status().await?;
    if format.json {
        print_json(&serde_json::json!({ "policy": status.policy }))?;
    } else {
        print(&format!(
            "reloaded: policy {} ({} endpoints, {} rules)",
            status.policy, status.endpoints, status.rules
        ))?;
    }
    Ok(Exit::Ok)
}
