// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Namespaces: whatever a process sees of the host, the gate sees the process.

use std::net::SocketAddr;
use std::process::Command;

use nix::errno::Errno;
use stile_tests::{ALICE, Fate, Host, Probe, ROOT, Running, cannot_run, client_program, until};

use crate::places::{SESSION, ends_with_a_no, is_held_as, protected_host, seen, through};
use crate::topology::wait_for_namespace;
use crate::ways::leads_to;

pub(crate) const FORBIDDEN: &str = "users may not make these namespaces";

/// Whether alice may make such namespaces on this machine.
pub(crate) fn users_may_make(namespaces: &[&str]) -> bool {
    let mut command = Command::new("setpriv");
    command
        .args([
            "--reuid=42001",
            "--regid=42001",
            "--clear-groups",
            "unshare",
        ])
        .args(namespaces)
        .arg("true");
    command.status().is_ok_and(|status| status.success())
}

#[track_caller]
fn is_held_in(namespaces: &[&str]) {
    if !users_may_make(namespaces) {
        return cannot_run(FORBIDDEN);
    }
    for place in [("session", ALICE), (SESSION, ALICE), (SESSION, ROOT)] {
        let (mut host, server) = protected_host();
        is_held_as(ALICE, &mut host, &server, |host| {
            let programs = [&["unshare"], namespaces].concat();
            through(host, place, &programs, "tcp", &[server.address()])
        });
    }
}

#[test]
fn a_user_namespace_where_alice_is_root_is_hers() {
    is_held_in(&["--user", "--map-root-user"]);
}

#[test]
fn a_user_namespace_where_alice_is_nobody_is_hers() {
    is_held_in(&["--user"]);
}

#[test]
fn a_mount_namespace_is_hers() {
    is_held_in(&["--user", "--map-root-user", "--mount"]);
}

#[test]
fn a_pid_namespace_is_hers() {
    is_held_in(&[
        "--user",
        "--map-root-user",
        "--pid",
        "--fork",
        "--mount-proc",
    ]);
}

#[test]
fn a_cgroup_namespace_is_hers() {
    is_held_in(&["--user", "--map-root-user", "--cgroup"]);
}

#[test]
fn a_time_namespace_is_hers() {
    is_held_in(&[
        "--user",
        "--map-root-user",
        "--time",
        "--boottime",
        "1000000",
    ]);
}

/// A process with one of the uids that subuid(5) gives alice, as rootless containers have them.
fn with_a_subordinate_uid(host: &Host, cgroup: &str, to: SocketAddr) -> (Running, Command) {
    let mut container = host.in_cgroup(cgroup, ALICE, "unshare");
    let container = Running::start(container.args(["--user", "sleep", "infinity"]));
    wait_for_namespace("user", container.pid());
    let proc = format!("/proc/{}", container.pid());
    // What newuidmap(1) does for alice.
    for map in ["uid_map", "gid_map"] {
        let ranges = "0 42001 1\n1 100000 65536\n";
        std::fs::write(format!("{proc}/{map}"), ranges).expect("root may");
    }
    let target = format!("--target={}", container.pid());
    let programs = ["nsenter", &target, "--user", "--setuid=1", "--setgid=1"];
    let command = through(host, (cgroup, ROOT), &programs, "tcp", &[to]);
    (container, command)
}

#[test]
fn a_subordinate_uid_of_alices_is_hers_in_her_session() {
    if !users_may_make(&["--user"]) {
        return cannot_run(FORBIDDEN);
    }
    let (mut host, server) = protected_host();
    let to = server.address();
    let (_container, mut command) = with_a_subordinate_uid(&host, SESSION, to);
    leads_to(&server, &mut command);
    host.start();
    let before = seen(&server);
    let attempt = Probe::start(&mut command);
    ends_with_a_no(ALICE, &host, &server, before, &attempt);
}

/// Where cron's jobs run: only their uid tells whose they are.
const CRON: &str = "system.slice/cron.service";

/// It is a uid of its own, which only root can answer for.
#[test]
fn a_subordinate_uid_of_alices_outside_of_sessions_is_held() {
    if !users_may_make(&["--user"]) {
        return cannot_run(FORBIDDEN);
    }
    let (mut host, server) = protected_host();
    let (_container, mut command) = with_a_subordinate_uid(&host, CRON, server.address());
    leads_to(&server, &mut command);
    host.start();
    let before = seen(&server);
    let attempt = Probe::start(&mut command);
    let challenge = host.wait_for_challenge(ROOT);
    assert_eq!(seen(&server), before, "while held");
    assert!(host.pending(ALICE).is_empty());
    host.stile(ROOT, &["deny", &challenge["id"].to_string()])
        .succeeded();
    assert_eq!(attempt.fate(), Fate::Error(Errno::ECONNABORTED));
    assert_eq!(seen(&server), before, "afterwards");
}

/// S2: a grant ends by the host's clock, whatever a process may think of the time.
#[test]
fn a_clock_of_alices_own_makes_no_grant_last_longer() {
    if !users_may_make(&["--user", "--map-root-user", "--time"]) {
        return cannot_run(FORBIDDEN);
    }
    for boottime in ["1000000", "-30"] {
        let host = Host::builder().ttl("2s").cgroup(SESSION).build();
        let authenticator = host.enroll(ALICE);
        let in_another_time = |host: &Host| {
            let mut command = host.in_cgroup(SESSION, ALICE, "unshare");
            command
                .args([
                    "--user",
                    "--map-root-user",
                    "--time",
                    "--boottime",
                    boottime,
                ])
                .arg(client_program())
                .args(["tcp", &host.server().address().to_string()]);
            stile_tests::Client::start(&mut command)
        };
        let mut client = in_another_time(&host);
        host.wait_for_challenge(ALICE);
        host.approve(ALICE, &authenticator);
        client.connected();
        client.talks();
        client.listen();
        assert_eq!(client.heard(), Err(Errno::ECONNABORTED));
        until("the grant is over", || {
            host.grants(ALICE).is_empty().then_some(())
        });
        let before = seen(host.server());
        let next = in_another_time(&host);
        host.wait_for_challenge(ALICE);
        next.still_waits();
        assert_eq!(seen(host.server()), before);
    }
}
