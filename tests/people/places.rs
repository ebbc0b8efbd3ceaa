// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The right person in the right place, as the real logind tells it.

use stile_tests::{ALICE, Desktop, Host, Machine, cannot_run, client_program, missing, until};

use super::{policy, step_up};

#[test]
fn a_challenge_says_in_which_session_its_process_runs() {
    let mut host = Host::builder()
        .policy(&policy(&step_up("dba step-up", "db", "")))
        .without_bus()
        .stopped()
        .build();
    let Some(machine) = Machine::boot(&mut host) else {
        return cannot_run("there is no systemd-nspawn, or no pam_systemd");
    };
    let _authenticator = host.enroll(ALICE);
    let mut shell = machine.login(ALICE);
    let client = client_program();
    let address = host.server().address();
    shell.types(&format!("{} tcp {address} &", client.display()));
    let challenge = host.wait_for_challenge(ALICE);
    assert_eq!(challenge["session"], shell.session());
    // Its terminal is another file system's, and so is none that a line could be written to.
    assert_eq!(challenge["terminal"], "");
    assert_eq!(challenge["from"], "");
}

#[test]
fn nothing_is_shown_on_a_locked_screen_until_it_is_unlocked() {
    if let Some(program) = missing(&["pinentry-qt"]) {
        return cannot_run(&format!("there is no {program}"));
    }
    let mut host = Host::builder()
        .policy(&policy(&step_up("dba step-up", "db", "max_hold = \"5m\"")))
        .without_bus()
        .stopped()
        .build();
    let Some(machine) = Machine::boot(&mut host) else {
        return cannot_run("there is no systemd-nspawn, or no pam_systemd");
    };
    let Some(desktop) = Desktop::of(&host, ALICE) else {
        return cannot_run("there is no X server to draw on");
    };
    let _authenticator = host.enroll(ALICE);
    let mut shell = machine.login(ALICE);
    let session = shell.session().to_owned();
    let lock = |locked: &str| {
        let path = format!("/org/freedesktop/login1/session/_3{session}");
        let interface = "org.freedesktop.login1.Session";
        let call = ["busctl", "call", "org.freedesktop.login1", &path, interface];
        let said = machine.run(&[&call[..], &["SetLockedHint", "b", locked]].concat());
        assert_eq!(said.code, 0, "{said:?}");
    };
    let variables = desktop.variables(&[("XDG_CURRENT_DESKTOP", "KDE")]);
    let variables: Vec<_> = variables
        .iter()
        .filter(|(name, _)| name == "DISPLAY" || name.starts_with("XDG_CURRENT"))
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let prompter = format!("env {} /usr/bin/stile-prompt &", variables.join(" "));
    shell.types(&prompter);
    until("the prompter is there", || {
        (host.prompters(ALICE) == 1).then_some(())
    });
    lock("true");
    let client = client_program();
    let address = host.server().address();
    shell.types(&format!("{} tcp {address} &", client.display()));
    host.wait_for_challenge(ALICE);
    until("the prompter was asked in vain", || {
        host.log().contains("it can't be shown there").then_some(())
    });
    assert!(desktop.windows("stile").is_empty());
    lock("false");
    desktop.wait_for_window("stile");
}
