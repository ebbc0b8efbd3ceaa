// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where there are notifications and nothing else, and what is told without a question.

use stile_tests::{ALICE, Desktop, Host, Installed, until};

use super::dunst::{Dunst, WINDOW};
use super::scene::Asked;
use super::{policy, step_up};

/// Nothing that draws, and the session's bus.
fn variables_of(desktop: &Desktop) -> Vec<(String, String)> {
    let kept = ["DBUS_SESSION_BUS_ADDRESS", "HOME", "LC_ALL", "TMUX_TMPDIR"];
    let all = desktop.variables(&[]).into_iter();
    all.filter(|(name, _)| kept.contains(&name.as_str()))
        .collect()
}

fn host(more: &str) -> Host {
    let rule = step_up("dba step-up", "db", more);
    Host::builder().policy(&policy(&rule)).build()
}

/// A desktop of alice's of which her prompter knows the bus only.
fn asked(more: &str) -> Option<Asked> {
    let host = host(more);
    let desktop = Desktop::of(&host, ALICE)?;
    let variables = variables_of(&desktop);
    Some(Asked::with(host, desktop, &variables))
}

#[test]
fn a_notification_says_how_to_answer_and_its_button_refuses() {
    let Some(asked) = asked("") else { return };
    let Some(dunst) = Dunst::start(&asked.host, &asked.desktop) else {
        return;
    };
    let prompters = asked.host.stile(ALICE, &["prompters", "--json"]).json();
    assert_eq!(prompters[0]["places"], serde_json::json!(["notification"]));
    let client = asked.host.connect(ALICE);
    dunst.shows(1);
    asked.desktop.screenshot(WINDOW, "notification");
    client.still_waits();
    // As a click on it: it has one button.
    dunst.ctl("action");
    client.refused();
    dunst.shows(0);
    let records = asked.host.audit().wait_for("challenge-ended", 1);
    assert_eq!(records.the("challenge-ended")["outcome"], "denied");
    let told = dunst.closed();
    assert_eq!(told.len(), 1, "{told:?}");
    let (summary, body) = &told[0];
    assert_eq!(summary, "stile-test-client wants to reach db");
    assert!(body.contains("stile approve 1"), "{body}");
}

#[test]
fn a_notification_that_is_closed_refuses_nothing() {
    let Some(asked) = asked("") else { return };
    let Some(dunst) = Dunst::start(&asked.host, &asked.desktop) else {
        return;
    };
    let client = asked.host.connect(ALICE);
    dunst.shows(1);
    dunst.ctl("close");
    dunst.shows(0);
    client.still_waits();
    asked.host.approve(ALICE, &asked.authenticator);
    client.connected();
}

#[test]
fn what_is_answered_elsewhere_goes_from_the_notifications() {
    let Some(asked) = asked("") else { return };
    let Some(dunst) = Dunst::start(&asked.host, &asked.desktop) else {
        return;
    };
    let client = asked.host.connect(ALICE);
    dunst.shows(1);
    asked.host.approve(ALICE, &asked.authenticator);
    client.connected();
    dunst.shows(0);
}

#[test]
fn who_comes_back_too_late_finds_a_notification_of_it() {
    let Some(asked) = asked("max_hold = \"3s\"") else {
        return;
    };
    let Some(dunst) = Dunst::start(&asked.host, &asked.desktop) else {
        return;
    };
    let client = asked.host.connect(ALICE);
    dunst.shows(1);
    client.refused();
    let records = asked.host.audit().wait_for("challenge-ended", 1);
    assert_eq!(records.the("challenge-ended")["outcome"], "timed-out");
    let told = until("it is told", || {
        let all = dunst.closed().into_iter();
        all.map(|(summary, _)| summary)
            .find(|summary| summary.contains("nobody answered"))
    });
    assert_eq!(told, "stile: nobody answered for db");
}

#[test]
fn who_has_nothing_to_answer_with_is_told_how_to_enroll() {
    let host = host("");
    let Some(desktop) = Desktop::of(&host, ALICE) else {
        return;
    };
    let Some(dunst) = Dunst::start(&host, &desktop) else {
        return;
    };
    let installed = Installed::new();
    let _prompter = host.prompter(&installed, ALICE, &variables_of(&desktop));
    let client = host.connect(ALICE);
    dunst.shows(1);
    desktop.screenshot(WINDOW, "notification-not-enrolled");
    client.still_waits();
    let told = dunst.closed();
    assert!(told[0].1.contains("stile enroll"), "{told:?}");
}
