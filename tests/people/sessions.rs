// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who is asked, and what they are told of where it came from: ssh, su, sudo and services, in a
//! booted systemd with the real sshd, PAM and logind.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;
use stile_tests::{
    ALICE, Authenticator, BOB, Host, Machine, Shell, Sshd, cannot_run, client_program, missing,
    until,
};

use super::{policy, step_up};

/// Where alice sits when she comes over ssh.
const DESK: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 77));
const SOFA: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 78));

/// A machine with these rules, on which alice is enrolled. `None`, having said so, where it
/// can't run.
fn machine(rules: &str) -> Option<(Host, Machine, Authenticator)> {
    let mut host = Host::builder()
        .policy(&policy(rules))
        .without_bus()
        .stopped()
        .build();
    let Some(machine) = Machine::boot(&mut host) else {
        cannot_run("there is no systemd-nspawn, or no pam_systemd");
        return None;
    };
    let authenticator = host.enroll(ALICE);
    Some((host, machine, authenticator))
}

fn step_up_machine() -> Option<(Host, Machine, Authenticator)> {
    machine(&step_up("dba step-up", "db", ""))
}

/// What connects to the host's server, as a shell would be told.
fn connect(host: &Host) -> String {
    format!(
        "{} tcp {}",
        client_program().display(),
        host.server().address()
    )
}

/// The uid that a process runs as.
fn uid_of(challenge: &Value) -> u32 {
    let status = fs::read_to_string(format!("/proc/{}/status", challenge["pid"])).unwrap();
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    let real = uids.unwrap().split_whitespace().next();
    real.unwrap().parse().unwrap()
}

#[test]
fn who_came_over_ssh_is_told_from_where_and_answers_in_a_second_login() {
    let Some((host, machine, authenticator)) = step_up_machine() else {
        return;
    };
    let Some(sshd) = Sshd::in_machine(&host, &machine) else {
        return cannot_run("OpenSSH is not installed");
    };
    let mut first = machine.login_over(&sshd, ALICE, DESK);
    first.types(&format!("{} &", connect(&host)));
    let challenge = host.wait_for_challenge(ALICE);
    assert_eq!(challenge["session"], first.session());
    assert_eq!(challenge["from"], DESK.to_string());
    // In another namespace of processes, and so none that a line could be written to.
    assert_eq!(challenge["terminal"], "");

    let mut second = machine.login_over(&sshd, ALICE, SOFA);
    assert_ne!(second.session(), first.session());
    second.types("stile approve");
    second.shows("code:");
    second.types(&authenticator.fresh_code());
    first.shows("connected ");
    assert_eq!(host.grants(ALICE).len(), 1);
}

/// Whose login it is is asked, whoever the program runs as.
fn alice_is_asked_for_what_runs_as_bob(host: &Host, shell: &Shell, authenticator: &Authenticator) {
    let challenge = host.wait_for_challenge(ALICE);
    assert_eq!(uid_of(&challenge), BOB.uid);
    assert_eq!(challenge["uid"], ALICE.uid);
    assert_eq!(challenge["session"], shell.session());
    assert_eq!(challenge["from"], DESK.to_string());
    assert_eq!(host.pending(BOB).len(), 0);
    host.approve(ALICE, authenticator);
    shell.shows("connected ");
    assert_eq!(host.grants(BOB).len(), 0);
}

#[test]
fn who_runs_a_program_as_another_user_by_su_is_asked_themselves() {
    let Some((host, machine, authenticator)) = step_up_machine() else {
        return;
    };
    let Some(sshd) = Sshd::in_machine(&host, &machine) else {
        return cannot_run("OpenSSH is not installed");
    };
    // Without a password: that isn't what is tried.
    let pam = machine.root().join("etc/pam.d/su");
    let rules = fs::read_to_string(&pam).unwrap();
    fs::write(pam, format!("auth sufficient pam_permit.so\n{rules}")).unwrap();
    let mut shell = machine.login_over(&sshd, ALICE, DESK);
    shell.types(&format!("su - bob -c '{}'", connect(&host)));
    alice_is_asked_for_what_runs_as_bob(&host, &shell, &authenticator);
}

