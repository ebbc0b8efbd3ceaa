// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Cases of what a policy has to do: `[[case]]` tables in a file, for an admin's CI.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use serde::Serialize;
use stile_common::protocol;

use super::{Explanation, Given, GivenNames, Outcome, Source};
use crate::config::{Diagnostics, Findings, Table, Trust, Value, parse, read_text};
use crate::ids::Uid;
use crate::policy::{Endpoint, HostName, Policy, SessionType};

/// A connection, and what a policy has to do with it.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it is called.
    pub name: String,
    user: String,
    uid: Option<Uid>,
    groups: Vec<String>,
    to: (String, u16),
    number: u8,
    given: Given,
    expected: Expected,
}

/// What has to come of it; what isn't said may be anything.
#[derive(Clone, Debug)]
struct Expected {
    outcome: Outcome,
    instead: Option<Outcome>,
    rule: Option<String>,
    role: Option<String>,
    realm: Option<String>,
    scope: Option<String>,
    ttl: Option<String>,
    points: Option<u32>,
}

/// What came of a case.
#[derive(Clone, Debug, Serialize)]
pub struct Tried {
    /// What it is called.
    pub name: String,
    /// What is other than expected, each as a sentence; empty if nothing is.
    pub failures: Vec<String>,
    /// What the policy does.
    pub explanation: Explanation,
}

impl Case {
    /// Reads the cases of a file.
    ///
    /// # Errors
    /// Lists every mistake of it.
    pub fn read(path: &Path) -> Result<Vec<Self>, Diagnostics> {
        let mut findings = Findings::new(path);
        let root = findings.root();
        read_text(path, root, Trust::Anyone, &mut findings);
        let cases = parse(root, &mut findings, cases);
        findings.finish(cases).map(|(cases, _)| cases)
    }

    /// Holds a policy against the case.
    #[must_use]
    pub fn tried(&self, policy: &Policy) -> Tried {
        let names = GivenNames::elsewhere(&self.user, self.uid, &self.groups);
        let (host, port) = &self.to;
        let endpoint = endpoint_of(policy, host, *port, self.number);
        let explanation = Explanation::new(policy, &names, &self.given, names.uid(), endpoint);
        Tried {
            name: self.name.clone(),
            failures: self.expected.failures(&explanation),
            explanation,
        }
    }
}

/// The endpoint of a destination that nobody looks up: by its address, or by the very name.
#[must_use]
pub fn endpoint_of<'p>(
    policy: &'p Policy,
    host: &str,
    port: u16,
    number: u8,
) -> Option<&'p Endpoint> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return policy.endpoint_at(address, port, number);
    }
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let is_named = |name: &HostName| match name {
        HostName::Exact(name) => **name == *host,
        HostName::Below(suffix) => host.len() > suffix.len() && host.ends_with(&**suffix),
    };
    let mut endpoints = policy.endpoints.iter();
    endpoints.find(|one| one.names.iter().any(is_named) && one.serves(port, number))
}

/// `HOST:PORT`, `ADDRESS:PORT` or `[ADDRESS]:PORT`; none for anything else.
#[must_use]
pub fn destination(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(host) => host.strip_suffix(']')?,
        None => host,
    };
    let port = port.parse::<u16>().ok().filter(|port| *port > 0)?;
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

/// A time with its zone, or in this one; none for anything else.
#[must_use]
pub fn time(text: &str, zone: TimeZone) -> Option<Timestamp> {
    let own: Option<Timestamp> = text.parse().ok();
    let zoned = || text.parse::<Zoned>().ok();
    let local = || text.parse::<DateTime>().ok()?.to_zoned(zone.clone()).ok();
    own.or_else(|| zoned().or_else(local).map(|time| time.timestamp()))
}

impl Expected {
    fn failures(&self, found: &Explanation) -> Vec<String> {
        let mut failures = Vec::new();
        let mut compare = |what: &str, wanted: Option<&str>, came: Option<&str>| {
            if let Some(wanted) = wanted
                && came != Some(wanted)
            {
                let came = came.map_or("none".to_owned(), |came| format!("{came:?}"));
                failures.push(format!("{what}: expected {wanted:?}, found {came}"));
            }
        };
        compare(
            "outcome",
            Some(self.outcome.word()),
            Some(found.outcome.word()),
        );
        let instead = found.instead.map(Outcome::word);
        compare("instead", self.instead.map(Outcome::word), instead);
        compare("rule", self.rule.as_deref(), found.rule.as_deref());
        compare("role", self.role.as_deref(), found.role.as_deref());
        let terms = found.terms.as_ref();
        let realm = terms.and_then(|terms| terms.realm.as_deref());
        compare("realm", self.realm.as_deref(), realm);
        let scope = terms.map(|terms| terms.scope.as_str());
        compare("scope", self.scope.as_deref(), scope);
        compare(
            "ttl",
            self.ttl.as_deref(),
            terms.map(|terms| terms.ttl.as_str()),
        );
        let points = found.points.to_string();
        let wanted = self.points.map(|points| points.to_string());
        compare("points", wanted.as_deref(), Some(&points));
        failures
    }
}

