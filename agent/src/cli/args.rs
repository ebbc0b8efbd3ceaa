// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What can be typed. The help, the man pages and the completions all come from here.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueHint};
use clap_complete::Shell;
use jiff::tz::TimeZone;

use super::factor_args::{Factor, Ledger, Secrets, Unlock};
use super::help::{after, exit_codes};
use crate::policy::SessionType;

/// Where the policy is unless `--policy` says otherwise.
const POLICY_DIR: &str = "/etc/stile/policy.d";
/// Where the agent's settings are unless `--config` says otherwise.
const CONFIG_FILE: &str = "/etc/stile/stile.toml";
/// Where the audit log is unless `--log` says otherwise.
const AUDIT_LOG: &str = "/var/lib/stile/audit/audit.jsonl";

/// See, answer and revoke access to protected endpoints
///
/// stile holds connections to protected databases and servers until you have proven who you
/// are with a one-time code. This command shows what waits for you, answers it, and ends what
/// you no longer need. It talks to the agent, stiled, over the D-Bus system bus.
#[derive(Debug, Parser)]
#[command(
    name = "stile",
    version,
    propagate_version = true,
    disable_help_subcommand = true,
    after_help = after!(
        "stile enroll     set your authenticator app up, once",
        "stile approve    answer the connection that waits for you",
        "stile grants     see what you may reach, and for how long",
        "stile revoke --all"
    )
)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show how the agent stands
    ///
    /// Ends with 1 unless the agent enforces its policy and has no problems.
    #[command(after_help = after!(
        "stile status",
        "stile status --json | jq -r '.problems[]'"
    ))]
    Status(Format),
    /// List the challenges that wait for an answer
    ///
    /// Root sees everybody's. An empty list is no error.
    #[command(after_help = after!("stile pending", "stile pending --json | jq '.[].id'"))]
    Pending(Format),
    /// Answer a challenge with a one-time code
    ///
    /// Shows what wants to connect and where, and asks for the code on the terminal. The code
    /// isn't shown while it is typed; an empty line leaves without an answer.
    #[command(after_help = after!(
        "stile approve          the only pending challenge",
        "stile approve 7        the one with this id",
        "stile approve --factor pam:stile-stepup    with what PAM asks",
        "oathtool --totp -b - < secret | stile approve --stdin"
    ))]
    Approve(Approve),
    /// Refuse a challenge: the connections that wait on it fail at once
    #[command(after_help = after!("stile deny", "stile deny 7"))]
    Deny(Deny),
    /// List live grants
    ///
    /// Root sees everybody's. An empty list is no error.
    #[command(after_help = after!("stile grants", "stile grants --json"))]
    Grants(Format),
    /// List proofs that still count
    ///
    /// Whoever gave one isn't asked again for its realm, by connections in its scope, while the
    /// rule counts it. `stile revoke` takes them back with their grants. Root sees everybody's.
    /// An empty list is no error.
    #[command(after_help = after!("stile elevations", "stile elevations --json"))]
    Elevations(Format),
    /// Watch, answer and revoke on one screen
    ///
    /// Shows what waits for an answer, live grants and the last decisions, and follows them. `a`
    /// answers with a code, `d` refuses, `r` revokes, `?` lists all keys. Root sees everybody's.
    /// It is a view for people and has no --json: programs use `stile pending --json` and `stile
    /// grants --json`. NO_COLOR is honoured.
    #[command(after_help = after!("stile top", "NO_COLOR=1 stile top"))]
    Top,
    /// End a grant, and with it the connections that live under it
    #[command(after_help = after!(
        "stile revoke           the only live grant",
        "stile revoke 12        the one with this id",
        "stile revoke --all     all of yours; as root, everybody's",
        "stile revoke --user alice --all     as an administrator"
    ))]
    Revoke(Revoke),
    /// List the realms in which rules may ask you for proof
    ///
    /// With how long the last proof still counts, and for which connections one does.
    #[command(after_help = after!("stile realms", "stile realms --json"))]
    Realms(Format),
    /// Prove who you are before anything connects
    ///
    /// For what runs without you, such as a playbook: one code counts for as long as the rules of
    /// the realm let it, and with --for no longer than that. `stile revoke --all` ends it early.
    #[command(after_help = after!(
        "stile elevate                   in the only realm there is",
        "stile elevate prod --for 30m    then ansible-playbook site.yml",
        "oathtool --totp -b - < secret | stile elevate prod --stdin"
    ))]
    Elevate(Elevate),
    /// Prove who you are, and then run a command
    ///
    /// Asks in this terminal, also where rules ask each program by itself. It is not asked for
    /// what an earlier proof still lets through. Ends as the command does, with 127 if there is no
    /// such command, and with 126 if it can't be run.
    #[command(after_help = after!(
        "stile run -- psql -h db1.example.com",
        "stile run --realm prod --for 10m -- pg_dump prod"
    ))]
    Run(Run),
    /// Reach an endpoint past the rules, in an emergency
    ///
    /// For those whom the policy lets do so, by a proof and a reason, as often as it says. It is
    /// recorded apart from everything else and raises an alarm. Without an endpoint it lists those
    /// that you may reach so. Ends with 1 if you may not.
    #[command(after_help = after!(
        "stile break-glass",
        "stile break-glass prod-db --reason \"primary is down, INC-42\"",
        "stile break-glass --json | jq '.[] | select(.left > 0).endpoint'"
    ))]
    BreakGlass(BreakGlass),
    /// Wait until a challenge is over
    ///
    /// Without an id until all of yours are. Ends with 0 if they were approved, and with 1 if one
    /// was not.
    #[command(after_help = after!(
        "stile wait",
        "stile wait 7 --timeout 60s",
        "stile wait --next --json    for the next challenge, if none is pending"
    ))]
    Wait(Wait),
    /// List the programs in your sessions that show challenges
    ///
    /// Root sees everybody's. Without one, challenges are told on the terminal alone.
    #[command(after_help = after!("stile prompters", "stile prompters --json"))]
    Prompters(Format),
    /// Make the agent read its policy anew
    ///
    /// A broken policy changes nothing: its mistakes are listed, and this ends with 5. Only
    /// administrators may: root, and those whom polkit lets do org.stile.reload.
    #[command(after_help = after!("sudo stile reload", "stile reload --json"))]
    Reload(Format),
    /// Set an authenticator app up
    ///
    /// Shows a fresh secret as a QR code and as text, and asks for one code that the app makes
    /// with it. Only then the secret counts. With --json it prints the secret as one line,
    /// reads the code from stdin, and prints the outcome as another line.
    #[command(after_help = after!(
        "stile enroll",
        "sudo stile enroll --user alice     also replaces a lost secret"
    ))]
    Enroll(Enroll),
    /// Work with the factors that you prove yourself with: devices, recovery codes
    #[command(subcommand, after_help = after!("stile factor list", "stile factor add --name tablet"))]
    Factor(Factor),
    /// Forget a user's wrong answers, and so end a lock-out
    ///
    /// Only administrators may: root, and those whom polkit lets do org.stile.enroll-others. Ends
    /// with 3 if there was nothing to forget.
    #[command(after_help = after!("sudo stile unlock alice", "sudo stile unlock 1000 --json"))]
    Unlock(Unlock),
    /// Look at the ledger: who has which factors, failures and proofs
    #[command(subcommand, after_help = after!("sudo stile ledger check", "sudo stile ledger export"))]
    Ledger(Ledger),
    /// Work with the keys that seal the secrets of factors
    #[command(subcommand, after_help = after!("sudo stile secrets rotate"))]
    Secrets(Secrets),
    /// Work with policy files
    #[command(subcommand, after_help = after!("stile policy check --policy ./policy.d"))]
    Policy(Policy),
    /// Read the audit log
    #[command(subcommand, after_help = after!("stile audit tail -n 20", "stile audit verify"))]
    Audit(Audit),
    /// Say what the gate needs, what this machine has of it, and what to do about the rest
    ///
    /// Tries what it can and changes nothing. Any user may run it; what only root can look at is
    /// said to be unknown then. Ends with 1 if the gate can't stand without something that is
    /// missing, and with 0 if something is only degraded or was not checked.
    #[command(after_help = after!(
        "stile doctor",
        "sudo stile doctor    everything is checked",
        "stile doctor --json | jq -r '.checks[] | select(.state != \"ok\").name'"
    ))]
    Doctor(Doctor),
    /// Take the gate out of the kernel: protected endpoints are open afterwards
    ///
    /// The gate outlives the agent, so that nobody gets through while it restarts. Stop the
    /// agent first; this is for good, until it is started again. Only root can do it.
    #[command(after_help = after!("systemctl stop stiled && stile detach"))]
    Detach(Detach),
    /// Print a completion script for this shell
    #[command(hide = true)]
    Completions {
        /// The shell to complete in
        shell: Shell,
    },
    /// Print the man page, or write all of them into a directory
    #[command(hide = true)]
    Man {
        /// The directory; it must exist
        #[arg(value_hint = ValueHint::DirPath)]
        dir: Option<PathBuf>,
    },
}

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

