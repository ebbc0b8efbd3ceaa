// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Conditions decide, and what can't be told is decided strictly.

use std::time::Duration;

use jiff::{Timestamp, Zoned};
use nix::errno::Errno;
use stile_tests::{ALICE, BOB, Client, Host, Terminal};

use super::{host, rule};

#[test]
fn a_rule_counts_only_with_a_terminal_if_it_says_so() {
    let rules = rule(
        "at a terminal",
        "when = { tty = true }\naction = \"allow\"\nttl = \"1h\"",
    );
    let host = host(&rules);
    host.connect(ALICE).refused();
    let terminal = Terminal::of(ALICE);
    let client = Client::start(&mut host.client_on(&terminal, ALICE));
    client.connected();
}

#[test]
fn a_session_that_cannot_be_told_counts_as_the_stricter_case_and_the_log_says_why() {
    let rules = rule(
        "near",
        "when = { remote = false }\naction = \"allow\"\nttl = \"1h\"",
    );
    let host = host(&rules);
    let client = host.connect(ALICE);
    client.refused();
    let records = host.audit().records();
    let decision = records.the("decision");
    assert_eq!(decision["outcome"], "deny");
    assert!(
        decision["doubts"][0]
            .as_str()
            .unwrap()
            .starts_with("near: "),
        "{decision}"
    );
}

#[test]
fn a_grant_never_outlives_the_window_that_allowed_it() {
    // A window that is open now, and for less than the rule's time.
    let now = Zoned::now().with_time_zone(jiff::tz::TimeZone::UTC);
    let until = (u32::from(now.hour() as u8) * 60 + u32::from(now.minute() as u8) + 30) % 1440;
    let from = (until + 1440 - 60) % 1440;
    let text = |minutes: u32| format!("{:02}:{:02}", minutes / 60, minutes % 60);
    let rules = rule(
        "office hours",
        &format!(
            "when = {{ hours = \"{}-{}\", tz = \"UTC\" }}\naction = \"allow\"\nttl = \"8h\"",
            text(from),
            text(until)
        ),
    );
    let host = host(&rules);
    host.connect(ALICE).connected();
    let left = host.grants(ALICE)[0]["seconds_left"].as_u64().unwrap();
    assert!((28 * 60..=30 * 60).contains(&left), "{left} s are left");
}

#[test]
fn outside_of_its_hours_a_rule_lets_nobody_through() {
    let now = Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    let minute = u32::from(now.hour() as u8) * 60 + u32::from(now.minute() as u8);
    let text = |minutes: u32| format!("{:02}:{:02}", minutes % 1440 / 60, minutes % 60);
    let rules = rule(
        "other hours",
        &format!(
            "when = {{ hours = \"{}-{}\", tz = \"UTC\" }}\naction = \"allow\"\nttl = \"8h\"",
            text(minute + 120),
            text(minute + 180)
        ),
    );
    host(&rules).connect(ALICE).refused();
}

#[test]
fn a_rejecting_rule_with_conditions_rejects_at_once_and_passes_after_the_approval() {
    let rules = rule(
        "no terminal",
        "when = { tty = false }\naction = \"step-up\"\nfirst = \"reject\"",
    );
    let host = host(&rules);
    let authenticator = host.enroll(ALICE);
    let mut client = host.connect(ALICE);
    let (error, waited) = client.refused();
    assert_eq!(error, Errno::ECONNABORTED);
    assert!(waited < Duration::from_secs(1), "{waited:?}");
    host.wait_for_challenge(ALICE);
    host.approve(ALICE, &authenticator);
    client.again();
    client.connected();
    client.talks();
}

#[test]
fn who_is_excepted_is_not_let_through() {
    let rules = "[[rule]]\nname = \"all but bob\"\nendpoints = [\"db\"]\nusers = [\"*\", \"!bob\"]\n\
                 action = \"allow\"\nttl = \"1h\"\n";
    let host = host(rules);
    host.connect(ALICE).connected();
    assert_eq!(host.connect(BOB).refused().0, Errno::EPERM);
}

