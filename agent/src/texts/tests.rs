// SPDX-License-Identifier: Apache-2.0 OR MIT
use std::collections::{BTreeMap, BTreeSet};

use fluent_syntax::ast::Entry;
use fluent_syntax::parser::parse;
use proptest::prelude::*;

use super::Value::{Number, Text};
use super::bounds::width;
use super::*;
use crate::classify::{escape::printable, is_hidden};
use crate::ids::{ChallengeId, Uid};
use crate::prompter::Question;
use crate::service::ChallengeView;

pub(crate) fn german() -> Texts {
    Texts::new(known("de").unwrap())
}

fn challenge() -> ChallengeView {
    ChallengeView {
        id: ChallengeId(7),
        uid: Uid(1000),
        endpoint: "prod-db".into(),
        destination: "10.20.0.1:5432".into(),
        rule: "dba".into(),
        realm: "prod".into(),
        program: "/usr/bin/psql".into(),
        pid: 4242,
        parent: "bash".into(),
        terminal: "pts/3".into(),
        from: "192.0.2.7".into(),
        session: "c2".into(),
        reasons: vec!["a new address".into()],
        warnings: vec!["it runs from memory, not from a file".into()],
        waiting: 2,
        scope: "process".into(),
        ttl_seconds: 900,
        also: vec!["billing".into(), "crm".into(), "hr".into()],
        deadline: 1_767_582_058,
        seconds_left: 58,
        factors: vec!["totp".into()],
        reason: String::new(),
        reason_name: String::new(),
        reason_pattern: String::new(),
    }
}

/// The messages of a file and the variables that each takes.
fn messages(source: &str) -> BTreeMap<String, BTreeSet<String>> {
    let resource = parse(source).unwrap_or_else(|(_, errors)| panic!("{errors:?}"));
    let mut found = BTreeMap::new();
    for entry in &resource.body {
        let Entry::Message(message) = entry else {
            continue;
        };
        // Where a variable stands in the pattern doesn't matter, so its name is found in the
        // pattern's printed form.
        let printed = format!("{:?}", message.value);
        let variables = printed.split("VariableReference { id: Identifier { name: \"");
        let variables = variables.skip(1).filter_map(|rest| rest.split('"').next());
        let variables = variables.map(str::to_owned).collect();
        let before = found.insert(message.id.name.to_owned(), variables);
        assert_eq!(before, None, "{} is there twice", message.id.name);
    }
    found
}

#[test]
fn every_message_is_in_every_language_with_the_same_variables() {
    let english = messages(LANGUAGES[0].1);
    assert!(english["heading"].contains("endpoint"), "{english:?}");
    for (language, source) in LANGUAGES {
        assert_eq!(messages(source), english, "{language}");
    }
}

#[test]
fn a_message_that_a_language_lacks_is_said_in_english() {
    let broken = Texts::new(("de", "title = stile\napprove = { $nobody }"));
    assert_eq!(broken.say("title"), "stile");
    assert_eq!(broken.say("deny"), "Deny");
    assert_eq!(broken.say("approve"), "Approve");
    assert_eq!(broken.say("no-such-message"), "no-such-message");
}

#[test]
fn one_is_not_many_in_any_language() {
    let waiting = |texts: &Texts, number| texts.fill("waiting", &[("number", Number(number))]);
    assert_eq!(waiting(&Texts::english(), 1), "1 connection");
    assert_eq!(waiting(&Texts::english(), 0), "0 connections");
    assert_eq!(waiting(&german(), 1), "1 Verbindung");
    assert_eq!(waiting(&german(), 1_000), "1000 Verbindungen");
}

#[test]
fn spans_read_well() {
    let english = Texts::english();
    let cases = [
        (0, "0 seconds"),
        (1, "1 second"),
        (900, "15 minutes"),
        (125, "2 minutes 5 seconds"),
        (3_605, "1 hour"),
        (90_000, "1 day 1 hour"),
    ];
    for (seconds, text) in cases {
        assert_eq!(english.span(seconds), text);
    }
    assert_eq!(german().span(172_860), "2 Tage");
}

#[test]
fn no_invisible_marks_stand_around_a_value() {
    let said = Texts::english().fill("quoted", &[("name", Text("a b"))]);
    assert_eq!(said, "“a b”");
}

