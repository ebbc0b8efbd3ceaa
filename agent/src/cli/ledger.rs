// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `stile ledger` and `stile secrets`.

use std::path::PathBuf;

use super::args::Format;
use super::factor_args::LedgerAt;
use super::failure::{Exit, Failure};
use super::output::{print, print_json};
use super::text::{GOOD, styled};
use crate::bus::{AgentClient, ClientError, Refused};
use crate::ledger::{KeyPlaces, Ledger, LedgerError, LedgerExport};

/// Where the ledger lies if no agent says.
const STATE_DIR: &str = "/var/lib/stile";

/// `stile ledger check`.
pub(super) async fn check(args: LedgerAt) -> Result<Exit, Failure> {
    let export = read(args.state_dir).await?;
    let (devices, proofs) = (export.devices.len(), export.elevations.len());
    if args.format.json {
        print_json(&serde_json::json!({
            "ok": true,
            "schema": export.schema,
            "key": export.key,
            "devices": devices,
            "elevations": proofs,
        }))?;
    } else {
        let text = format!("the ledger is whole: {devices} devices, {proofs} proofs");
        print(&styled(GOOD, &text))?;
        print(&format!(
            "secrets are sealed with the key of: {}",
            export.key
        ))?;
    }
    Ok(Exit::Ok)
}

/// `stile ledger export`.
pub(super) async fn export(args: LedgerAt) -> Result<Exit, Failure> {
    let export = read(args.state_dir).await?;
    if args.format.json {
        print_json(&export)?;
    } else {
        let text = serde_json::to_string_pretty(&export);
        let failed = |error| Failure::new(Exit::Refused, format!("can't print it: {error}"));
        print(&text.map_err(failed)?)?;
    }
    Ok(Exit::Ok)
}

/// `stile secrets rotate`.
pub(super) async fn rotate(args: Format) -> Result<Exit, Failure> {
    let client = AgentClient::connect_as_admin().await?;
    let secrets = client.rotate_secrets().await?;
    if args.json {
        print_json(&serde_json::json!({ "secrets": secrets }))?;
    } else {
        let text = format!("{secrets} secrets are sealed with new keys");
        print(&styled(GOOD, &text))?;
    }
    Ok(Exit::Ok)
}

/// The ledger as the agent has it; without an agent, or where a directory is named, as it lies on
/// disk.
async fn read(state_dir: Option<PathBuf>) -> Result<LedgerExport, Failure> {
    if let Some(dir) = state_dir {
        return open(dir);
    }
    let asked = match AgentClient::connect_as_admin().await {
        Ok(client) => client.export_ledger().await,
        Err(error) => Err(error),
    };
    match asked {
        Ok(export) => Ok(export),
        Err(ClientError::NoAgent | ClientError::NoBus { .. })
            if nix::unistd::geteuid().is_root() =>
        {
            open(PathBuf::from(STATE_DIR))
        }
        Err(ClientError::Refused(Refused::BadFactor(text))) => {
            Err(Failure::new(Exit::Broken, text))
        }
        Err(error) => Err(error.into()),
    }
}

fn open(state: PathBuf) -> Result<LedgerExport, Failure> {
    // A check makes nothing.
    if !state.join(crate::ledger::FILE_NAME).exists() {
        let text = format!(
            "there is no ledger in {}. Name its directory",
            state.display()
        );
        return Err(Failure::new(Exit::Nothing, text));
    }
    let places = KeyPlaces::of_process(&state);
    let ledger = Ledger::open_with(&places).map_err(|error| match error {
        LedgerError::InUse { .. } => {
            let text = format!("{error}, or ask it without --state-dir");
            Failure::new(Exit::Refused, text)
        }
        error => Failure::new(Exit::Broken, error.to_string()),
    })?;
    let broken = |error: LedgerError| Failure::new(Exit::Broken, error.to_string());
    ledger.inspect().map_err(broken)
}