impl Tried {
    /// What went wrong, with the explanation; empty if nothing did.
    #[must_use]
    pub fn complaint(&self) -> String {
        let mut text = String::new();
        for failure in &self.failures {
            // Writing to a String can't fail.
            let _ = writeln!(text, "{failure}");
        }
        if !self.failures.is_empty() {
            for line in self.explanation.to_string().lines() {
                let _ = writeln!(text, "  {line}");
            }
        }
        text
    }
}

fn cases(mut top: Table<'_>, findings: &mut Findings) -> Option<Vec<Case>> {
    let value = top.require("case", findings);
    top.finish(&[("cases", "case"), ("test", "case")], findings);
    let expected = "tables, each headed [[case]]";
    let items = value?.list(expected, "nothing would be tried", findings)?;
    let cases: Vec<_> = items
        .iter()
        .map(|item| {
            let table = item.table("a case", findings)?;
            case(table, findings)
        })
        .collect();
    cases.into_iter().collect()
}

fn case(mut table: Table<'_>, findings: &mut Findings) -> Option<Case> {
    let name = table.require("name", findings);
    let name = name.and_then(|value| value.text("a name", findings));
    let user = table.require("user", findings);
    let user = user.and_then(|value| user_of(&value, findings));
    let groups = match table.take("groups") {
        Some(value) => texts(&value, findings),
        None => Some(Vec::new()),
    };
    let to = table.require("to", findings);
    let to = to.and_then(|value| to_of(&value, findings));
    let protocols = [("tcp", protocol::TCP), ("udp", protocol::UDP)];
    let number = match table.take("protocol") {
        Some(value) => value.word(&protocols, findings),
        None => Some(protocol::TCP),
    };
    let given = given(&mut table, findings);
    let expected = expected(&mut table, findings);
    table.finish(
        &[("outcome", "expect"), ("port", "to"), ("host", "to")],
        findings,
    );
    let (user, uid) = user?;
    Some(Case {
        name: name?.to_owned(),
        user,
        uid,
        groups: groups?,
        to: to?,
        number: number?,
        given: given?,
        expected: expected?,
    })
}

fn user_of(value: &Value<'_>, findings: &mut Findings) -> Option<(String, Option<Uid>)> {
    if value.as_integer().is_some() {
        let uid: u32 = value.integer_in(0..=u32::MAX - 2, "uid", findings)?;
        return Some((String::new(), Some(Uid(uid))));
    }
    let text = value.text("a user or a uid", findings)?;
    Some((text.to_owned(), None))
}

fn to_of(value: &Value<'_>, findings: &mut Findings) -> Option<(String, u16)> {
    let text = value.text("a destination like \"db1.example.com:5432\"", findings)?;
    let to = destination(text);
    if to.is_none() {
        findings
            .error(&value.spot(), format!("{text:?} is no destination"))
            .help("write it as in \"db1.example.com:5432\" or \"[fd00::1]:5432\"");
    }
    to
}

fn texts(value: &Value<'_>, findings: &mut Findings) -> Option<Vec<String>> {
    let items = value.list("a list of names", "leave the key out", findings)?;
    let names: Vec<_> = items
        .iter()
        .map(|item| item.text("a name", findings).map(ToOwned::to_owned))
        .collect();
    names.into_iter().collect()
}

