// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A dialog that dies, and users with more than one prompter.

use std::process::Command;

use nix::sys::signal::Signal;
use stile_tests::{ALICE, Desktop, Host, Running, cannot_run, missing};

use super::scene::{Asked, DIALOG, asked};
use super::{policy, prompts, step_up};

/// Kills the process whose dialog this is.
fn kill_dialog(desktop: &Desktop) {
    let pid = desktop.process_of(DIALOG).unwrap();
    let killed = Command::new("kill").args(["-KILL", pid.trim()]).status();
    assert!(killed.unwrap().success());
}

/// A desktop without a bus, on which pinentry is the only place.
fn variables_of(desktop: &Desktop) -> Vec<(String, String)> {
    let of_bus = ["DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR"];
    let mut variables = desktop.variables(&[("XDG_CURRENT_DESKTOP", "KDE")]);
    variables.retain(|(name, _)| !of_bus.contains(&name.as_str()));
    variables
}

/// Alice at such a desktop.
fn asked_only_there() -> Option<Asked> {
    if let Some(program) = missing(&["pinentry-qt"]) {
        cannot_run(&format!("there is no {program}"));
        return None;
    }
    let rule = step_up("dba step-up", "db", "");
    let host = Host::builder().policy(&policy(&rule)).build();
    let desktop = Desktop::of(&host, ALICE)?;
    let variables = variables_of(&desktop);
    Some(Asked::with(host, desktop, &variables))
}

/// Alice at two of them. The prompter of the one in `Asked` came first.
fn asked_at_two() -> Option<(Asked, Desktop, Running)> {
    let asked = asked_only_there()?;
    let other = Desktop::of(&asked.host, ALICE)?;
    let variables = variables_of(&other);
    let prompter = asked.host.prompter(&asked.installed, ALICE, &variables);
    Some((asked, other, prompter))
}

#[test]
fn a_dialog_that_is_killed_refuses_nothing_and_another_place_asks() {
    if let Some(program) = missing(&["gcr-prompter"]) {
        return cannot_run(&format!("there is no {program}"));
    }
    let Some(asked) = asked() else { return };
    let client = asked.host.connect(ALICE);
    asked.desktop.wait_for_window(DIALOG);
    let first = asked.dialog();
    kill_dialog(&asked.desktop);
    asked.wait_for_other_dialog(&first);
    client.still_waits();
    assert_eq!(prompts(&asked.host, ALICE), 1);
    asked.types_a_code();
    client.connected();
    asked.desktop.wait_for_no_window(DIALOG);
}

#[test]
fn where_there_is_no_other_place_the_dialog_that_was_killed_comes_again() {
    let Some(asked) = asked_only_there() else {
        return;
    };
    let prompters = asked.host.stile(ALICE, &["prompters", "--json"]).json();
    assert_eq!(prompters[0]["places"], serde_json::json!(["pinentry"]));
    let client = asked.host.connect(ALICE);
    asked.desktop.wait_for_window(DIALOG);
    let first = asked.dialog();
    kill_dialog(&asked.desktop);
    client.still_waits();
    asked.wait_for_other_dialog(&first);
    assert_eq!(prompts(&asked.host, ALICE), 1);
    asked.types_a_code();
    client.connected();
}

#[test]
fn of_two_prompters_that_are_as_good_the_first_asks_and_the_other_does_not() {
    let Some((asked, other, _prompter)) = asked_at_two() else {
        return;
    };
    let client = asked.host.connect(ALICE);
    asked.desktop.wait_for_window(DIALOG);
    let prompters = asked.host.stile(ALICE, &["prompters", "--json"]).json();
    assert_eq!(prompters[0]["showing"], 1);
    assert_eq!(prompters[1]["showing"], 0);
    assert!(other.windows(DIALOG).is_empty());
    asked.types_a_code();
    client.connected();
    asked.desktop.wait_for_no_window(DIALOG);
    assert!(other.windows(DIALOG).is_empty());
}

#[test]
fn when_the_first_prompter_can_show_nothing_any_more_the_second_asks() {
    let Some((mut asked, other, _prompter)) = asked_at_two() else {
        return;
    };
    let client = asked.host.connect(ALICE);
    asked.desktop.wait_for_window(DIALOG);
    asked.desktop.crash();
    other.wait_for_window(DIALOG);
    client.still_waits();
    assert_eq!(asked.host.prompters(ALICE), 2);
    assert_eq!(prompts(&asked.host, ALICE), 1);
    other.types(&asked.authenticator.fresh_code());
    other.presses("Return");
    client.connected();
    other.wait_for_no_window(DIALOG);
}

#[test]
fn when_the_first_prompter_is_killed_the_second_asks() {
    let Some((asked, other, _prompter)) = asked_at_two() else {
        return;
    };
    let client = asked.host.connect(ALICE);
    asked.desktop.wait_for_window(DIALOG);
    asked.prompter.signal(Signal::SIGKILL);
    other.wait_for_window(DIALOG);
    asked.desktop.wait_for_no_window(DIALOG);
    client.still_waits();
    other.presses("Escape");
    client.refused();
    assert_eq!(prompts(&asked.host, ALICE), 1);
    other.wait_for_no_window(DIALOG);
}
