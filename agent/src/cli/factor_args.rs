// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What can be typed about factors, the ledger and its keys.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use super::args::Format;
use super::help::{after, exit_codes};

#[derive(Debug, Subcommand)]
pub(super) enum Factor {
    /// List your factors
    ///
    /// With their ids, and wrong answers since the last right one. An empty list is no error.
    #[command(after_help = after!(
        "stile factor list",
        "sudo stile factor list --user alice --json"
    ))]
    List(FactorList),
    /// Set a further device up
    ///
    /// Asks for a code of a factor that you have, and then as `stile enroll` does.
    #[command(after_help = after!(
        "stile factor add --name tablet",
        "stile factor add --replace    a new phone in the place of all devices"
    ))]
    Add(FactorAdd),
    /// Take over hardware tokens whose secrets are known
    ///
    /// Of one token: reads the secret, in base 32, from the terminal or as one line from stdin; it
    /// is never an argument. With --file, many at once: from PSKC (RFC 6030, secrets in plain text)
    /// or a file of otpauth URLs, one on a line, each with its user before it or as its account.
    /// All mistakes are told with their lines, and where there is one nothing is imported. Only
    /// administrators may.
    #[command(after_help = after!(
        "sudo stile factor import --user alice --name token --digits 8 --period 60",
        "sudo stile factor import --user alice --algorithm sha256 --stdin < secret",
        "sudo stile factor import --file tokens.xml --dry-run",
        "sudo stile factor import --file tokens.xml --map 4711=alice --map 4712=bob",
        "sudo stile factor import --file tokens.xml --map-file owners.csv --json"
    ))]
    Import(FactorImport),
    /// Give a device another name
    #[command(after_help = after!("stile factor rename 3 'old phone'"))]
    Rename(FactorRename),
    /// Forget a device, or your recovery codes
    ///
    /// Asks for a code of a factor that you have; the last one can be removed with its own.
    #[command(after_help = after!(
        "stile factor remove 3",
        "stile factor remove recovery",
        "sudo stile factor remove --user alice 3"
    ))]
    Remove(FactorRemove),
    /// Test a device: is its clock right?
    ///
    /// Tells which of your devices made a code, and how many seconds its clock is ahead or behind.
    /// The code is used up.
    #[command(after_help = after!("stile factor test", "oathtool --totp -b - < secret | stile factor test --stdin"))]
    Test(FactorTest),
    /// Make recovery codes, for when your device is lost
    ///
    /// Ten codes, each good once in the place of a one-time code. They are shown this once; older
    /// ones don't count any more.
    #[command(after_help = after!(
        "stile factor recovery",
        "sudo stile factor recovery --user alice > codes.txt"
    ))]
    Recovery(FactorRecovery),
}

