// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What can be typed after `stile policy`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};
use jiff::tz::TimeZone;

use super::args::{CONFIG_FILE, Format, POLICY_DIR};
use super::help::{after, exit_codes};
use crate::policy::SessionType;

#[derive(Debug, Subcommand)]
pub(super) enum Policy {
    /// Check policy files without loading them into the agent
    ///
    /// Lists every error with its file, line and column.
    ///
    /// Warns of what they hardly can mean: rules and endpoints that earlier ones leave nothing,
    /// and users, groups and programs that this host doesn't have.
    #[command(after_help = after!(
        "stile policy check",
        "stile policy check --policy ./policy.d --config ./stile.toml",
        "stile policy check --json    for a CI that annotates lines",
        "stile policy check --strict --no-accounts --no-programs    where neither is known"
    ))]
    Check(PolicyCheck),
    /// Say what a policy does with a connection, and why
    ///
    /// Shows each rule that speaks of the endpoint, why it fits or doesn't, and what the user
    /// would see. It reads the files alone: no agent, no root. What isn't said is unknown, and
    /// then the stricter case counts.
    #[command(after_help = after!(
        "stile policy explain --user dbadmin --to db1.example.com:5432",
        "stile policy explain --user 1000 --group dba --program /usr/bin/psql \\",
        "    --to 10.20.0.7:5432 --at 2026-01-05T03:00 --remote --from 192.0.2.7",
        "stile policy explain --policy ./policy.d --user eve --to 10.20.0.7:22 --json"
    ))]
    Explain(Box<PolicyExplain>),
    /// Print the JSON Schema of policy files
    ///
    /// Editors complete and check TOML by it: put `#:schema FILE` at the head of a policy file,
    /// or name it in the editor's settings.
    #[command(after_help = after!(
        "stile policy schema > /usr/share/stile/policy.schema.json",
        "stile policy schema | jq '.\"$defs\".Rule.properties | keys'"
    ))]
    Schema,
    /// Hold a policy against cases of what it has to do
    ///
    /// Each case names a user, their groups, a destination, and what is expected; nothing of it
    /// has to exist here, so it runs in a CI, without root. Ends with 1 if a case fails.
    #[command(after_help = after!(
        "stile policy test cases.toml",
        "stile policy test --policy ./policy.d --junit report.xml cases/*.toml"
    ))]
    Test(PolicyTest),
    /// Show what a change of the policy changes, and for whom
    ///
    /// Names the endpoints and rules that are added, removed, moved or changed, and what becomes
    /// of each user and group that either policy names, as if they were in no other group, and of
    /// everybody else. What gets laxer comes first. Ends with 6 if anything changes.
    #[command(after_help = after!(
        "stile policy diff /etc/stile/policy.d ./policy.d",
        "stile policy diff OLD NEW --json | jq '.outcomes[] | select(.laxer)'"
    ))]
    Diff(PolicyDiff),
    /// Tell how often a policy would have asked and refused, from an audit log
    ///
    /// Replays the attempts of the log. One proof counts for as long and for as much as the rule
    /// says, as if each prompt had been answered at once. What the log doesn't tell can't be
    /// judged, so that the stricter outcome counts; it is listed at the end.
    #[command(after_help = after!(
        "stile policy forecast --from /var/lib/stile/audit/audit.jsonl --policy ./policy.d",
        "stile policy forecast --from audit.jsonl --days 7",
        "stile policy forecast --from audit.jsonl --json | jq '.prompts[]'"
    ))]
    Forecast(PolicyForecast),
}

