// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads conditions: `when = { … }`, or a list of such tables.

use std::time::Duration;

use ipnet::IpNet;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;

use super::{duration, each};
use crate::config::{Findings, Table, Value};
use crate::policy::host::parse_host;
use crate::policy::{AtLeast, Condition, Days, HourSpan, Pattern, SessionType, Test, Window};

/// Keys that are easily mistaken.
const RENAMED: [(&str, &str); 8] = [
    ("hour", "hours"),
    ("time", "hours"),
    ("day", "days"),
    ("timezone", "tz"),
    ("session_type", "session"),
    ("terminal", "tty"),
    ("failures", "recent_failures"),
    ("first_seen", "program_first_seen"),
];

const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

/// Most of something that can be counted.
const MOST: u32 = 10_000;

/// Longest pattern of a unit, and of a seat.
const MAX_PATTERN: usize = 255;

/// Reads the conditions of a rule or a risk; `zone` is that of the defaults.
pub(super) fn when_of(
    value: &Value<'_>,
    zone: Option<&TimeZone>,
    findings: &mut Findings,
) -> Option<Vec<Condition>> {
    if value.is_table() {
        let table = value.table("a condition", findings)?;
        return condition(table, zone, findings).map(|one| vec![one]);
    }
    let nothing = "leave the key out if the rule always counts";
    let items = value.list(
        "a table of conditions, or a list of tables",
        nothing,
        findings,
    )?;
    each(items, |item| {
        let table = item.table("a condition", findings)?;
        condition(table, zone, findings)
    })
}

fn condition(
    mut table: Table<'_>,
    zone: Option<&TimeZone>,
    findings: &mut Findings,
) -> Option<Condition> {
    // Each is read, so that each mistake is reported.
    let mut tests = vec![window(&mut table, zone, findings)];
    for (key, make) in FLAGS {
        let value = table.take(key);
        tests.push(optional(value, |value| value.boolean(findings).map(make)));
    }
    tests.push(optional(table.take("remote_address"), |value| {
        let items = value.list("a list of networks", "no address would fit", findings)?;
        each(items, |item| network(&item, findings)).map(Test::RemoteAddress)
    }));
    tests.push(optional(table.take("session"), |value| {
        let items = value.list("a list of session types", "no session would fit", findings)?;
        each(items, |item| item.word(&SessionType::ALL, findings)).map(Test::Session)
    }));
    tests.push(optional(table.take("seat"), |value| {
        let items = value.list("a list of seats", "no seat would fit", findings)?;
        each(items, |item| name(&item, "a seat like \"seat0\"", findings)).map(Test::Seat)
    }));
    tests.push(optional(table.take("unit"), |value| {
        let items = value.list("a list of units", "no unit would fit", findings)?;
        let expected = "a unit like \"session-*.scope\"";
        let units = each(items, |item| name(&item, expected, findings))?;
        let units = units.iter().map(|unit| Pattern::new(unit));
        Some(Test::Unit(units.collect()))
    }));
    for (key, make) in COUNTS {
        let value = table.take(key);
        tests.push(optional(value, |value| {
            at_least(&value, findings).map(make)
        }));
    }
    let spot = table.spot().clone();
    let is_empty = table.is_empty();
    table.finish(&RENAMED, findings);
    if is_empty {
        findings
            .lack(&spot, "the condition is empty: it would always hold")
            .help("leave the key out if the rule always counts");
        return None;
    }
    let tests: Option<Vec<_>> = tests.into_iter().collect();
    Some(Condition(tests?.into_iter().flatten().collect()))
}

