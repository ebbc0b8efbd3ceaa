// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The prompt appears where the user is: `stile-prompt` on a desktop.

use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use stile_tests::{ALICE, BOB, ROOT, Running, measured, until};

use super::prompts;
use super::scene::{DIALOG, asked, asked_by};

#[test]
fn a_code_typed_into_the_dialog_lets_the_connection_go_on() {
    let Some(asked) = asked() else { return };
    let begun = Instant::now();
    let mut client = asked.host.connect(ALICE);
    asked.desktop.wait_for_window(DIALOG);
    measured(&format!(
        "held to dialog: {} ms",
        begun.elapsed().as_millis()
    ));
    asked.desktop.screenshot(DIALOG, "dialog-qt");
    let prompters = asked.host.stile(ALICE, &["prompters", "--json"]).json();
    assert_eq!(prompters[0]["showing"], 1);
    asked.types_a_code();
    client.connected();
    client.talks();
    asked.desktop.wait_for_no_window(DIALOG);
    let records = asked.host.audit().records();
    assert_eq!(records.the("factor")["outcome"], "accepted");
}

#[test]
fn the_dialog_of_gtk_does_as_well() {
    let Some(asked) = asked_by("pinentry-gtk-2", "XFCE", &[]) else {
        return;
    };
    let client = asked.host.connect(ALICE);
    asked.desktop.wait_for_window(DIALOG);
    asked.desktop.screenshot(DIALOG, "dialog-gtk");
    asked.types_a_code();
    client.connected();
}

#[test]
fn a_german_is_asked_in_german() {
    let Some(asked) = asked_by("pinentry-qt", "KDE", &[("LANGUAGE", "de")]) else {
        return;
    };
    let prompters = asked.host.stile(ALICE, &["prompters", "--json"]).json();
    assert_eq!(prompters[0]["language"], "de");
    let client = asked.host.connect(ALICE);
    asked.desktop.wait_for_window(DIALOG);
    asked.desktop.screenshot(DIALOG, "dialog-de");
    asked.desktop.presses("Escape");
    client.refused();
}

#[test]
fn escape_refuses_and_the_next_attempt_is_not_asked_at_once() {
    let Some(asked) = asked() else { return };
    let client = asked.host.connect(ALICE);
    asked.desktop.wait_for_window(DIALOG);
    asked.desktop.presses("Escape");
    assert_eq!(client.refused().0, Errno::ECONNABORTED);
    assert_eq!(asked.host.connect(ALICE).refused().0, Errno::ECONNABORTED);
    assert_eq!(prompts(&asked.host, ALICE), 1);
    asked.desktop.wait_for_no_window(DIALOG);
}

#[test]
fn a_wrong_code_is_asked_for_again_and_the_dialog_says_so() {
    let Some(asked) = asked() else { return };
    let client = asked.host.connect(ALICE);
    asked.desktop.wait_for_window(DIALOG);
    let first = asked.dialog();
    asked.types("000000");
    asked.wait_for_other_dialog(&first);
    asked.desktop.screenshot(DIALOG, "dialog-wrong-code");
    client.still_waits();
    asked.types_a_code();
    client.connected();
}

#[test]
fn what_is_answered_elsewhere_or_is_over_goes_from_the_screen() {
    let Some(asked) = asked() else { return };
    let client = asked.host.connect(ALICE);
    asked.desktop.wait_for_window(DIALOG);
    asked.host.approve(ALICE, &asked.authenticator);
    client.connected();
    asked.desktop.wait_for_no_window(DIALOG);

    asked.host.stile(ALICE, &["revoke", "--all"]).succeeded();
    let gone = asked.host.connect(ALICE);
    asked.desktop.wait_for_window(DIALOG);
    gone.kill();
    asked.desktop.wait_for_no_window(DIALOG);
    assert_eq!(asked.host.pending(ALICE).len(), 0);
}

#[test]
fn what_its_program_has_given_up_goes_from_the_screen() {
    let Some(asked) = asked() else { return };
    let mut crowd = asked.host.crowd(ALICE, asked.host.server().address());
    assert_eq!(crowd.begin(1), 1);
    asked.desktop.wait_for_window(DIALOG);
    crowd.leave();
    asked.desktop.wait_for_no_window(DIALOG);
    assert_eq!(asked.host.pending(ALICE).len(), 0);
}

