// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What takes an administrator, where the real polkit says who is one.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;
use stile_tests::{
    ALICE, Authenticator, BOB, Host, Machine, Said, Shell, User, cannot_run, client_program,
    missing,
};

use super::{policy, step_up};

/// What is said to everybody else.
const REFUSED: &str = "only an administrator may do this";

/// A machine whose polkit lets the group `dba`, of which only alice is a member, do one thing.
/// `None`, having said so, where it can't run.
fn machine_where_dbas_may(action: &str) -> Option<(Host, Machine)> {
    if let Some(program) = missing(&["pkaction"]) {
        cannot_run(&format!("there is no {program}"));
        return None;
    }
    let mut host = Host::builder()
        .policy(&policy(&step_up("dba step-up", "db", "")))
        .without_bus()
        .stopped()
        .build();
    let Some(machine) = Machine::boot(&mut host) else {
        cannot_run("there is no systemd-nspawn, or no pam_systemd");
        return None;
    };
    let rule = format!(
        "polkit.addRule(function(action, subject) {{\n\
         if (action.id == \"{action}\" && subject.isInGroup(\"dba\")) {{\n\
         return polkit.Result.YES;\n}}\n}});\n"
    );
    let path = machine.root().join("etc/polkit-1/rules.d/50-stile.rules");
    fs::write(&path, rule).unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    machine.run(&["systemctl", "restart", "polkit"]).succeeded();
    Some((host, machine))
}

/// A connection of this user's in a login of theirs, under a grant.
fn connected(host: &Host, machine: &Machine, user: User) -> (Shell, Authenticator) {
    let authenticator = host.enroll(user);
    let mut shell = machine.login(user);
    let (client, address) = (client_program(), host.server().address());
    shell.types(&format!("{} tcp {address} &", client.display()));
    host.wait_for_challenge(user);
    host.approve(user, &authenticator);
    shell.shows("connected ");
    (shell, authenticator)
}

/// Enrolls another user, up to the code.
fn enroll_other(machine: &Machine, by: User, other: User) -> Said {
    let mut process = machine.start_as(by, &["stile", "enroll", "--json", "--user", other.name]);
    let mut line = String::new();
    let mut output = BufReader::new(process.child().stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    if let Ok(enrollment) = serde_json::from_str::<Value>(&line) {
        let authenticator = Authenticator::new(enrollment["secret"].as_str().unwrap());
        let mut input = process.child().stdin.take().unwrap();
        writeln!(input, "{}", authenticator.fresh_code()).unwrap();
    }
    process.output().into()
}

#[test]
fn whom_polkit_lets_revokes_what_others_have_and_nobody_else_does() {
    let Some((host, machine)) = machine_where_dbas_may("org.stile.revoke-others") else {
        return;
    };
    let _alice = connected(&host, &machine, ALICE);
    let _bob = connected(&host, &machine, BOB);
    let revoke = |by, of: User| {
        let command = ["stile", "revoke", "--all", "--user", of.name];
        machine.run_as(by, &command)
    };
    revoke(BOB, ALICE).failed(1, REFUSED);
    assert_eq!(host.grants(ALICE).len(), 1);
    revoke(ALICE, BOB).succeeded();
    assert_eq!(host.grants(BOB).len(), 0);
    assert_eq!(host.grants(ALICE).len(), 1);
    // One thing isn't the other.
    machine
        .run_as(ALICE, &["stile", "reload"])
        .failed(1, REFUSED);
    enroll_other(&machine, ALICE, BOB).failed(1, REFUSED);
}

#[test]
fn whom_polkit_lets_reloads_the_policy_and_nobody_else_does() {
    let Some((host, machine)) = machine_where_dbas_may("org.stile.reload") else {
        return;
    };
    host.write_policy(&policy(&step_up("another rule", "db", "")));
    machine.run_as(BOB, &["stile", "reload"]).failed(1, REFUSED);
    assert!(!host.log().contains("reloaded"));
    machine.run_as(ALICE, &["stile", "reload"]).succeeded();
    let mut shell = machine.login(ALICE);
    let (client, address) = (client_program(), host.server().address());
    shell.types(&format!("{} tcp {address} &", client.display()));
    assert_eq!(host.wait_for_challenge(ALICE)["rule"], "another rule");
}

#[test]
fn whom_polkit_lets_enrolls_others_and_nobody_else_does() {
    let Some((host, machine)) = machine_where_dbas_may("org.stile.enroll-others") else {
        return;
    };
    let of_alice = host.enroll(ALICE);
    enroll_other(&machine, BOB, ALICE).failed(1, REFUSED);
    enroll_other(&machine, ALICE, BOB).succeeded();
    // What was refused has changed nothing.
    let mut shell = machine.login(ALICE);
    let (client, address) = (client_program(), host.server().address());
    shell.types(&format!("{} tcp {address} &", client.display()));
    host.wait_for_challenge(ALICE);
    host.approve(ALICE, &of_alice);
    shell.shows("connected ");
}

#[test]
fn without_polkit_only_root_is_an_administrator() {
    let Some((host, machine)) = machine_where_dbas_may("org.stile.revoke-others") else {
        return;
    };
    let _bob = connected(&host, &machine, BOB);
    let stop = ["systemctl", "mask", "--runtime", "--now", "polkit"];
    machine.run(&stop).succeeded();
    let command = ["stile", "revoke", "--all", "--user", BOB.name];
    machine.run_as(ALICE, &command).failed(1, REFUSED);
    assert_eq!(host.grants(BOB).len(), 1);
    machine.run(&command).succeeded();
    assert_eq!(host.grants(BOB).len(), 0);
}