impl Factor {
    /// As it is typed.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::List(_) => "factor list",
            Self::Add(_) => "factor add",
            Self::Import(_) => "factor import",
            Self::Rename(_) => "factor rename",
            Self::Remove(_) => "factor remove",
            Self::Test(_) => "factor test",
            Self::Recovery(_) => "factor recovery",
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct Whose {
    /// The user, by name or uid; only administrators may name another
    #[arg(long, value_name = "NAME|UID", value_hint = ValueHint::Username)]
    pub(super) user: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct FactorList {
    #[command(flatten)]
    pub(super) whose: Whose,
    #[command(flatten)]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
pub(super) struct FactorAdd {
    /// What to call it
    #[arg(long)]
    pub(super) name: Option<String>,
    /// Take the place of all other devices
    #[arg(long)]
    pub(super) replace: bool,
    #[command(flatten)]
    pub(super) whose: Whose,
    #[command(flatten)]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
pub(super) struct FactorImport {
    /// The user, by name or uid
    #[arg(long, value_name = "NAME|UID", value_hint = ValueHint::Username, required_unless_present = "file")]
    pub(super) user: Option<String>,
    /// Take over all tokens of this file: PSKC, or otpauth URLs
    #[arg(long, value_hint = ValueHint::FilePath, conflicts_with_all = ["user", "name", "algorithm", "digits", "period", "stdin"])]
    pub(super) file: Option<PathBuf>,
    /// Whose the token with this serial number is, whatever the file says; may be repeated
    #[arg(long, value_name = "SERIAL=USER", requires = "file")]
    pub(super) map: Vec<String>,
    /// The same for many: a file with lines `serial,user`
    #[arg(long, value_name = "CSV", value_hint = ValueHint::FilePath, requires = "file")]
    pub(super) map_file: Option<PathBuf>,
    /// Only tell what would be wrong
    #[arg(long, requires = "file")]
    pub(super) dry_run: bool,
    /// What to call it
    #[arg(long)]
    pub(super) name: Option<String>,
    /// The hash function of its codes
    #[arg(long, default_value = "sha1", value_parser = ["sha1", "sha256", "sha512"])]
    pub(super) algorithm: String,
    /// Digits of its codes
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(6..=8))]
    pub(super) digits: u32,
    /// Seconds between its codes
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(15..=120))]
    pub(super) period: u64,
    /// Read the secret as one line from stdin
    #[arg(long)]
    pub(super) stdin: bool,
    #[command(flatten)]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
pub(super) struct FactorRename {
    /// The device
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) id: u64,
    /// What to call it
    pub(super) name: String,
    #[command(flatten)]
    pub(super) whose: Whose,
    #[command(flatten)]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
pub(super) struct FactorRemove {
    /// The device, or `recovery` for all recovery codes
    #[arg(value_name = "ID|recovery", value_parser = removable)]
    pub(super) what: u64,
    /// Read the code as one line from stdin
    #[arg(long)]
    pub(super) stdin: bool,
    #[command(flatten)]
    pub(super) whose: Whose,
    #[command(flatten)]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
pub(super) struct FactorTest {
    /// Read the code as one line from stdin
    #[arg(long)]
    pub(super) stdin: bool,
    #[command(flatten)]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
pub(super) struct FactorRecovery {
    /// Read the code of a factor that you have as one line from stdin
    #[arg(long)]
    pub(super) stdin: bool,
    #[command(flatten)]
    pub(super) whose: Whose,
    #[command(flatten)]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
pub(super) struct Unlock {
    /// The user, by name or uid
    #[arg(value_name = "NAME|UID", value_hint = ValueHint::Username)]
    pub(super) user: String,
    #[command(flatten)]
    pub(super) format: Format,
}

#[derive(Debug, Subcommand)]
pub(super) enum Ledger {
    /// Read every record and open every secret
    ///
    /// Asks the agent; where none runs it opens the ledger itself, which only root can. Ends with 5
    /// if something is damaged.
    #[command(after_help = after!("sudo stile ledger check", "sudo stile ledger check --json"))]
    Check(LedgerAt),
    /// Print everything in the ledger but the secrets, as JSON
    #[command(after_help = after!(
        "sudo stile ledger export | jq '.devices[] | select(.uid == 1000)'"
    ))]
    Export(LedgerAt),
}

#[derive(Debug, Args)]
pub(super) struct LedgerAt {
    /// Open the ledger in this directory instead of asking the agent
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(super) state_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(super) format: Format,
}

#[derive(Debug, Subcommand)]
pub(super) enum Secrets {
    /// Seal all secrets with new keys
    ///
    /// Where the key is a file, that is replaced too; older copies of it open nothing any more.
    /// Where it is a credential of systemd, that stays: docs/factors.md tells how to replace it.
    #[command(after_help = after!("sudo stile secrets rotate"))]
    Rotate(Format),
}

/// An id, or 0 for recovery codes.
fn removable(text: &str) -> Result<u64, String> {
    match (text, text.parse()) {
        ("recovery", _) => Ok(0),
        (_, Ok(id @ 1..)) => Ok(id),
        _ => Err("write the id of a device, or `recovery`".to_owned()),
    }
}
