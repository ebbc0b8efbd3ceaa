// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Dialogs ask why first, where a rule asks for a reason.

use stile_tests::{ALICE, Host};

use super::scene::{Asked, DIALOG, asked_at};
use super::{policy, prompts, step_up};

/// Where this program asks for a ticket's number.
fn asked(program: &str, desktop: &str) -> Option<Asked> {
    let reason = "reason = { pattern = \"[A-Z]+-[0-9]+\", prompt = \"ticket\" }";
    let rule = step_up("dba step-up", "db", reason);
    let host = Host::builder().policy(&policy(&rule)).build();
    asked_at(host, program, desktop, &[])
}

/// Gives a reason that doesn't do, one that does, and then the code.
fn answers_why(asked: &Asked, picture: &str) {
    let mut client = asked.host.connect(ALICE);
    asked.desktop.wait_for_window(DIALOG);
    asked.desktop.screenshot(DIALOG, picture);
    let first = asked.dialog();
    asked.types("because");
    asked.wait_for_other_dialog(&first);
    asked
        .desktop
        .screenshot(DIALOG, &format!("{picture}-wrong"));
    let second = asked.dialog();
    asked.types("OPS-42");
    asked.wait_for_other_dialog(&second);
    client.still_waits();
    asked.types_a_code();
    client.connected();
    client.talks();
    asked.desktop.wait_for_no_window(DIALOG);
    assert_eq!(prompts(&asked.host, ALICE), 1);
    let records = asked.host.audit().records();
    let used = records.of("factor");
    assert_eq!(used.len(), 1);
    assert_eq!(used[0]["reason"], "OPS-42");
}

#[test]
fn the_dialog_asks_why_before_it_asks_for_a_code() {
    let Some(asked) = asked("pinentry-qt", "KDE") else {
        return;
    };
    answers_why(&asked, "dialog-reason");
}

#[test]
fn gnomes_dialog_asks_why_too() {
    let Some(asked) = asked("gcr-prompter", "GNOME") else {
        return;
    };
    answers_why(&asked, "dialog-reason-gnome");
}
