// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where there is only a terminal: a popup over tmux, in which `stile approve` asks.

use stile_tests::{ALICE, Host, Installed, cannot_run, missing, screenshots};

use super::{policy, prompts, step_up};

#[test]
fn a_popup_asks_in_tmux_and_goes_when_it_is_answered() {
    if let Some(program) = missing(&["tmux"]) {
        return cannot_run(&format!("there is no {program}"));
    }
    let host = Host::builder()
        .policy(&policy(&step_up("dba step-up", "db", "")))
        .build();
    let installed = Installed::new();
    let authenticator = host.enroll(ALICE);
    let mut screen = host.tmux(&installed, ALICE, (80, 24));
    screen.shows("$");
    let _prompter = host.prompter(&installed, ALICE, &[]);
    let mut client = host.connect(ALICE);
    let seen = screen.shows("code:");
    assert!(seen.contains("wants to reach db"), "{seen}");
    if let Some(folder) = screenshots() {
        std::fs::write(folder.join("tmux.txt"), &seen).unwrap();
    }
    screen.types(&format!("{}\r", authenticator.fresh_code()));
    client.connected();
    client.talks();
    screen.shows("$");
    assert_eq!(prompts(&host, ALICE), 1);

    // What is answered elsewhere goes from the screen.
    host.stile(ALICE, &["revoke", "--all"]).succeeded();
    let client = host.connect(ALICE);
    screen.shows("wants to reach db");
    host.approve(ALICE, &authenticator);
    client.connected();
    screen.shows_no("wants to reach db");
}
