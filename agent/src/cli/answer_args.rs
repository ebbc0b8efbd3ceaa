// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What can be typed to answer, to give proof beforehand, and to end it.

use std::ffi::OsString;

use clap::{Args, ValueHint};

use super::args::Format;

/// What goes with a proof.
#[derive(Debug, Args)]
pub(super) struct With {
    /// The factor to answer with, as `totp` or `pam:stile-stepup`; `stile pending --json` shows
    /// what will do
    #[arg(long, value_name = "FACTOR")]
    pub(super) factor: Option<String>,
    /// Why, where a reason is asked for; it is kept in the audit log
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Approve {
    /// The challenge; needed if several are pending
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) id: Option<u64>,
    #[command(flatten)]
    pub(super) with: With,
    /// Read the code as one line from stdin
    #[arg(long)]
    pub(super) stdin: bool,
    #[command(flatten)]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
pub(super) struct BreakGlass {
    /// The endpoint; lists those that there are if it isn't said
    pub(super) endpoint: Option<String>,
    #[command(flatten)]
    pub(super) with: With,
    /// Read the code as one line from stdin
    #[arg(long, requires_all = ["endpoint", "reason"])]
    pub(super) stdin: bool,
    #[command(flatten)]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
pub(super) struct Deny {
    /// The challenge; needed if several are pending
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) id: Option<u64>,
    #[command(flatten)]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
pub(super) struct Revoke {
    /// The grant; needed if several are live
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) id: Option<u64>,
    /// End all of yours; as root, everybody's; with --user, all of theirs
    #[arg(long, conflicts_with = "id")]
    pub(super) all: bool,
    /// End grants of this user, by name or uid; only administrators may
    #[arg(long, value_name = "NAME|UID", value_hint = ValueHint::Username)]
    pub(super) user: Option<String>,
    #[command(flatten)]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
pub(super) struct Elevate {
    /// The realm; needed if you have several
    pub(super) realm: Option<String>,
    /// For this long at most, as `30m`
    #[arg(long = "for", value_name = "DURATION", value_parser = seconds)]
    pub(super) limit: Option<u64>,
    #[command(flatten)]
    pub(super) with: With,
    /// Read the code as one line from stdin
    #[arg(long)]
    pub(super) stdin: bool,
    #[command(flatten)]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
pub(super) struct Run {
    /// The realm; needed if you have several
    #[arg(long)]
    pub(super) realm: Option<String>,
    /// For this long at most, as `30m`
    #[arg(long = "for", value_name = "DURATION", value_parser = seconds)]
    pub(super) limit: Option<u64>,
    #[command(flatten)]
    pub(super) with: With,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND", value_hint = ValueHint::CommandWithArguments)]
    pub(super) command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(super) struct Wait {
    /// The challenge; all of yours without one
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) id: Option<u64>,
    /// Wait no longer than this, as `60s`
    #[arg(long, value_name = "DURATION", value_parser = seconds)]
    pub(super) timeout: Option<u64>,
    /// If none is pending, wait for the next one
    #[arg(long, conflicts_with = "id")]
    pub(super) next: bool,
    #[command(flatten)]
    pub(super) format: Format,
}

/// A duration of at least a second, as the policy writes them.
fn seconds(text: &str) -> Result<u64, String> {
    match crate::config::parse_duration(text) {
        Ok(duration) if duration.as_secs() > 0 => Ok(duration.as_secs()),
        Ok(_) => Err("it must be at least 1s".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
