// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A system bus that ends and comes back with a question open.

use stile_tests::{ALICE, Desktop, Host, Installed, cannot_run, missing, until};

use super::{policy, prompts, step_up};

#[test]
fn a_question_comes_back_with_the_bus_and_its_answer_lets_the_connection_go_on() {
    if let Some(program) = missing(&["pinentry-qt"]) {
        return cannot_run(&format!("there is no {program}"));
    }
    let mut host = Host::builder()
        .policy(&policy(&step_up("dba step-up", "db", "max_hold = \"5m\"")))
        .build();
    let installed = Installed::new();
    let Some(desktop) = Desktop::of(&host, ALICE) else {
        return cannot_run("there is no X server to draw on");
    };
    let authenticator = host.enroll(ALICE);
    let variables = desktop.variables(&[("XDG_CURRENT_DESKTOP", "KDE")]);
    let mut prompter = host.prompter(&installed, ALICE, &variables);
    let mut client = host.connect(ALICE);
    desktop.wait_for_window("stile");

    host.stop_bus();
    // Nobody could take an answer now, so nobody is asked for one.
    desktop.wait_for_no_window("stile");
    assert!(!prompter.wait().success());
    until("the agent notices", || {
        let lost = "the D-Bus system bus was lost";
        host.log().contains(lost).then_some(())
    });
    client.still_waits();
    let other = host.connect(ALICE);
    other.still_waits();

    host.start_bus();
    host.wait_for_bus();
    // It ends with the bus, and its unit starts the next one (`Restart=always`).
    let _next = host.prompter(&installed, ALICE, &variables);
    desktop.wait_for_window("stile");
    desktop.types(&authenticator.fresh_code());
    desktop.presses("Return");
    client.connected();
    client.talks();
    other.connected();
    desktop.wait_for_no_window("stile");
    assert_eq!(prompts(&host, ALICE), 1);
}