#[derive(Debug, Args)]
pub(super) struct PolicyCheck {
    /// The directory with the policy files
    #[arg(long, value_name = "DIR", default_value = POLICY_DIR, value_hint = ValueHint::DirPath)]
    pub(super) policy: PathBuf,
    /// The agent's settings
    #[arg(long, value_name = "FILE", default_value = CONFIG_FILE, value_hint = ValueHint::FilePath)]
    pub(super) config: PathBuf,
    /// Don't ask whether users and groups exist on this host
    #[arg(long)]
    pub(super) no_accounts: bool,
    /// Don't look at programs on this host
    #[arg(long)]
    pub(super) no_programs: bool,
    /// Take warnings for errors: end with 5
    #[arg(long)]
    pub(super) strict: bool,
    #[command(flatten)]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
pub(super) struct PolicyDiff {
    /// The directory with the policy as it is
    #[arg(value_name = "OLD", value_hint = ValueHint::DirPath)]
    pub(super) old: PathBuf,
    /// The directory with the policy as it would be
    #[arg(value_name = "NEW", value_hint = ValueHint::DirPath)]
    pub(super) new: PathBuf,
    #[command(flatten)]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
pub(super) struct PolicyForecast {
    /// The audit log
    #[arg(long, value_name = "AUDIT_LOG", value_hint = ValueHint::FilePath)]
    pub(super) from: PathBuf,
    /// The directory with the policy files
    #[arg(long, value_name = "DIR", default_value = POLICY_DIR, value_hint = ValueHint::DirPath)]
    pub(super) policy: PathBuf,
    /// Count the last days of the log only; the days are those of UTC
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) days: Option<u16>,
    #[command(flatten)]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
pub(super) struct PolicyExplain {
    /// The directory with the policy files
    #[arg(long, value_name = "DIR", default_value = POLICY_DIR, value_hint = ValueHint::DirPath)]
    pub(super) policy: PathBuf,
    /// Who connects, by name or uid
    #[arg(long, value_name = "NAME|UID", value_hint = ValueHint::Username)]
    pub(super) user: String,
    /// A group of theirs; may be given more than once, in place of those they have here
    #[arg(long = "group", value_name = "NAME")]
    pub(super) groups: Vec<String>,
    /// Where to: an address, or a host name, and a port
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) to: String,
    /// Over UDP instead of TCP
    #[arg(long)]
    pub(super) udp: bool,
    /// What connects
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(super) program: Option<PathBuf>,
    /// The SHA-256 of that file
    #[arg(long, value_name = "HEX", value_parser = sha256)]
    pub(super) sha256: Option<[u8; 32]>,
    /// When, by the clock of --tz or as RFC 3339; now if it isn't given
    #[arg(long, value_name = "TIME")]
    pub(super) at: Option<String>,
    /// Whose clock that is, as in Europe/Berlin; this host's if it isn't given
    #[arg(long, value_name = "ZONE", value_parser = time_zone)]
    pub(super) tz: Option<TimeZone>,
    /// From a session that came over the network
    #[arg(long, conflicts_with = "local")]
    pub(super) remote: bool,
    /// From where that came
    #[arg(long, value_name = "ADDRESS", conflicts_with = "local")]
    pub(super) from: Option<IpAddr>,
    /// From a session at this machine
    #[arg(long)]
    pub(super) local: bool,
    /// The type of the session
    #[arg(long, value_name = "TYPE", value_parser = session_type)]
    pub(super) session: Option<SessionType>,
    /// Its seat; "" if it has none
    #[arg(long, value_name = "SEAT")]
    pub(super) seat: Option<String>,
    /// With a terminal
    #[arg(long, conflicts_with = "no_tty")]
    pub(super) tty: bool,
    /// Without one
    #[arg(long)]
    pub(super) no_tty: bool,
    /// In this systemd unit
    #[arg(long, value_name = "UNIT")]
    pub(super) unit: Option<String>,
    /// With a program that the user has not got through with before
    #[arg(long, conflicts_with = "known_program")]
    pub(super) new_program: bool,
    /// With one that they have
    #[arg(long)]
    pub(super) known_program: bool,
    /// To an endpoint that the user has not got through to before
    #[arg(long, conflicts_with = "known_destination")]
    pub(super) new_destination: bool,
    /// To one that they have
    #[arg(long)]
    pub(super) known_destination: bool,
    /// From an address that the user has not got through from before
    #[arg(long, conflicts_with = "known_address")]
    pub(super) new_address: bool,
    /// From one that they have
    #[arg(long)]
    pub(super) known_address: bool,
    /// At an hour at which the user hardly ever works
    #[arg(long, conflicts_with = "usual_hour")]
    pub(super) unusual_hour: bool,
    /// At one of the usual hours
    #[arg(long)]
    pub(super) usual_hour: bool,
    /// Wrong answers within the time that is asked for
    #[arg(long, value_name = "N")]
    pub(super) failures: Option<u32>,
    /// Connections within the time that is asked for, this one included
    #[arg(long, value_name = "N")]
    pub(super) connections: Option<u32>,
    #[command(flatten)]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
pub(super) struct PolicyTest {
    /// Files of cases
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) cases: Vec<PathBuf>,
    /// The directory with the policy files
    #[arg(long, value_name = "DIR", default_value = POLICY_DIR, value_hint = ValueHint::DirPath)]
    pub(super) policy: PathBuf,
    /// Also write a report that a CI reads
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) junit: Option<PathBuf>,
    #[command(flatten)]
    pub(super) format: Format,
}

fn time_zone(text: &str) -> Result<TimeZone, &'static str> {
    let zone = TimeZone::get(text);
    zone.map_err(|_| "write a name of the IANA time zone database, as in Europe/Berlin")
}

/// Reads what sha256sum(1) prints.
fn sha256(text: &str) -> Result<[u8; 32], &'static str> {
    let mut digest = [0; 32];
    hex::decode_to_slice(text, &mut digest)
        .map(|()| digest)
        .map_err(|_| "write 64 hexadecimal digits, as sha256sum(1) does")
}

fn session_type(word: &str) -> Result<SessionType, String> {
    let found = SessionType::ALL.iter().find(|(name, _)| *name == word);
    found.map(|(_, kind)| *kind).ok_or_else(|| {
        let words = SessionType::ALL.map(|(word, _)| word);
        format!("one of {}", words.join(", "))
    })
}
