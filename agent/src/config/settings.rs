// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The agent's own settings, `/etc/stile/stile.toml`.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use ipnet::Ipv6Net;
use stile_common::{MAX_UID_RANGES, UidRange};

use super::collect::Findings;
use super::diagnostics::Diagnostics;
use super::pam::{PamSetting, services};
use super::read::{Trust, read_text};
use super::table::{Table, Value, parse};
use crate::ledger::{LOCK_AFTER, MOST_FAILURES};
use crate::policy::Levels;

/// Where the login uids of this host are defined (login.defs(5)).
const LOGIN_DEFS: &str = "/etc/login.defs";

/// Highest uid that a file can name: the two above it are no user's
/// ([`stile_common::UID_UNKNOWN`], [`stile_common::UID_ANY`]).
pub(crate) const MAX_UID: u32 = stile_common::UID_UNKNOWN - 1;

/// NAT64's well-known prefix (RFC 6052 2.1).
const WELL_KNOWN_NAT64: &str = "64:ff9b::/96";

/// Most NAT64 prefixes: each doubles the protected IPv4 prefixes in the kernel.
const MAX_NAT64_PREFIXES: usize = 4;

/// Lengths that a NAT64 prefix may have (RFC 6052 2.2).
const NAT64_LENGTHS: [u8; 6] = [32, 40, 48, 56, 64, 96];

/// Longest issuer: authenticator apps show about half of it.
const MAX_ISSUER: usize = 64;

/// How often one user may be asked within an hour unless the settings say otherwise: more than a
/// person answers, less than wears one down.
const DEFAULT_PROMPTS: u32 = 120;
const MAX_PROMPTS: u32 = 100_000;

/// After how many wrong answers a user may be locked out: people mistype, and NIST SP 800-63B-4
/// 3.2.2 knows no more than a hundred.
const LOCK_LIMITS: std::ops::RangeInclusive<u32> = 5..=MOST_FAILURES;

/// Where packages put the program that asks PAM.
const PAM_HELPER: &str = crate::verify::pam::HELPER;

/// Longest name of a group (useradd(8)).
const MAX_GROUP: usize = 32;

/// The agent's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whose processes are gated, besides those below `user.slice`. At most
    /// [`MAX_UID_RANGES`].
    pub gated_uids: Vec<UidRange>,
    /// The cgroup to attach to; the root of the cgroup2 hierarchy if none.
    pub cgroup: Option<PathBuf>,
    /// The directory of bpffs in which links and maps are pinned.
    pub bpffs: PathBuf,
    /// Where the ledger and the audit log lie.
    pub state_dir: PathBuf,
    /// Whether users may enroll themselves.
    pub self_enroll: bool,
    /// Whether a user's terminal is told that a connection waits.
    pub terminal_notice: bool,
    /// After how many wrong answers in a row a user is locked out of a factor.
    pub lock_after: u32,
    /// The services of PAM that users can prove themselves with.
    pub pam: Vec<PamSetting>,
    /// The program that asks PAM.
    pub pam_helper: PathBuf,
    /// How many challenges one user may be asked within an hour; further connections are refused.
    pub prompts_per_hour: usize,
    /// The group that the genuine `stile-prompt` runs as, and nobody is a member of.
    pub prompt_group: String,
    /// Prefixes below which this network translates IPv6 addresses to the IPv4 addresses inside.
    /// At most 4.
    pub nat64: Vec<Ipv6Net>,
    /// What authenticator apps show as the issuer.
    pub issuer: String,
}

impl Settings {
    /// How much factors are worth on this host.
    #[must_use]
    pub fn levels(&self) -> Levels {
        Levels::new(self.pam.iter().map(|it| (it.service.clone(), it.assurance)))
    }

    /// Reads the settings; those of a file that doesn't exist are the defaults.
    ///
    /// # Errors
    /// Lists every mistake of the file. A file that root doesn't own or others may write is
    /// one.
    pub fn load(path: &Path) -> Result<Self, Diagnostics> {
        Self::load_as(path, Trust::RootOnly)
    }

    /// Reads the settings from a file of whatever owner, for a check before it is installed.
    ///
    /// # Errors
    /// Lists every mistake of the file.
    pub fn load_as(path: &Path, trust: Trust) -> Result<Self, Diagnostics> {
        let mut findings = Findings::new(path);
        let root = findings.root();
        let missing =
            matches!(fs::symlink_metadata(path), Err(e) if e.kind() == ErrorKind::NotFound);
        if !missing {
            read_text(path, root, trust, &mut findings);
        }
        let settings = parse(root, &mut findings, read_settings);
        findings.finish(settings).map(|(settings, _)| settings)
    }
}