#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Show the last records
    #[command(after_help = after!(
        "stile audit tail",
        "stile audit tail -n 100 --json | jq 'select(.uid == 1000)'"
    ))]
    Tail(AuditTail),
    /// Check that nothing was removed, changed or reordered
    #[command(after_help = after!(
        "stile audit verify",
        "stile audit verify --log /mnt/backup/audit.jsonl"
    ))]
    Verify(AuditVerify),
}

#[derive(Debug, Args)]
pub(super) struct Format {
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Approve {
    /// The challenge; needed if several are pending
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) id: Option<u64>,
    /// The factor to answer with, as `totp` or `pam:stile-stepup`; `stile pending --json` shows
    /// what will do
    #[arg(long, value_name = "FACTOR")]
    pub(super) factor: Option<String>,
    /// Why, where the rule asks for a reason; it is kept in the audit log
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
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
    /// Why; asked for on the terminal if it isn't said
    #[arg(long, value_name = "TEXT", requires = "endpoint")]
    pub(super) reason: Option<String>,
    /// The factor to answer with, as `totp` or `pam:stile-stepup`
    #[arg(long, value_name = "FACTOR", requires = "endpoint")]
    pub(super) factor: Option<String>,
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
    /// The factor to answer with, as `totp` or `pam:stile-stepup`; `stile pending --json` shows
    /// what will do
    #[arg(long, value_name = "FACTOR")]
    pub(super) factor: Option<String>,
    /// Why, where the rule asks for a reason; it is kept in the audit log
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
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
    /// The factor to answer with, as `totp` or `pam:stile-stepup`; `stile pending --json` shows
    /// what will do
    #[arg(long, value_name = "FACTOR")]
    pub(super) factor: Option<String>,
    /// Why, where the rule asks for a reason; it is kept in the audit log
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND", value_hint = ValueHint::CommandWithArguments)]
    pub(super) command: Vec<std::ffi::OsString>,
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

#[derive(Debug, Args)]
pub(super) struct Enroll {
    /// The user, by name or uid; only administrators may name another
    #[arg(long, value_name = "NAME|UID", value_hint = ValueHint::Username)]
    pub(super) user: Option<String>,
    #[command(flatten)]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// The agent's settings, which say where the gate is pinned
    #[arg(long, value_name = "FILE", default_value = CONFIG_FILE, value_hint = ValueHint::FilePath)]
    pub(super) config: PathBuf,
    /// Where it is pinned, if not there
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(super) bpffs: Option<PathBuf>,
    #[command(flatten)]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
pub(super) struct Detach {
    /// The agent's settings, which say where the gate is pinned
    #[arg(long, value_name = "FILE", default_value = CONFIG_FILE, value_hint = ValueHint::FilePath)]
    pub(super) config: PathBuf,
    /// Where it is pinned, if not there
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(super) bpffs: Option<PathBuf>,
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

#[derive(Debug, Args)]
pub(super) struct AuditTail {
    /// How many records
    #[arg(short = 'n', long = "lines", value_name = "N", default_value_t = 10)]
    pub(super) lines: usize,
    /// The audit log
    #[arg(long, value_name = "FILE", default_value = AUDIT_LOG, value_hint = ValueHint::FilePath)]
    pub(super) log: PathBuf,
    #[command(flatten)]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
pub(super) struct AuditVerify {
    /// The audit log
    #[arg(long, value_name = "FILE", default_value = AUDIT_LOG, value_hint = ValueHint::FilePath)]
    pub(super) log: PathBuf,
    #[command(flatten)]
    pub(super) format: Format,
}

impl Command {
    /// What the command is called in an error.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Status(_) => "status",
            Self::Pending(_) => "pending",
            Self::Approve(_) => "approve",
            Self::Deny(_) => "deny",
            Self::Grants(_) => "grants",
            Self::Elevations(_) => "elevations",
            Self::Top => "top",
            Self::Revoke(_) => "revoke",
            Self::Realms(_) => "realms",
            Self::Elevate(_) => "elevate",
            Self::Run(_) => "run",
            Self::BreakGlass(_) => "break-glass",
            Self::Wait(_) => "wait",
            Self::Prompters(_) => "prompters",
            Self::Reload(_) => "reload",
            Self::Enroll(_) => "enroll",
            Self::Factor(factor) => factor.name(),
            Self::Unlock(_) => "unlock",
            Self::Ledger(Ledger::Check(_)) => "ledger check",
            Self::Ledger(Ledger::Export(_)) => "ledger export",
            Self::Secrets(Secrets::Rotate(_)) => "secrets rotate",
            Self::Policy(Policy::Check(_)) => "policy check",
            Self::Policy(Policy::Explain(_)) => "policy explain",
            Self::Policy(Policy::Schema) => "policy schema",
            Self::Policy(Policy::Test(_)) => "policy test",
            Self::Policy(Policy::Diff(_)) => "policy diff",
            Self::Policy(Policy::Forecast(_)) => "policy forecast",
            Self::Audit(Audit::Tail(_)) => "audit tail",
            Self::Audit(Audit::Verify(_)) => "audit verify",
            Self::Doctor(_) => "doctor",
            Self::Detach(_) => "detach",
            Self::Completions { .. } => "completions",
            Self::Man { .. } => "man",
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// Each command that people see, with the names of those above it.
    fn visible(command: &clap::Command, path: &str) -> Vec<(String, clap::Command)> {
        let path = format!("{path} {}", command.get_name());
        let mut all = vec![(path.trim().to_owned(), command.clone())];
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
            all.extend(visible(sub, &path));
        }
        all
    }

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_of_each_command_has_examples_and_exit_codes() {
        let all = visible(&Cli::command(), "");
        assert_eq!(all.len(), 43);
        for (path, mut command) in all {
            let help = command.render_long_help().to_string();
            assert!(help.contains("Examples:\n  "), "{path}: {help}");
            assert!(help.contains(&path), "{path}: {help}");
            assert!(
                help.contains("4  the agent or the D-Bus system bus"),
                "{path}"
            );
        }
    }

