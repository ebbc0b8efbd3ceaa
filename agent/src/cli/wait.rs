// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `stile wait`: until a challenge is over.

use std::collections::BTreeMap;
use std::time::Duration;

use super::answer_args::Wait;
use super::failure::{Exit, Failure};
use super::output::{note, print, print_json};
use super::text::escape;
use crate::bus::{AgentClient, Heard};
use crate::ids::{ChallengeId, Uid};
use crate::service::ChallengeView;

/// Runs the command.
pub(super) async fn run(args: Wait) -> Result<Exit, Failure> {
    let client = AgentClient::connect().await?;
    let mut watch = client.watch().await?;
    let me = Uid(nix::unistd::geteuid().as_raw());
    let wanted = args.id.map(ChallengeId);
    let meant = |view: &ChallengeView| match wanted {
        Some(id) => view.id == id,
        None => view.uid == me,
    };
    let pending = client.pending().await?;
    let mut waits: BTreeMap<_, _> = pending
        .into_iter()
        .filter(meant)
        .map(|view| (view.id, view))
        .collect();
    if waits.is_empty() && !args.next {
        let text = wanted.map_or_else(
            || "nothing is pending; --next waits for the next challenge".to_owned(),
            |id| format!("no challenge {id} of yours is pending. `stile pending` lists them"),
        );
        return Err(Failure::new(Exit::Nothing, text));
    }
    let what = match waits.keys().map(ToString::to_string).collect::<Vec<_>>() {
        ids if ids.is_empty() => "the next challenge".to_owned(),
        ids => ids.join(", "),
    };
    note(&format!("waiting for {what}"))?;
    let mut ended = Vec::new();
    let deadline = args
        .timeout
        .map(|seconds| tokio::time::Instant::now() + Duration::from_secs(seconds));
    while ended.is_empty() || !waits.is_empty() {
        let next = watch.next();
        let heard = match deadline {
            Some(deadline) => tokio::time::timeout_at(deadline, next)
                .await
                .map_err(|_| too_late())?,
            None => next.await,
        };
        match heard {
            Some(Heard::Raised(view)) if meant(&view) && wanted.is_none() => {
                waits.insert(view.id, *view);
            }
            Some(Heard::Ended(id, outcome)) => {
                if let Some(view) = waits.remove(&id) {
                    if !args.format.json {
                        print(&line(&view, &outcome))?;
                    }
                    ended.push((view, outcome));
                }
            }
            Some(Heard::Gone) | None => {
                let text = "stiled has ended, and what waited waits for its next start";
                return Err(Failure::new(Exit::Unreachable, text));
            }
            Some(_) => {}
        }
    }
    if args.format.json {
        let ended: Vec<_> = ended
            .iter()
            .map(|(view, outcome)| serde_json::json!({ "id": view.id, "outcome": outcome }))
            .collect();
        print_json(&ended)?;
    }
    let well = ended.iter().all(|(_, outcome)| outcome == "approved");
    Ok(if well { Exit::Ok } else { Exit::Refused })
}

fn line(view: &ChallengeView, outcome: &str) -> String {
    format!(
        "{} {}: {} to {}",
        view.id,
        escape(outcome),
        escape(&view.program),
        escape(&view.endpoint)
    )
}

fn too_late() -> Failure {
    Failure::new(Exit::Refused, "still pending; --timeout is over")
}
