// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is asked, in words: the question that every place shows.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Value::{Number, Text};
use super::bounds::{escape, middle, start, width};
use super::spoken::spoken;
use super::{Texts, Value};
use crate::prompter::Question;
use crate::service::{ChallengeView, ReasonView};

/// The widest value. With its label it stays on one row of a terminal of 80 columns.
const VALUE: usize = 56;
/// The widest name of a program or an endpoint within a sentence.
const NAME: usize = 26;
/// The widest name in a list of endpoints, and how many are named.
const LISTED: (usize, usize) = (14, 2);
/// The widest warning: two rows.
const WARNING: usize = 150;
/// The widest word of a locality: a terminal, an address, a number.
const WORD: usize = 20;
/// Longer than any challenge lives. It bounds what an agent says.
const LONGEST: u64 = 24 * 3_600;

/// What was wrong with the code before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempt {
    /// There was one, and it was wrong.
    pub wrong: bool,
    /// Tries left before further ones have to wait.
    pub tries_left: u32,
    /// Seconds until the next try; 0 for at once.
    pub retry_seconds: u64,
    /// A reason is asked for, and not a code.
    pub reason: bool,
}

/// The question for this challenge: at most nine details, each of one row of 80 columns, with
/// nothing in it that could end a row, turn the text or steer a terminal.
#[must_use]
pub fn question(texts: &Texts, challenge: &ChallengeView, attempt: Attempt) -> Question {
    let left = Duration::from_secs(challenge.seconds_left.min(LONGEST));
    let prompt = match challenge.factors.as_slice() {
        [] => texts.say("prompt-none"),
        _ if attempt.reason => reason_label(texts, &challenge.asked_reason()),
        _ => texts.say("prompt"),
    };
    Question {
        id: challenge.id,
        title: texts.say("title"),
        heading: heading(texts, challenge),
        details: details(texts, challenge, None, &TimeZone::system()),
        warning: warning(texts, challenge),
        error: error(texts, takes_codes(challenge), attempt),
        prompt,
        approve: texts.say(if attempt.reason { "next" } else { "approve" }),
        deny: texts.say("deny"),
        deadline: Instant::now() + left,
    }
}

/// `Reason: ticket, like [A-Z]+-[0-9]+`.
pub(crate) fn reason_label(texts: &Texts, reason: &ReasonView) -> String {
    let message = match (reason.name.as_str(), reason.pattern.as_str()) {
        ("", "") => "reason",
        (_, "") => "reason-named",
        ("", _) => "reason-like",
        (_, _) => "reason-named-like",
    };
    let name = escape(&reason.name);
    let pattern = start(&reason.pattern, VALUE);
    let values = [("name", Text(&name)), ("pattern", Text(&pattern))];
    texts.fill(message, &values)
}

/// False if only a service of PAM will do, which may ask for anything.
fn takes_codes(challenge: &ChallengeView) -> bool {
    let mut factors = challenge.factors.iter();
    challenge.factors.is_empty() || factors.any(|factor| !factor.starts_with("pam:"))
}

/// `psql wants to reach prod-db`.
pub(crate) fn heading(texts: &Texts, challenge: &ChallengeView) -> String {
    let file = challenge.program.rsplit('/').next().unwrap_or_default();
    let mut program = match file {
        "" => texts.say("origin-unknown"),
        file => middle(file, NAME),
    };
    // Its name must not read on as a part of the sentence.
    if file.contains(char::is_whitespace) {
        program = texts.fill("quoted", &[("name", Text(&program))]);
    }
    let endpoint = start(&challenge.endpoint, NAME);
    let names = [("program", Text(&program)), ("endpoint", Text(&endpoint))];
    texts.fill("heading", &names)
}

/// What is unusual about the program.
pub(crate) fn warning(texts: &Texts, challenge: &ChallengeView) -> Option<String> {
    let warnings = all_spoken(texts, &challenge.warnings);
    (!warnings.is_empty()).then(|| start(&warnings, WARNING))
}

/// Labels and values, most important first. With `left`, the request says how many seconds are
/// left: for what is shown once and stays as it is.
pub(crate) fn details(
    texts: &Texts,
    challenge: &ChallengeView,
    left: Option<u64>,
    zone: &TimeZone,
) -> Vec<(String, String)> {
    let also = (!challenge.also.is_empty()).then(|| list(texts, &challenge.also));
    let reasons = all_spoken(texts, &challenge.reasons);
    let because = (!reasons.is_empty()).then_some(reasons);
    let waiting = [("number", Number(challenge.waiting.into()))];
    let label_gives = match takes_codes(challenge) {
        true => "label-gives",
        false => "label-answer-gives",
    };
    let details = [
        ("label-destination", Some(challenge.destination.clone())),
        ("label-program", Some(program(texts, challenge))),
        ("label-origin", Some(origin(texts, challenge))),
        ("label-rule", Some(challenge.rule.clone())),
        (label_gives, Some(gives(texts, challenge))),
        ("label-also", also),
        ("label-reasons", because),
        ("label-request", Some(request(texts, challenge, left, zone))),
        ("label-waiting", Some(texts.fill("waiting", &waiting))),
    ];
    details
        .into_iter()
        .filter_map(|(label, value)| Some((texts.say(label), start(&value?, VALUE))))
        .collect()
}