/// `Some(None)` if it isn't there, `None` if it is a mistake.
fn optional<T>(
    value: Option<Value<'_>>,
    read: impl FnOnce(Value<'_>) -> Option<T>,
) -> Option<Option<T>> {
    value.map_or(Some(None), |value| read(value).map(Some))
}

fn given(table: &mut Table<'_>, findings: &mut Findings) -> Option<Given> {
    let zone = optional(table.take("tz"), |value| zone_of(&value, findings));
    let at = table.take("at");
    let zone = zone?.unwrap_or(TimeZone::UTC);
    let at = optional(at, |value| {
        let text = value.text("a time like \"2026-01-05T03:00\"", findings)?;
        let at = time(text, zone.clone());
        if at.is_none() {
            findings
                .error(&value.spot(), format!("{text:?} is no time"))
                .help("write it as in \"2026-01-05T03:00\"");
        }
        at
    });
    let program = optional(table.take("program"), |value| {
        value
            .text("the path of a program", findings)
            .map(PathBuf::from)
    });
    let sha256 = optional(table.take("sha256"), |value| digest(&value, findings));
    let remote = optional(table.take("remote"), |value| value.boolean(findings));
    let from = table.take("from");
    let from_spot = from.map(|value| value.spot());
    let from = optional(from, |value| {
        let text = value.text("an address", findings)?;
        let address = text.parse::<IpAddr>().ok();
        if address.is_none() {
            findings.error(&value.spot(), format!("{text:?} is no address"));
        }
        address
    });
    let kind = optional(table.take("session"), |value| {
        value.word(&SessionType::ALL, findings)
    });
    let mut text = |key: &'static str, findings: &mut Findings| {
        let value = table.take(key);
        optional(value, |value| {
            value.text("a name", findings).map(ToOwned::to_owned)
        })
    };
    let (seat, unit) = (text("seat", findings), text("unit", findings));
    let mut flag = |key: &'static str, findings: &mut Findings| {
        let value = table.take(key);
        optional(value, |value| value.boolean(findings))
    };
    let tty = flag("tty", findings);
    let new_program = flag("new_program", findings);
    let new_destination = flag("new_destination", findings);
    let new_address = flag("new_address", findings);
    let unusual_hour = flag("unusual_hour", findings);
    let mut number = |key: &'static str, findings: &mut Findings| {
        let value = table.take(key);
        optional(value, |value| {
            if value.as_integer().is_none() {
                value.unexpected("a number", findings);
            }
            value.integer_in(0..=1_000_000_u32, "number", findings)
        })
    };
    let (failures, connections) = (
        number("failures", findings),
        number("connections", findings),
    );
    let (remote, from) = (remote?, from?);
    if let (Some(false), Some(_), Some(spot)) = (remote, from, from_spot) {
        findings.error(&spot, "a session that isn't remote came from nowhere");
        return None;
    }
    Some(Given {
        source: Source::Case,
        program: program?,
        sha256: sha256?,
        remote,
        from,
        session: kind?,
        seat: seat?,
        tty: tty?,
        unit: unit?,
        new_program: new_program?,
        new_destination: new_destination?,
        new_address: new_address?,
        unusual_hour: unusual_hour?,
        failures: failures?,
        connections: connections?,
        ..Given::at(at?.unwrap_or_else(Timestamp::now))
    })
}

fn digest(value: &Value<'_>, findings: &mut Findings) -> Option<[u8; 32]> {
    let text = value.text("a SHA-256", findings)?;
    let mut digest = [0; 32];
    if hex::decode_to_slice(text, &mut digest).is_ok() {
        return Some(digest);
    }
    findings
        .error(&value.spot(), "that is no SHA-256")
        .help("write 64 hexadecimal digits, as sha256sum(1) does");
    None
}

fn zone_of(value: &Value<'_>, findings: &mut Findings) -> Option<TimeZone> {
    let text = value.text("a time zone like \"Europe/Berlin\"", findings)?;
    let zone = TimeZone::get(text).ok();
    if zone.is_none() {
        findings.error(&value.spot(), format!("there is no time zone {text:?}"));
    }
    zone
}

fn expected(table: &mut Table<'_>, findings: &mut Findings) -> Option<Expected> {
    let outcome = table.require("expect", findings);
    let outcome = outcome.and_then(|value| value.word(&Outcome::ALL, findings));
    let instead = optional(table.take("instead"), |value| {
        value.word(&Outcome::ALL, findings)
    });
    let mut text = |key: &'static str, findings: &mut Findings| {
        let value = table.take(key);
        optional(value, |value| {
            value.text("a text", findings).map(ToOwned::to_owned)
        })
    };
    let (rule, role) = (text("rule", findings), text("role", findings));
    let (realm, scope) = (text("realm", findings), text("scope", findings));
    let ttl = text("ttl", findings);
    let points = optional(table.take("points"), |value| {
        if value.as_integer().is_none() {
            value.unexpected("a number", findings);
        }
        value.integer_in(0..=1_000_000_u32, "number of points", findings)
    });
    Some(Expected {
        outcome: outcome?,
        instead: instead?,
        rule: rule?,
        role: role?,
        realm: realm?,
        scope: scope?,
        ttl: ttl?,
        points: points?,
    })
}