#[test]
fn a_role_has_its_own_time() {
    let rules = "[[role]]\nname = \"senior\"\nusers = [\"alice\"]\nttl = \"8h\"\n\
                 [[role]]\nname = \"junior\"\nusers = [42002]\nttl = \"5m\"\n\
                 [[rule]]\nname = \"r\"\nendpoints = [\"db\"]\nusers = [\"@senior\", \"@junior\"]\n\
                 action = \"allow\"\n";
    let host = host(rules);
    for (user, seconds) in [(ALICE, 8 * 3600), (BOB, 300)] {
        host.connect(user).connected();
        let left = host.grants(user)[0]["seconds_left"].as_u64().unwrap();
        assert!((seconds - 60..=seconds).contains(&left), "{left}");
    }
}

#[test]
fn what_is_unusual_asks_somebody_whom_the_rule_allows_and_says_why() {
    let rules = rule("r", "action = \"allow\"\nttl = \"1h\"")
        + "[[risk]]\nname = \"no terminal\"\npoints = 40\nwhen = { tty = false }\n\
           [[threshold]]\npoints = 30\nttl = \"2m\"\n";
    let host = host(&rules);
    let authenticator = host.enroll(ALICE);
    let client = host.connect(ALICE);
    let challenge = host.wait_for_challenge(ALICE);
    assert_eq!(challenge["reasons"][0], "no terminal (+40)");
    host.approve(ALICE, &authenticator);
    client.connected();
    let records = host.audit().records();
    assert_eq!(records.of("decision")[0]["risk"][0][0], "no terminal");
    let terminal = Terminal::of(ALICE);
    Client::start(&mut host.client_on(&terminal, ALICE)).connected();
}

#[test]
fn many_connections_within_a_minute_are_asked_for() {
    let rules = rule(
        "burst",
        "when = { connections = { at_least = 3, within = \"1m\" } }\naction = \"deny\"",
    ) + &rule("r", "action = \"allow\"\nttl = \"1h\"");
    let host = host(&rules);
    let mut client = host.connect(ALICE);
    client.connected();
    client.again();
    client.connected();
    client.again();
    client.refused();
}

#[test]
fn wrong_answers_count_as_recent_failures() {
    let rules = rule(
        "after mistakes",
        "when = { recent_failures = { at_least = 1, within = \"10m\" } }\naction = \"deny\"",
    ) + &rule("r", "action = \"step-up\"");
    let host = host(&rules);
    let _authenticator = host.enroll(ALICE);
    let first = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    first.still_waits();
    host.answer(ALICE, None, "000000");
    host.connect(ALICE).refused();
}

#[test]
fn a_first_connection_with_a_program_is_new_and_the_second_is_not() {
    let rules = rule(
        "new program",
        "when = { program_first_seen = true }\naction = \"step-up\"\nscope = \"socket\"",
    ) + &rule("r", "action = \"allow\"\nttl = \"1h\"");
    let mut host = host(&rules);
    let authenticator = host.enroll(ALICE);
    let first = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    host.approve(ALICE, &authenticator);
    first.connected();
    host.connect(ALICE).connected();
    host.restart();
    host.connect(ALICE).connected();
}

#[test]
fn a_bad_policy_never_replaces_a_good_one() {
    let mut host = host(&rule("r", "action = \"deny\""));
    host.write_policy(&super::protecting(&rule(
        "r",
        "action = \"allow\"\nttl = \"1h\"\nwhen = { hourz = \"08:00-19:00\" }",
    )));
    host.begin_reload();
    let records = host.audit().wait_for("policy-refused", 1);
    assert!(
        records.the("policy-refused").to_string().contains("hourz"),
        "{:?}",
        records.the("policy-refused")
    );
    host.connect(ALICE).refused();
    assert!(host.is_running());
    let _: &Host = &host;
}
