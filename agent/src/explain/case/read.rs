// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads the cases of a file.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use stile_common::protocol;

use super::{Case, Expected, destination, time};
use crate::config::{Findings, MAX_UID, Spot, Table, Value, format_duration, parse_duration};
use crate::explain::{Given, Outcome, Source};
use crate::ids::Uid;
use crate::policy::{Scope, SessionType};

/// When it is if a case doesn't say. Never the present: a case has to say tomorrow what it says
/// today.
const SOME_TIME: Timestamp = Timestamp::UNIX_EPOCH;

/// What may happen where it isn't only observed.
const INSTEAD: [(&str, Outcome); 3] = [
    ("allow", Outcome::Allow),
    ("step-up", Outcome::StepUp),
    ("deny", Outcome::Deny),
];

const SCOPES: [(&str, Scope); 4] = [
    ("socket", Scope::Socket),
    ("process", Scope::Process),
    ("unit", Scope::Unit),
    ("user", Scope::User),
];

pub(super) fn cases(mut top: Table<'_>, findings: &mut Findings) -> Option<Vec<Case>> {
    let value = top.require("case", findings);
    top.finish(&[("cases", "case"), ("test", "case")], findings);
    let expected = "tables, each headed [[case]]";
    let items = value?.list(expected, "nothing would be tried", findings)?;
    let mut known: BTreeMap<String, Spot> = BTreeMap::new();
    let cases: Vec<_> = items
        .iter()
        .map(|item| {
            let table = item.table("a case", findings)?;
            let case = case(table, findings)?;
            if let Some(first) = known.get(&case.name) {
                findings
                    .error(
                        &item.spot(),
                        format!("two cases are called {:?}", case.name),
                    )
                    .see(first, "the first one")
                    .help("say what is different about this one");
                return None;
            }
            known.insert(case.name.clone(), item.spot());
            Some(case)
        })
        .collect();
    cases.into_iter().collect()
}

fn case(mut table: Table<'_>, findings: &mut Findings) -> Option<Case> {
    let name = table.require("name", findings);
    let name = name.and_then(|value| text_of(&value, "a name", findings));
    let user = table.require("user", findings);
    let uid = optional(table.take("uid"), |value| uid_of(&value, findings));
    let user = user.and_then(|value| user_of(&value, uid.flatten(), findings));
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
    let has_time = table.take("at").is_some();
    let given = given(&mut table, findings);
    let expected = expected(&mut table, findings);
    table.finish(
        &[("outcome", "expect"), ("port", "to"), ("host", "to")],
        findings,
    );
    let ((user, uid), _) = (user?, uid?);
    Some(Case {
        name: name?,
        user,
        uid,
        groups: groups?,
        to: to?,
        number: number?,
        given: given?,
        has_time,
        expected: expected?,
    })
}

fn user_of(
    value: &Value<'_>,
    uid: Option<Uid>,
    findings: &mut Findings,
) -> Option<(String, Option<Uid>)> {
    if value.as_integer().is_some() {
        if uid.is_some() {
            let message = "the uid is written twice: `user` is a number, too";
            findings.error(&value.spot(), message);
            return None;
        }
        return Some((String::new(), Some(uid_of(value, findings)?)));
    }
    let text = text_of(value, "a user or a uid", findings)?;
    let help = if text.bytes().all(|byte| byte.is_ascii_digit()) {
        format!("write a uid as a number: {text}")
    } else if text.starts_with(['%', '@', '!']) || text == "*" {
        "name one user, and with `groups` the groups that they are in".to_owned()
    } else {
        return Some((text, uid));
    };
    findings
        .error(&value.spot(), format!("{text:?} is no user"))
        .help(help);
    None
}

fn uid_of(value: &Value<'_>, findings: &mut Findings) -> Option<Uid> {
    if value.as_integer().is_none() {
        value.unexpected("a uid", findings);
    }
    value.integer_in(0..=MAX_UID, "uid", findings).map(Uid)
}

fn text_of(value: &Value<'_>, expected: &str, findings: &mut Findings) -> Option<String> {
    let text = value.text(expected, findings)?;
    if text.is_empty() || text.contains(char::is_control) {
        findings.error(
            &value.spot(),
            format!("expected {expected}, found {text:?}"),
        );
        return None;
    }
    Some(text.to_owned())
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
        ..Given::at(at?.unwrap_or(SOME_TIME))
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
    refuse_senseless(table, outcome, findings);
    let instead = optional(table.take("instead"), |value| {
        value.word(&INSTEAD, findings)
    });
    let mut text = |key: &'static str, findings: &mut Findings| {
        let value = table.take(key);
        optional(value, |value| text_of(&value, "a name", findings))
    };
    let (rule, role) = (text("rule", findings), text("role", findings));
    let realm = text("realm", findings);
    let proof = text("proof", findings);
    let scope = optional(table.take("scope"), |value| value.word(&SCOPES, findings));
    let ttl = optional(table.take("ttl"), |value| ttl_of(&value, findings));
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
        proof: proof?,
        scope: scope?.map(|scope| scope.to_string()),
        ttl: ttl?.map(format_duration),
        points: points?,
    })
}

/// Refuses what can't come of an outcome: the case would never pass.
fn refuse_senseless(table: &mut Table<'_>, outcome: Option<Outcome>, findings: &mut Findings) {
    use Outcome::{Allow, Deny, Observe, Unprotected};
    let Some(outcome) = outcome else { return };
    if outcome == Unprotected {
        for key in ["rule", "role", "points"] {
            table.refuse(key, "no rule speaks of what is not protected", findings);
        }
    }
    if matches!(outcome, Unprotected | Deny) {
        for key in ["scope", "ttl"] {
            table.refuse(key, "nothing is given", findings);
        }
    }
    if matches!(outcome, Unprotected | Deny | Allow) {
        table.refuse("realm", "no proof is asked for", findings);
        table.refuse("proof", "no proof is asked for", findings);
    }
    if outcome != Observe {
        table.refuse("instead", "nothing is only observed", findings);
    }
}

fn ttl_of(value: &Value<'_>, findings: &mut Findings) -> Option<Duration> {
    let text = value.text("a duration like \"15m\"", findings)?;
    parse_duration(text)
        .map_err(|error| {
            findings
                .error(&value.spot(), format!("{text:?} is no duration: {error}"))
                .help("write it as in \"90s\", \"15m\" or \"1h30m\"");
        })
        .ok()
}