#[test]
fn who_runs_a_program_as_another_user_by_sudo_is_asked_themselves() {
    if let Some(program) = missing(&["sudo"]) {
        return cannot_run(&format!("there is no {program}"));
    }
    let Some((host, machine, authenticator)) = step_up_machine() else {
        return;
    };
    let Some(sshd) = Sshd::in_machine(&host, &machine) else {
        return cannot_run("OpenSSH is not installed");
    };
    let rule = machine.root().join("etc/sudoers.d/alice");
    fs::write(&rule, "alice ALL=(bob) NOPASSWD: ALL\n").unwrap();
    fs::set_permissions(&rule, PermissionsExt::from_mode(0o440)).unwrap();
    let mut shell = machine.login_over(&sshd, ALICE, DESK);
    shell.types(&format!("sudo -u bob {}", connect(&host)));
    alice_is_asked_for_what_runs_as_bob(&host, &shell, &authenticator);
}

#[test]
fn what_a_users_manager_starts_is_theirs_and_of_the_login_that_audit_tells() {
    let Some((host, machine, authenticator)) = step_up_machine() else {
        return;
    };
    let Some(sshd) = Sshd::in_machine(&host, &machine) else {
        return cannot_run("OpenSSH is not installed");
    };
    let mut shell = machine.login_over(&sshd, ALICE, DESK);
    // As terminals of desktops start shells.
    shell.types(&format!("systemd-run --user --scope {} &", connect(&host)));
    let challenge = host.wait_for_challenge(ALICE);
    assert_eq!(challenge["session"], shell.session());
    assert_eq!(challenge["from"], DESK.to_string());
    host.approve(ALICE, &authenticator);
    shell.shows("connected ");
    host.stile(ALICE, &["revoke", "--all"]).succeeded();
    // The manager's own child is nobody's login.
    shell.types(&format!("systemd-run --user {}", connect(&host)));
    let challenge = host.wait_for_challenge(ALICE);
    assert_eq!(challenge["session"], "");
    assert_eq!(challenge["from"], "");
}

/// Starts what connects as a system service of alice's, as cron and timers do.
fn start_service(host: &Host, machine: &Machine) {
    let run = ["systemd-run", "--unit=report", "--uid=alice", "--"];
    let address = host.server().address().to_string();
    let client = client_program();
    let command = [client.to_str().unwrap(), "tcp", &address];
    machine.run(&[&run[..], &command].concat()).succeeded();
}

#[test]
fn for_a_service_of_theirs_a_user_is_asked_without_a_session_of_theirs_being_guessed() {
    let Some((host, machine, authenticator)) = step_up_machine() else {
        return;
    };
    // She is there, but it isn't this session's.
    let _shell = machine.login(ALICE);
    start_service(&host, &machine);
    let challenge = host.wait_for_challenge(ALICE);
    assert_eq!(uid_of(&challenge), ALICE.uid);
    for unknown in ["session", "from", "terminal"] {
        assert_eq!(challenge[unknown], "", "{unknown}");
    }
    assert_eq!(challenge["parent"], "systemd");
    host.approve(ALICE, &authenticator);
    until("the service is connected", || {
        (host.grants(ALICE).len() == 1).then_some(())
    });
}

#[test]
fn a_service_that_no_rule_lets_pass_is_refused_and_nobody_is_asked() {
    let rules = format!(
        "[[rule]]\nname = \"services\"\nendpoints = [\"db\"]\nusers = [\"*\"]\n\
         when = {{ remote = true }}\naction = \"deny\"\n\n{}",
        step_up("dba step-up", "db", "")
    );
    let Some((host, machine, _authenticator)) = machine(&rules) else {
        return;
    };
    // A login at the machine's own seat isn't remote, and is asked.
    let mut shell = machine.login_at_seat(ALICE);
    shell.types(&format!("{} &", connect(&host)));
    host.wait_for_challenge(ALICE);
    shell.types("kill $!");
    until("nobody is asked", || {
        host.pending(ALICE).is_empty().then_some(())
    });
    // Of a service it can't be told, and the stricter case counts.
    start_service(&host, &machine);
    until("the service has ended", || {
        let state = ["systemctl", "show", "--value", "--property=ActiveState"];
        let said = machine.run(&[&state[..], &["report"]].concat());
        matches!(said.stdout.trim(), "failed" | "inactive").then_some(())
    });
    let records = host.audit().records();
    assert_eq!(records.of("challenge").len(), 1);
}