    #[test]
    fn the_short_help_fits_into_eighty_columns() {
        for (path, command) in visible(&Cli::command(), "") {
            let help = command.term_width(80).render_help().to_string();
            for line in help.lines() {
                assert!(line.chars().count() <= 80, "{path}: {line}");
            }
        }
    }

    #[test]
    fn every_command_that_prints_data_can_print_json() {
        for path in [
            "status",
            "pending",
            "approve",
            "deny",
            "grants",
            "elevations",
            "break-glass",
            "revoke",
            "enroll",
            "doctor",
        ] {
            assert!(
                Cli::try_parse_from(["stile", path, "--json"]).is_ok(),
                "{path}"
            );
        }
        for path in [
            ["policy", "check"],
            ["audit", "tail"],
            ["audit", "verify"],
            ["factor", "list"],
            ["factor", "test"],
            ["factor", "recovery"],
            ["ledger", "check"],
            ["ledger", "export"],
            ["secrets", "rotate"],
        ] {
            let line = ["stile", path[0], path[1], "--json"];
            assert!(Cli::try_parse_from(line).is_ok(), "{path:?}");
        }
    }

    #[test]
    fn zero_is_no_id() {
        // On the bus, 0 revokes everything.
        for line in [["stile", "revoke", "0"], ["stile", "approve", "0"]] {
            let error = Cli::try_parse_from(line).unwrap_err();
            assert_eq!(error.exit_code(), 2);
        }
        assert!(Cli::try_parse_from(["stile", "revoke", "7", "--all"]).is_err());
    }
}
