// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The right person in the right place, as the real logind tells it.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::chown;

use stile_tests::{
    ALICE, Authenticator, BOB, Desktop, Host, Machine, Shell, cannot_run, client_program, missing,
    until,
};

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

/// A machine with a desktop of alice's on an X server. Its fields end from first to last, and the
/// machine ends before its host does.
struct Desk {
    machine: Machine,
    host: Host,
    desktop: Desktop,
    _authenticator: Authenticator,
}

/// `None`, having said so, where it can't run.
fn desk() -> Option<Desk> {
    if let Some(program) = missing(&["pinentry-qt"]) {
        cannot_run(&format!("there is no {program}"));
        return None;
    }
    let mut host = Host::builder()
        .policy(&policy(&step_up("dba step-up", "db", "max_hold = \"5m\"")))
        .without_bus()
        .stopped()
        .build();
    let Some(machine) = Machine::boot(&mut host) else {
        cannot_run("there is no systemd-nspawn, or no pam_systemd");
        return None;
    };
    let desktop = Desktop::of(&host, ALICE)?;
    let authenticator = host.enroll(ALICE);
    Some(Desk {
        machine,
        host,
        desktop,
        _authenticator: authenticator,
    })
}

impl Desk {
    /// What tells a program in the machine which desktop it is on, and lets it draw there.
    fn variables_of(&self, desktop: &Desktop) -> String {
        let variables: HashMap<_, _> = desktop.variables(&[]).into_iter().collect();
        let display = &variables["DISPLAY"];
        let key = format!("etc/Xauthority{display}");
        let copy = self.machine.root().join(&key);
        fs::copy(&variables["XAUTHORITY"], &copy).unwrap();
        chown(copy, Some(ALICE.uid), Some(ALICE.uid)).unwrap();
        format!("DISPLAY={display} XAUTHORITY=/{key} XDG_CURRENT_DESKTOP=KDE")
    }

    /// Starts a prompter in a login of alice's, as a desktop's autostart does.
    fn prompter_in(&self, shell: &mut Shell, desktop: &Desktop) {
        let known = self.host.prompters(ALICE);
        let variables = self.variables_of(desktop);
        shell.types(&format!("env {variables} /usr/bin/stile-prompt &"));
        until("the prompter is there", || {
            (self.host.prompters(ALICE) == known + 1).then_some(())
        });
    }

    /// Starts the one of alice's service manager, as its unit does.
    fn prompter_of_manager(&self, shell: &mut Shell) {
        let unit = "stile-prompt.service";
        let packaged = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../packaging/systemd/user/stile-prompt.service"
        );
        let units = self.machine.root().join("usr/lib/systemd/user");
        fs::copy(packaged, units.join(unit)).unwrap();
        let variables = self.variables_of(&self.desktop);
        shell.types("systemctl --user daemon-reload");
        shell.types(&format!("systemctl --user set-environment {variables}"));
        shell.types(&format!("systemctl --user start {unit}"));
        until("the prompter is there", || {
            (self.host.prompters(ALICE) == 1).then_some(())
        });
        let prompters = self.host.stile(ALICE, &["prompters", "--json"]).json();
        assert_eq!(prompters[0]["session"], "", "a manager has no session");
    }

    fn connect_in(&self, shell: &mut Shell) {
        let (client, address) = (client_program(), self.host.server().address());
        shell.types(&format!("{} tcp {address} &", client.display()));
    }

    fn lock(&self, shell: &Shell, locked: &str) {
        let path = format!("/org/freedesktop/login1/session/_3{}", shell.session());
        let interface = "org.freedesktop.login1.Session";
        let call = ["busctl", "call", "org.freedesktop.login1", &path, interface];
        let said = self
            .machine
            .run(&[&call[..], &["SetLockedHint", "b", locked]].concat());
        assert_eq!(said.code, 0, "{said:?}");
    }

    /// Waits until the question came to a prompter that had nowhere to show it.
    fn was_asked_in_vain(&self) {
        until("the prompter was asked in vain", || {
            let said = self.host.log().contains("it can't be shown there");
            said.then_some(())
        });
        assert!(self.desktop.windows("stile").is_empty());
    }
}

#[test]
fn nothing_is_shown_on_a_locked_screen_until_it_is_unlocked() {
    let Some(desk) = desk() else { return };
    let mut shell = desk.machine.login(ALICE);
    desk.prompter_in(&mut shell, &desk.desktop);
    desk.lock(&shell, "true");
    desk.connect_in(&mut shell);
    desk.host.wait_for_challenge(ALICE);
    desk.was_asked_in_vain();
    desk.lock(&shell, "false");
    desk.desktop.wait_for_window("stile");
}

#[test]
fn a_prompter_of_the_users_manager_draws_nothing_on_a_locked_screen_either() {
    let Some(desk) = desk() else { return };
    let mut shell = desk.machine.login(ALICE);
    desk.prompter_of_manager(&mut shell);
    desk.lock(&shell, "true");
    desk.connect_in(&mut shell);
    desk.host.wait_for_challenge(ALICE);
    desk.was_asked_in_vain();
    desk.lock(&shell, "false");
    desk.desktop.wait_for_window("stile");
}

#[test]
fn nothing_is_shown_while_another_user_has_the_screen() {
    let Some(desk) = desk() else { return };
    let mut shell = desk.machine.login_at_seat(ALICE);
    desk.prompter_in(&mut shell, &desk.desktop);
    let active = |session: &str| desk.machine.of_session(session, "Active");
    assert_eq!(active(shell.session()), "yes");
    let bobs = desk.machine.login_at_seat(BOB);
    assert_eq!(active(bobs.session()), "yes");
    assert_eq!(active(shell.session()), "no");
    desk.connect_in(&mut shell);
    desk.host.wait_for_challenge(ALICE);
    desk.was_asked_in_vain();
    let switch = ["loginctl", "activate", shell.session()];
    desk.machine.run(&switch).succeeded();
    assert_eq!(active(shell.session()), "yes");
    desk.desktop.wait_for_window("stile");
}

#[test]
fn of_two_sessions_of_a_user_the_one_of_the_process_is_asked() {
    let Some(desk) = desk() else { return };
    let other = Desktop::of(&desk.host, ALICE).unwrap();
    let mut shells = [desk.machine.login(ALICE), desk.machine.login(ALICE)];
    let desktops = [&desk.desktop, &other];
    for (shell, desktop) in shells.iter_mut().zip(desktops) {
        desk.prompter_in(shell, desktop);
    }
    for (here, there) in [(1, 0), (0, 1)] {
        desk.connect_in(&mut shells[here]);
        let challenge = desk.host.wait_for_challenge(ALICE);
        assert_eq!(challenge["session"], shells[here].session());
        desktops[here].wait_for_window("stile");
        assert!(desktops[there].windows("stile").is_empty());
        shells[here].types("kill $!");
        desktops[here].wait_for_no_window("stile");
    }
}

#[test]
fn for_a_service_of_theirs_a_user_is_asked_on_the_screen_that_they_see() {
    let Some(desk) = desk() else { return };
    let mut shell = desk.machine.login(ALICE);
    desk.prompter_in(&mut shell, &desk.desktop);
    let (client, address) = (client_program(), desk.host.server().address().to_string());
    let run = ["systemd-run", "--unit=report", "--uid=alice", "--"];
    let command = [client.to_str().unwrap(), "tcp", &address];
    desk.machine.run(&[&run[..], &command].concat()).succeeded();
    assert_eq!(desk.host.wait_for_challenge(ALICE)["session"], "");
    desk.desktop.wait_for_window("stile");
}