/// The settings of a text; the path is for the messages.
#[cfg(any(test, feature = "fuzzing"))]
impl Settings {
    pub(crate) fn load_text(path: &Path, text: &str) -> Result<Self, Diagnostics> {
        let mut findings = Findings::new(path);
        let root = findings.root();
        findings.set_text(root, text.into());
        let settings = parse(root, &mut findings, read_settings);
        findings.finish(settings).map(|(settings, _)| settings)
    }
}

/// The story of the file, key by key.
fn read_settings(mut table: Table<'_>, findings: &mut Findings) -> Option<Settings> {
    let gated_uids = match table.take("gated_uids") {
        Some(value) => uid_ranges(&value, findings),
        None => login_uids(Path::new(LOGIN_DEFS), findings).map(|range| vec![range]),
    };
    let cgroup = match table.take("cgroup") {
        Some(value) => absolute_path(&value, findings).map(Some),
        None => Some(None),
    };
    let bpffs = path_or("/sys/fs/bpf/stile", table.take("bpffs"), findings);
    let state_dir = path_or("/var/lib/stile", table.take("state_dir"), findings);
    let self_enroll = boolean_or(true, table.take("self_enroll"), findings);
    let terminal_notice = boolean_or(true, table.take("terminal_notice"), findings);
    let prompts_per_hour = match table.take("prompts_per_hour") {
        Some(value) => value.integer_in(1..=MAX_PROMPTS, "number of prompts", findings),
        None => Some(DEFAULT_PROMPTS),
    };
    let lock_after = match table.take("lock_after") {
        Some(value) => value.integer_in(LOCK_LIMITS, "number of wrong answers", findings),
        None => Some(LOCK_AFTER),
    };
    let pam = match table.take("pam") {
        Some(value) => services(&value, findings),
        None => Some(Vec::new()),
    };
    let pam_helper = path_or(PAM_HELPER, table.take("pam_helper"), findings);
    let prompt_group = match table.take("prompt_group") {
        Some(value) => group_name(&value, findings),
        None => Some("stile-prompt".to_owned()),
    };
    let nat64 = match table.take("nat64") {
        Some(value) => nat64_prefixes(&value, findings),
        None => Some(WELL_KNOWN_NAT64.parse().into_iter().collect()),
    };
    let issuer = match table.take("issuer") {
        Some(value) => issuer(&value, findings),
        None => Some(default_issuer()),
    };
    table.finish(
        &[("uids", "gated_uids"), ("cgroup_path", "cgroup")],
        findings,
    );
    Some(Settings {
        gated_uids: gated_uids?,
        cgroup: cgroup?,
        bpffs: bpffs?,
        state_dir: state_dir?,
        self_enroll: self_enroll?,
        lock_after: lock_after?,
        pam: pam?,
        pam_helper: pam_helper?,
        terminal_notice: terminal_notice?,
        prompts_per_hour: usize::try_from(prompts_per_hour?).ok()?,
        prompt_group: prompt_group?,
        nat64: nat64?,
        issuer: issuer?,
    })
}

fn boolean_or(default: bool, value: Option<Value<'_>>, findings: &mut Findings) -> Option<bool> {
    value.map_or(Some(default), |value| value.boolean(findings))
}

fn path_or(default: &str, value: Option<Value<'_>>, findings: &mut Findings) -> Option<PathBuf> {
    value.map_or_else(
        || Some(PathBuf::from(default)),
        |value| absolute_path(&value, findings),
    )
}

fn absolute_path(value: &Value<'_>, findings: &mut Findings) -> Option<PathBuf> {
    let text = value.text("an absolute path", findings)?;
    if !text.starts_with('/') || text.contains('\0') {
        findings.error(&value.spot(), format!("{text:?} is no absolute path"));
        return None;
    }
    Some(PathBuf::from(text))
}

/// The name of a group as useradd(8) takes it.
fn group_name(value: &Value<'_>, findings: &mut Findings) -> Option<String> {
    let text = value.text("the name of a group", findings)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts || !text.chars().all(allowed) || text.len() > MAX_GROUP {
        findings.error(&value.spot(), format!("{text:?} is no name of a group"));
        return None;
    }
    Some(text.to_owned())
}

/// The Key URI format keeps the colon to itself: it ends the issuer.
fn issuer(value: &Value<'_>, findings: &mut Findings) -> Option<String> {
    let text = value.text("a name", findings)?;
    let length = text.chars().count();
    let odd = |c: char| c.is_control() || c == ':';
    if text.trim() != text || text.contains(odd) || !(1..=MAX_ISSUER).contains(&length) {
        findings
            .error(&value.spot(), format!("{text:?} is no issuer"))
            .help(format!(
                "1 to {MAX_ISSUER} characters, without a colon, control characters, or a space \
                 at either end"
            ));
        return None;
    }
    Some(text.to_owned())
}