#[test]
fn twenty_programs_at_once_are_one_dialog() {
    let Some(asked) = asked() else { return };
    let clients: Vec<_> = (0..20).map(|_| asked.host.connect(ALICE)).collect();
    asked.host.wait_for_waiting(ALICE, 20);
    asked.desktop.wait_for_window(DIALOG);
    asked.types_a_code();
    for client in clients {
        client.connected();
    }
    assert_eq!(prompts(&asked.host, ALICE), 1);
    asked.desktop.wait_for_no_window(DIALOG);
}

#[test]
fn a_prompter_that_is_killed_leaves_no_dialog_and_the_question_stands() {
    let Some(asked) = asked() else { return };
    let client = asked.host.connect(ALICE);
    asked.desktop.wait_for_window(DIALOG);
    asked.prompter.signal(Signal::SIGKILL);
    asked.desktop.wait_for_no_window(DIALOG);
    client.still_waits();
    until("it is forgotten", || {
        (asked.host.prompters(ALICE) == 0).then_some(())
    });
    // Its successor asks.
    let variables = asked.desktop.variables(&[("XDG_CURRENT_DESKTOP", "KDE")]);
    let _next = asked.host.prompter(&asked.installed, ALICE, &variables);
    asked.desktop.wait_for_window(DIALOG);
    asked.types_a_code();
    client.connected();
}

#[test]
fn a_restarted_agent_asks_what_is_open_again() {
    let Some(mut asked) = asked() else { return };
    let client = asked.host.connect(ALICE);
    asked.desktop.wait_for_window(DIALOG);
    asked.host.restart();
    until("the prompter is back", || {
        (asked.host.prompters(ALICE) == 1).then_some(())
    });
    asked.desktop.wait_for_window(DIALOG);
    asked.types_a_code();
    client.connected();
    asked.desktop.wait_for_no_window(DIALOG);
}

#[test]
fn nobody_else_is_asked() {
    let Some(asked) = asked() else { return };
    let bobs = asked.host.connect(BOB);
    asked.host.wait_for_challenge(BOB);
    let _authenticator = asked.host.enroll(BOB);
    let alices = asked.host.connect(ALICE);
    asked.desktop.wait_for_window(DIALOG);
    asked.desktop.presses("Escape");
    alices.refused();
    asked.desktop.wait_for_no_window(DIALOG);
    bobs.still_waits();
    assert_eq!(asked.host.pending(BOB).len(), 1);
}

#[test]
fn nobody_else_sees_the_dialog_or_types_into_it() {
    let Some(asked) = asked() else { return };
    let client = asked.host.connect(ALICE);
    asked.desktop.wait_for_window(DIALOG);
    for (user, can) in [(BOB, false), (ALICE, true)] {
        let mut command = asked.host.as_user(user, "/usr/bin/xdotool");
        command.envs(asked.desktop.variables(&[]));
        command.args(["search", "--onlyvisible", "--name", DIALOG]);
        let output = Running::start(&mut command).output();
        assert_eq!(output.status.success(), can, "{}: {output:?}", user.name);
    }
    client.still_waits();
}

#[test]
fn a_copy_of_the_prompter_without_its_group_is_none() {
    let Some(asked) = asked() else { return };
    let copy = asked.desktop.home().join("stile-prompt");
    std::fs::copy(asked.installed.program("stile-prompt"), &copy).unwrap();
    std::fs::set_permissions(&copy, PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = asked
        .host
        .in_session(&asked.installed, ALICE, copy.to_str().unwrap());
    let output = Running::start(&mut command).output();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("only stile-prompt can be a prompter"),
        "{said}"
    );
    assert_eq!(asked.host.prompters(ALICE), 1);
    assert_eq!(asked.host.prompters(ROOT), 1);
}

#[test]
fn the_prompter_can_neither_be_traced_nor_read_by_its_user() {
    let Some(asked) = asked() else { return };
    let pid = asked.prompter.pid().to_string();
    for what in ["mem", "environ", "exe"] {
        let mut command = asked.host.as_user(ALICE, "/usr/bin/head");
        command.args(["-c", "1", &format!("/proc/{pid}/{what}")]);
        let output = Running::start(&mut command).output();
        assert!(!output.status.success(), "{what}");
    }
}
