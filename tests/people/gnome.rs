// SPDX-License-Identifier: Apache-2.0 OR MIT
//! GNOME's own dialog, by gcr's prompter, which draws it outside of GNOME Shell.

use stile_tests::ALICE;

use super::prompts;
use super::scene::{Asked, DIALOG, asked_by};

/// The session bus starts it.
const PROMPTER: &str = "gcr-prompter";

fn asked() -> Option<Asked> {
    asked_by(PROMPTER, "GNOME", &[])
}

/// Waits for its dialog, and for nobody else's.
fn wait_for_dialog(asked: &Asked) {
    asked.desktop.wait_for_window(DIALOG);
    let pid = asked.desktop.process_of(DIALOG).unwrap();
    let program = std::fs::read_link(format!("/proc/{}/exe", pid.trim())).unwrap();
    assert_eq!(program.file_name().unwrap(), PROMPTER);
}

#[test]
fn a_code_typed_into_gnomes_dialog_lets_the_connection_go_on() {
    let Some(asked) = asked() else { return };
    let mut client = asked.host.connect(ALICE);
    wait_for_dialog(&asked);
    asked.desktop.screenshot(DIALOG, "dialog-gnome");
    asked.types_a_code();
    client.connected();
    client.talks();
    asked.desktop.wait_for_no_window(DIALOG);
    let records = asked.host.audit().records();
    assert_eq!(records.the("factor")["outcome"], "accepted");
}

#[test]
fn gnomes_dialog_asks_again_after_a_wrong_code() {
    let Some(asked) = asked() else { return };
    let client = asked.host.connect(ALICE);
    wait_for_dialog(&asked);
    let first = asked.dialog();
    asked.types(&asked.authenticator.wrong_code());
    asked.wait_for_other_dialog(&first);
    wait_for_dialog(&asked);
    asked.desktop.screenshot(DIALOG, "dialog-gnome-wrong-code");
    client.still_waits();
    asked.types_a_code();
    client.connected();
}

#[test]
fn escape_in_gnomes_dialog_refuses() {
    let Some(asked) = asked() else { return };
    let client = asked.host.connect(ALICE);
    wait_for_dialog(&asked);
    asked.desktop.presses("Escape");
    client.refused();
    asked.desktop.wait_for_no_window(DIALOG);
    assert_eq!(prompts(&asked.host, ALICE), 1);
    assert!(asked.host.pending(ALICE).is_empty());
}

#[test]
fn what_is_answered_elsewhere_goes_from_gnomes_dialog() {
    let Some(asked) = asked() else { return };
    let client = asked.host.connect(ALICE);
    wait_for_dialog(&asked);
    asked.host.approve(ALICE, &asked.authenticator);
    client.connected();
    asked.desktop.wait_for_no_window(DIALOG);
}
