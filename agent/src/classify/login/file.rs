// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The file that logind keeps of a session, as sd-login(3) reads it: lines of `KEY=value`.

use std::net::IpAddr;

use crate::ids::Uid;
use crate::policy::SessionType;

/// Longest name of a seat, a class or a host that is taken; logind's own are shorter.
const MAX_WORD: usize = 255;

/// What matters of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SessionFile {
    pub(super) uid: Uid,
    /// It came over the network.
    pub(super) remote: bool,
    /// The address that it came from; a name is none.
    pub(super) address: Option<IpAddr>,
    /// What it was made as: its user may change `TYPE` afterwards.
    pub(super) kind: SessionType,
    pub(super) class: String,
    pub(super) seat: Option<String>,
    /// Who logged in has left; processes are left over.
    pub(super) closing: bool,
    pub(super) audit: Option<u32>,
}

/// The values of the keys that matter.
#[derive(Default)]
struct Keys<'a> {
    uid: Option<&'a str>,
    remote: Option<&'a str>,
    remote_host: Option<&'a str>,
    kind: Option<&'a str>,
    original_kind: Option<&'a str>,
    class: Option<&'a str>,
    seat: Option<&'a str>,
    state: Option<&'a str>,
    audit: Option<&'a str>,
}

impl SessionFile {
    /// Takes a file apart, or says what is wrong with it.
    pub(super) fn parse(content: &[u8]) -> Result<Self, &'static str> {
        let text = std::str::from_utf8(content).map_err(|_| "it isn't UTF-8")?;
        let keys = Keys::of(text)?;
        let uid = keys.uid.ok_or("it has no UID")?;
        let kind = keys.original_kind.or(keys.kind).unwrap_or("unspecified");
        let known = SessionType::ALL.iter().find(|(word, _)| *word == kind);
        let class = keys.class.ok_or("it has no CLASS")?;
        // PAM's name for this host itself is a host all the same: it came over the network.
        let host = keys.remote_host.filter(|host| !host.is_empty());
        let remote = match keys.remote {
            Some("0") => host.is_some(),
            Some("1") => true,
            Some(_) => return Err("its REMOTE is neither 0 nor 1"),
            None => return Err("it has no REMOTE"),
        };
        let words = keys.seat.into_iter().chain([class]);
        if !words.into_iter().all(is_word) {
            return Err("its SEAT or CLASS is no name");
        }
        Ok(Self {
            uid: Uid(number(uid).ok_or("its UID is no number")?),
            remote,
            address: host.and_then(address),
            kind: known.map_or(SessionType::Unspecified, |(_, kind)| *kind),
            class: class.to_owned(),
            seat: keys.seat.map(str::to_owned),
            closing: keys.state == Some("closing"),
            audit: match keys.audit {
                None => None,
                Some(audit) => Some(number(audit).ok_or("its AUDIT is no number")?),
            },
        })
    }
}

impl<'a> Keys<'a> {
    fn of(text: &'a str) -> Result<Self, &'static str> {
        let mut keys = Self::default();
        for line in text.lines() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (key, value) = line.split_once('=').ok_or("a line has no '='")?;
            let value = unquoted(value)?;
            let place = match key {
                "UID" => &mut keys.uid,
                "REMOTE" => &mut keys.remote,
                "REMOTE_HOST" => &mut keys.remote_host,
                "TYPE" => &mut keys.kind,
                "ORIGINAL_TYPE" => &mut keys.original_kind,
                "CLASS" => &mut keys.class,
                "SEAT" => &mut keys.seat,
                "STATE" => &mut keys.state,
                "AUDIT" => &mut keys.audit,
                _ => continue,
            };
            if place.replace(value).is_some() {
                return Err("a key comes twice");
            }
        }
        Ok(keys)
    }
}

/// Newer versions put some values in quotes. None of those that matter needs an escape; one
/// that has one stays as it is, and is no number, word or address. A quote ends on its line: a
/// user chooses some of the other values, which must not continue as another key.
fn unquoted(value: &str) -> Result<&str, &'static str> {
    let Some(rest) = value.strip_prefix('"') else {
        return Ok(value);
    };
    let inner = rest.strip_suffix('"').ok_or("a quote doesn't end")?;
    let mut escaped = false;
    for character in inner.chars() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Err("a quote doesn't end"),
            _ => {}
        }
    }
    if escaped {
        return Err("a quote doesn't end");
    }
    Ok(inner)
}

/// One spelling for each number.
pub(super) fn number(text: &str) -> Option<u32> {
    let number: u32 = text.parse().ok()?;
    (number.to_string() == text && number != u32::MAX).then_some(number)
}

fn is_word(text: &str) -> bool {
    let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    (1..=MAX_WORD).contains(&text.len()) && text.chars().all(sound)
}

/// An address, with its zone (`fe80::1%eth0`) left out.
fn address(host: &str) -> Option<IpAddr> {
    let (host, _) = host.split_once('%').unwrap_or((host, ""));
    let address: IpAddr = host.parse().ok()?;
    Some(address.to_canonical())
}