#[test]
fn the_question_is_asked_in_german() {
    let attempt = Attempt {
        wrong: true,
        tries_left: 1,
        retry_seconds: 0,
        reason: false,
    };
    let asked = question(&german(), &challenge(), attempt);
    assert_eq!(asked.heading, "psql möchte auf prod-db zugreifen");
    assert_eq!(
        asked.error.as_deref(),
        Some("Falscher Code. Noch 1 Versuch.")
    );
    let details = details(&german(), &challenge(), None, &jiff::tz::TimeZone::UTC);
    let lines: Vec<_> = details.iter().map(|(l, v)| format!("{l}: {v}")).collect();
    assert_eq!(
        lines,
        [
            "Ziel: 10.20.0.1:5432",
            "Programm: /usr/bin/psql (PID 4242)",
            "Gestartet von: bash auf pts/3, über SSH von 192.0.2.7",
            "Regel: dba",
            "Der Code erlaubt: prod-db für 15 Minuten, dieser Prozess",
            "Öffnet auch: billing, crm und 1 weitere",
            "Grund der Frage: a new address",
            "Anfrage: 7, offen bis 03:00:58",
            "Es warten: 2 Verbindungen",
        ]
    );
}

#[test]
fn a_wait_is_said_instead_of_the_tries_and_nothing_where_nothing_was_wrong() {
    let error = |wrong, retry_seconds| {
        let attempt = Attempt {
            wrong,
            tries_left: 0,
            retry_seconds,
            reason: false,
        };
        question(&Texts::english(), &challenge(), attempt).error
    };
    let wait = "Too many wrong codes. Try again in 30 seconds.";
    assert_eq!(error(true, 30).as_deref(), Some(wait));
    assert_eq!(error(false, 0), None);
    let none = "Wrong code. No tries are left for now.";
    assert_eq!(error(true, 0).as_deref(), Some(none));
}

#[test]
fn a_name_with_spaces_does_not_read_on_as_the_sentence() {
    let mut view = challenge();
    view.program = "/tmp/psql wants to reach x".into();
    let heading = heading(&Texts::english(), &view);
    assert_eq!(heading, "“psql wants to reach x” wants to reach prod-db");
}

#[test]
fn markup_stays_text() {
    let mut view = challenge();
    view.program = "/tmp/<b>&amp;{ $x }".into();
    let asked = question(&Texts::english(), &view, Attempt::default());
    assert_eq!(
        asked.heading,
        "<b>&amp;{ $x } wants to reach prod-db".replace("<b>&amp;{ $x }", "“<b>&amp;{ $x }”")
    );
}

/// Every text of the question with the most columns that it may have.
fn texts_of(asked: &Question) -> Vec<(&str, usize)> {
    let mut all = vec![
        (asked.heading.as_str(), 78),
        (asked.title.as_str(), 38),
        (asked.prompt.as_str(), 38),
        (asked.approve.as_str(), 16),
        (asked.deny.as_str(), 16),
    ];
    all.extend(asked.warning.iter().map(|text| (text.as_str(), 150)));
    all.extend(asked.error.iter().map(|text| (text.as_str(), 78)));
    for (label, value) in &asked.details {
        all.extend([(label.as_str(), 18), (value.as_str(), 56)]);
    }
    all
}

fn assert_bounded(view: &ChallengeView, attempt: Attempt) {
    for texts in [Texts::english(), german()] {
        let asked = question(&texts, view, attempt);
        assert!(asked.details.len() <= 9, "{asked:?}");
        for (text, most) in texts_of(&asked) {
            assert!(width(text) <= most, "{} columns: {text:?}", width(text));
            assert!(
                !text.chars().any(|c| c.is_control() || is_hidden(c)),
                "{text:?}"
            );
        }
    }
}

#[test]
fn a_name_of_4096_characters_leaves_the_process_id_and_the_end_of_the_path() {
    let mut view = challenge();
    view.program = format!("/tmp/{}/psql", "x".repeat(4_096));
    assert_bounded(&view, Attempt::default());
    let asked = question(&Texts::english(), &view, Attempt::default());
    let (_, program) = &asked.details[1];
    assert!(program.ends_with("/psql (pid 4242)"), "{program}");
    assert!(program.starts_with("/tmp/x"), "{program}");
}

proptest! {
    #[test]
    fn whatever_others_choose_stays_within_its_row(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        text in ".{0,300}",
        list in prop::collection::vec(".{0,60}", 0..6),
        (pid, waiting, tries_left) in any::<(u32, u32, u32)>(),
        (ttl_seconds, deadline, seconds_left, retry_seconds) in any::<(u64, u64, u64, u64)>(),
        scope in prop::sample::select(vec!["user", "unit", "process", "socket", "new"]),
        wrong: bool,
    ) {
        let view = ChallengeView {
            endpoint: text.clone(),
            destination: text.clone(),
            rule: text.clone(),
            program: printable(&bytes, 4_096),
            parent: text.clone(),
            terminal: text.clone(),
            from: text,
            reasons: list.clone(),
            warnings: list.clone(),
            also: list,
            scope: scope.to_owned(),
            pid, waiting, ttl_seconds, deadline, seconds_left,
            ..challenge()
        };
        assert_bounded(&view, Attempt { wrong, tries_left, retry_seconds, reason: false });
    }
}