fn all_spoken(texts: &Texts, sentences: &[String]) -> String {
    let spoken = sentences.iter().map(|sentence| spoken(texts, sentence));
    spoken.collect::<Vec<_>>().join("; ")
}

fn program(texts: &Texts, challenge: &ChallengeView) -> String {
    let pid = challenge.pid.to_string();
    let fill = |path: &str| texts.fill("program", &[("path", Text(path)), ("pid", Text(&pid))]);
    // The process id is never what is cut off.
    let room = VALUE.saturating_sub(width(&fill("")));
    fill(&middle(&challenge.program, room))
}

/// What started the program, and where: `bash on pts/3, from ssh 192.0.2.7`.
fn origin(texts: &Texts, challenge: &ChallengeView) -> String {
    let parent = match challenge.parent.as_str() {
        "" => texts.say("origin-unknown"),
        parent => middle(parent, NAME.min(WORD)),
    };
    let message = match (challenge.terminal.as_str(), challenge.from.as_str()) {
        ("", "") => "origin",
        (_, "") => "origin-terminal",
        ("", _) => "origin-from",
        (_, _) => "origin-terminal-from",
    };
    let terminal = start(&challenge.terminal, WORD);
    let from = escape(&challenge.from);
    let values = [
        ("parent", Text(&parent)),
        ("terminal", Text(&terminal)),
        ("from", Text(&from)),
    ];
    texts.fill(message, &values)
}

/// `prod-db for 15 minutes, all your programs`.
pub(crate) fn gives(texts: &Texts, challenge: &ChallengeView) -> String {
    let message = match challenge.scope.as_str() {
        "user" => "gives-user",
        "unit" => "gives-unit",
        "process" => "gives-process",
        "socket" => "gives-socket",
        _ => "gives-other",
    };
    let time = texts.span(challenge.ttl_seconds);
    let fill = |endpoint: &str| {
        let values = [("endpoint", Text(endpoint)), ("time", Text(&time))];
        texts.fill(message, &values)
    };
    // For whom and for how long is never what is cut off.
    let room = VALUE.saturating_sub(width(&fill(""))).min(NAME);
    fill(&start(&challenge.endpoint, room))
}

/// `billing, crm and 3 more`: how many there are is never cut off.
fn list(texts: &Texts, names: &[String]) -> String {
    let (columns, most) = LISTED;
    let (shown, rest) = names.split_at(names.len().min(most));
    let shown: Vec<_> = shown.iter().map(|name| start(name, columns)).collect();
    let shown = shown.join(", ");
    if rest.is_empty() {
        return shown;
    }
    let values = [("names", Text(&shown)), ("number", count(rest.len()))];
    texts.fill("and-more", &values)
}

fn count(number: usize) -> Value<'static> {
    Number(number.try_into().unwrap_or(u64::MAX))
}

/// `7, open until 14:05:00`, in the person's own time zone.
fn request(texts: &Texts, challenge: &ChallengeView, left: Option<u64>, zone: &TimeZone) -> String {
    let id = challenge.id.to_string();
    let deadline = i64::try_from(challenge.deadline).ok();
    let clock = deadline
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .map_or_else(
            || "?".to_owned(),
            |time| time.to_zoned(zone.clone()).strftime("%H:%M:%S").to_string(),
        );
    let time = texts.span(left.unwrap_or_default());
    let values = [
        ("id", Text(&id)),
        ("clock", Text(&clock)),
        ("time", Text(&time)),
    ];
    match left {
        Some(_) => texts.fill("request-left", &values),
        None => texts.fill("request", &values[..2]),
    }
}

fn error(texts: &Texts, codes: bool, attempt: Attempt) -> Option<String> {
    if attempt.retry_seconds > 0 {
        let time = texts.span(attempt.retry_seconds);
        return Some(texts.fill("error-wait", &[("time", Text(&time))]));
    }
    if attempt.reason {
        return attempt.wrong.then(|| texts.say("error-reason"));
    }
    let tries = [("number", Number(attempt.tries_left.into()))];
    let message = if codes {
        "error-wrong"
    } else {
        "error-wrong-answer"
    };
    attempt.wrong.then(|| texts.fill(message, &tries))
}