/// What `read` makes of a value that may be left out: `Some(None)` if it is, `None` if it is a
/// mistake.
pub(super) fn optional<T>(
    value: Option<Value<'_>>,
    read: impl FnOnce(Value<'_>) -> Option<T>,
) -> Option<Option<T>> {
    value.map_or(Some(None), |value| read(value).map(Some))
}

/// Makes a condition of a yes or no.
type Flag = fn(bool) -> Test;
/// Makes a condition of a count.
type Count = fn(AtLeast) -> Test;

/// Conditions that are a plain yes or no.
const FLAGS: [(&str, Flag); 6] = [
    ("remote", Test::Remote),
    ("tty", Test::Terminal),
    ("program_first_seen", Test::ProgramFirstSeen),
    ("destination_first_seen", Test::DestinationFirstSeen),
    ("address_first_seen", Test::AddressFirstSeen),
    ("unusual_hour", Test::UnusualHour),
];

/// Conditions that count something.
const COUNTS: [(&str, Count); 2] = [
    ("recent_failures", Test::Failures),
    ("connections", Test::Connections),
];

/// `hours`, `days` and `tz` together.
fn window(
    table: &mut Table<'_>,
    zone: Option<&TimeZone>,
    findings: &mut Findings,
) -> Option<Option<Test>> {
    let hours = optional(table.take("hours"), |value| hours_of(&value, findings));
    let days = optional(table.take("days"), |value| days_of(&value, findings));
    let written = table.take("tz");
    let own = optional(written, |value| zone_of(&value, findings));
    let (hours, days, own) = (hours?, days?, own?);
    if hours.is_none() && days.is_none() {
        if let Some(value) = written {
            let message = "`tz` means nothing without `hours` or `days`";
            findings.error(&value.spot(), message);
            return None;
        }
        return Some(None);
    }
    Some(Some(Test::Time(Window {
        days: days.unwrap_or(Days::ALL),
        hours: hours.unwrap_or_default(),
        zone: own
            .or_else(|| zone.cloned())
            .unwrap_or_else(TimeZone::system),
    })))
}

/// Reads the name of a time zone.
pub(super) fn zone_of(value: &Value<'_>, findings: &mut Findings) -> Option<TimeZone> {
    let text = value.text("a time zone like \"Europe/Berlin\"", findings)?;
    TimeZone::get(text)
        .map_err(|_| {
            findings
                .error(&value.spot(), format!("there is no time zone {text:?}"))
                .help("write a name of the IANA time zone database, as in \"Europe/Berlin\"");
        })
        .ok()
}

fn hours_of(value: &Value<'_>, findings: &mut Findings) -> Option<Vec<HourSpan>> {
    if value.as_text().is_some() {
        return span_of(value, findings).map(|span| vec![span]);
    }
    let expected = "hours like \"08:00-19:00\", or a list of them";
    let items = value.list(expected, "no hour would fit", findings)?;
    each(items, |item| span_of(&item, findings))
}

fn span_of(value: &Value<'_>, findings: &mut Findings) -> Option<HourSpan> {
    let text = value.text("hours like \"08:00-19:00\"", findings)?;
    let ends = text.split_once('-');
    let ends = ends.and_then(|(from, to)| Some((minutes(from)?, minutes(to)?)));
    let span = ends.and_then(|(from, to)| HourSpan::new(from, to));
    if span.is_none() {
        let help = match ends {
            Some((from, to)) if from == to => {
                "a span ends at another time than it begins; leave `hours` out for all day"
            }
            _ => "write it as in \"08:00-19:00\" or, over midnight, \"22:00-06:00\"",
        };
        findings
            .error(&value.spot(), format!("{text:?} are no hours of a day"))
            .help(help);
    }
    span
}

/// `HH:MM`, up to 24:00.
fn minutes(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let digits = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(hours) || !digits(minutes) {
        return None;
    }
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    let all = hours * 60 + minutes;
    (minutes < 60 && all <= 24 * 60).then_some(all)
}

fn days_of(value: &Value<'_>, findings: &mut Findings) -> Option<Days> {
    let items = value.list("a list of days", "no day would fit", findings)?;
    let days = each(items, |item| span_of_days(&item, findings))?;
    Some(days.into_iter().flatten().fold(Days::NONE, Days::with))
}

/// A day, or days like `mon..fri`; `fri..mon` goes over the end of the week.
fn span_of_days(value: &Value<'_>, findings: &mut Findings) -> Option<Vec<Weekday>> {
    let text = value.text("a day like \"mon\", or days like \"mon..fri\"", findings)?;
    let day = |text: &str| {
        let found = DAYS.iter().find(|(name, _)| *name == text);
        found.map(|(_, day)| *day)
    };
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    let Some((first, last)) = day(first).zip(day(last)) else {
        findings
            .error(&value.spot(), format!("{text:?} is no day of the week"))
            .help("write mon, tue, wed, thu, fri, sat or sun, or days like \"mon..fri\"");
        return None;
    };
    let count = usize::from(last.since(first).unsigned_abs()) + 1;
    Some(first.cycle_forward().take(count).collect())
}

fn network(value: &Value<'_>, findings: &mut Findings) -> Option<IpNet> {
    let text = value.text("an address or a network", findings)?;
    parse_host(text)
        .map_err(|error| {
            findings
                .error(&value.spot(), error.to_string())
                .help(error.help());
        })
        .ok()
}

fn name(value: &Value<'_>, expected: &str, findings: &mut Findings) -> Option<String> {
    let text = value.text(expected, findings)?;
    let odd = |c: char| c.is_control() || c.is_whitespace() || c == '/';
    if text.is_empty() || text.len() > MAX_PATTERN || text.contains(odd) {
        findings
            .error(&value.spot(), format!("{text:?} is no name of one"))
            .help(format!("write {expected}"));
        return None;
    }
    Some(text.to_owned())
}

fn at_least(value: &Value<'_>, findings: &mut Findings) -> Option<AtLeast> {
    let mut table = value.table("a count", findings)?;
    let count = table.require("at_least", findings);
    let count = count.and_then(|value| {
        if value.as_integer().is_none() {
            value.unexpected("a number", findings);
        }
        value.integer_in(1..=MOST, "count", findings)
    });
    let within = table.require("within", findings);
    let within = within
        .and_then(|value| duration(&value, Duration::from_secs(1)..=AtLeast::LONGEST, findings));
    table.finish(
        &[("count", "at_least"), ("more_than", "at_least")],
        findings,
    );
    Some(AtLeast {
        count: count?,
        within: within?,
    })
}