/// The list of NAT64 prefixes; the well-known one has to be in it if it is still meant.
fn nat64_prefixes(value: &Value<'_>, findings: &mut Findings) -> Option<Vec<Ipv6Net>> {
    let items = value.list(
        "a list of IPv6 prefixes",
        "addresses behind NAT64 would not be recognized",
        findings,
    )?;
    if items.len() > MAX_NAT64_PREFIXES {
        findings.error(
            &value.spot(),
            format!(
                "{} prefixes, but at most {MAX_NAT64_PREFIXES} can be recognized",
                items.len()
            ),
        );
        return None;
    }
    let prefixes: Vec<_> = items
        .iter()
        .map(|item| nat64_prefix(item, findings))
        .collect();
    prefixes.into_iter().collect()
}

fn nat64_prefix(value: &Value<'_>, findings: &mut Findings) -> Option<Ipv6Net> {
    let text = value.text("an IPv6 prefix like \"64:ff9b::/96\"", findings)?;
    let net: Option<Ipv6Net> = text.parse().ok();
    let net = net.filter(|net| net.trunc() == *net && NAT64_LENGTHS.contains(&net.prefix_len()));
    if net.is_none() {
        findings
            .error(&value.spot(), format!("{text:?} is no NAT64 prefix"))
            .help(
                "write an IPv6 network of length 32, 40, 48, 56, 64 or 96 (RFC 6052), such as \
                 \"64:ff9b::/96\"",
            );
    }
    net
}

fn default_issuer() -> String {
    match nix::unistd::gethostname() {
        Ok(host) => format!("stile {}", host.to_string_lossy().replace(':', " ")),
        Err(_) => "stile".to_owned(),
    }
}

fn uid_ranges(value: &Value<'_>, findings: &mut Findings) -> Option<Vec<UidRange>> {
    let items = value.list("a list of uid ranges", "nobody would be gated", findings)?;
    if items.len() > MAX_UID_RANGES {
        findings
            .error(
                &value.spot(),
                format!(
                    "{} ranges, but at most {MAX_UID_RANGES} can be gated",
                    items.len()
                ),
            )
            .help("join ranges that lie side by side");
    }
    // Every item is read, so that each bad one is reported.
    let ranges: Vec<_> = items.iter().map(|item| uid_range(item, findings)).collect();
    ranges.into_iter().collect()
}

fn uid_range(value: &Value<'_>, findings: &mut Findings) -> Option<UidRange> {
    if value.as_integer().is_some() {
        let uid = value.integer_in(0..=MAX_UID, "uid", findings)?;
        return Some(UidRange {
            first: uid,
            last: uid,
        });
    }
    let text = value.text("a uid or a range like \"1000-60000\"", findings)?;
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let range = parse_uid(first)
        .zip(parse_uid(last))
        .filter(|(first, last)| first <= last);
    if range.is_none() {
        findings
            .error(&value.spot(), format!("{text:?} is no range of uids"))
            .help(format!(
                "write the lower uid first, as in \"1000-60000\"; the highest is {MAX_UID}"
            ));
    }
    range.map(|(first, last)| UidRange { first, last })
}

/// Digits only: no sign, no space.
fn parse_uid(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let uid: u32 = digits.then(|| text.parse().ok())??;
    (uid <= MAX_UID).then_some(uid)
}

/// `UID_MIN..=UID_MAX` of login.defs(5), each with its usual value where it is not set. What
/// is set there but can't be read is a mistake: gating other uids than those that log in
/// would protect nothing.
fn login_uids(path: &Path, findings: &mut Findings) -> Option<UidRange> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => {
            let file = findings.add_file(path);
            findings
                .file_error(file, format!("can't be read: {error}"))
                .help("or set `gated_uids` in stile.toml");
            return None;
        }
    };
    let range = login_defs_value(&text, "UID_MIN", 1000)
        .zip(login_defs_value(&text, "UID_MAX", 60000))
        .filter(|(first, last)| first <= last);
    if range.is_none() {
        let file = findings.add_file(path);
        findings
            .file_error(file, "UID_MIN and UID_MAX are no range of uids")
            .help("correct them, or set `gated_uids` in stile.toml");
    }
    range.map(|(first, last)| UidRange { first, last })
}

/// The last setting of a key counts, as for shadow's tools.
fn login_defs_value(text: &str, key: &str, default: u32) -> Option<u32> {
    text.lines()
        .filter_map(|line| line.trim().split_once(char::is_whitespace))
        .rfind(|(name, _)| *name == key)
        .map_or(Some(default), |(_, value)| {
            parse_uid(value.trim().trim_matches('"'))
        })
}

#[cfg(test)]
mod tests;
