// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What can be typed. The help, the man pages and the completions all come from here.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueHint};
use clap_complete::Shell;

use super::answer_args::{Approve, BreakGlass, Deny, Elevate, Revoke, Run, Wait};
use super::factor_args::{Factor, Ledger, Secrets, Unlock};
use super::help::{after, exit_codes};
use super::policy_args::Policy;

/// Where the policy is unless `--policy` says otherwise.
pub(super) const POLICY_DIR: &str = "/etc/stile/policy.d";
/// Where the agent's settings are unless `--config` says otherwise.
pub(super) const CONFIG_FILE: &str = "/etc/stile/stile.toml";
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
