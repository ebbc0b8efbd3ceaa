// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sessions, services and what cgroups a process goes through. Nothing here runs under
//! systemd: processes are put where it puts them.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Stdio;

use stile_tests::{ALICE, BOB, Fate, Host, POSTGRES, Probe, ROOT, User, until};

use crate::places::{
    APP, SERVICE, SESSION, ends_with_a_no, is_held_as, move_to, protected_host,
    second_step_is_held_as, second_step_is_refused, seen, through,
};
use crate::ways::{arrived_nothing_since, is_refused, leads_to};

/// Has this user's process in this cgroup try to connect, and to send a datagram.
#[track_caller]
fn is_alices(cgroup: &str, user: User) {
    let (mut host, server) = protected_host();
    let to = [server.address()];
    is_held_as(ALICE, &mut host, &server, |host| {
        through(host, (cgroup, user), &[], "tcp", &to)
    });
    let (mut host, server) = protected_host();
    let to = [server.address()];
    is_refused(&mut host, &server, |host| {
        through(host, (cgroup, user), &[], "udp-unconnected", &to)
    });
}

/// The uid tells.
#[test]
fn what_cron_starts_for_alice_is_hers() {
    is_alices("system.slice/cron.service", ALICE);
}

#[test]
fn what_at_starts_for_alice_is_hers() {
    is_alices("system.slice/atd.service", ALICE);
}

#[test]
fn what_systemd_run_starts_for_alice_is_hers() {
    is_alices("system.slice/run-u1.service", ALICE);
}

#[test]
fn a_timer_of_a_lingering_alice_is_hers() {
    is_alices(APP, ALICE);
}

/// The slice tells.
#[test]
fn root_in_alices_session_is_alice() {
    is_alices(SESSION, ROOT);
}

#[test]
fn a_user_that_is_not_gated_is_alice_in_her_session() {
    is_alices(SESSION, POSTGRES);
}

#[test]
fn bob_is_alice_in_her_session() {
    is_alices(SESSION, BOB);
}

#[test]
fn a_service_of_roots_passes() {
    let (mut host, server) = protected_host();
    host.start();
    for way in ["tcp", "udp-connected", "udp-unconnected"] {
        let before = server.bytes();
        let command = &mut through(&host, (SERVICE, ROOT), &[], way, &[server.address()]);
        assert_eq!(Probe::start(command).fate(), Fate::Sent, "{way}");
        until("the server gets the data", || {
            (server.bytes() > before).then_some(())
        });
    }
}

/// Gives alice a cgroup, as systemd delegates one to her own service manager.
fn delegate(host: &Host, cgroup: &str) {
    let path = host.cgroup().join(cgroup);
    fs::create_dir_all(&path).expect("root may");
    for file in ["", "cgroup.procs", "cgroup.subtree_control"] {
        chown(path.join(file), Some(ALICE.uid), Some(ALICE.uid)).expect("root may");
    }
}

/// Alice makes a cgroup and moves herself into it, and becomes the probe.
const MOVE_DOWN: &str = r#"mkdir -p "$0" && echo $$ > "$0/cgroup.procs" && exec "$@""#;

fn below(host: &Host, cgroup: &str) -> String {
    let path = host.cgroup().join(cgroup);
    path.to_str().expect("a path of ours").to_owned()
}

#[test]
fn a_cgroup_that_alice_makes_below_her_session_is_hers() {
    let (mut host, server) = protected_host();
    delegate(&host, APP);
    let child = below(&host, &format!("{APP}/child"));
    is_held_as(ALICE, &mut host, &server, |host| {
        let programs = ["/bin/sh", "-c", MOVE_DOWN, &child];
        through(host, (APP, ALICE), &programs, "tcp", &[server.address()])
    });
}

#[test]
fn a_cgroup_that_alice_names_like_bobs_session_is_hers() {
    let (mut host, server) = protected_host();
    delegate(&host, APP);
    let child = below(&host, &format!("{APP}/user.slice/user-42002.slice/a.scope"));
    is_held_as(ALICE, &mut host, &server, |host| {
        let programs = ["/bin/sh", "-c", MOVE_DOWN, &child];
        through(host, (APP, ALICE), &programs, "tcp", &[server.address()])
    });
}

#[test]
fn a_cgroup_namespace_hides_no_session() {
    let (mut host, server) = protected_host();
    is_held_as(ALICE, &mut host, &server, |host| {
        let programs = ["unshare", "--cgroup"];
        through(host, (SESSION, ROOT), &programs, "tcp", &[server.address()])
    });
}

#[test]
fn a_connect_is_still_held_when_its_process_leaves_the_session() {
    let (mut host, server) = protected_host();
    let to = [server.address()];
    leads_to(
        &server,
        &mut through(&host, (SESSION, ROOT), &[], "tcp", &to),
    );
    host.start();
    let before = seen(&server);
    let attempt = Probe::start(&mut through(&host, (SESSION, ROOT), &[], "tcp", &to));
    host.wait_for_challenge(ALICE);
    move_to(&host, SERVICE, attempt.pid());
    ends_with_a_no(ALICE, &host, &server, before, &attempt);
}

#[test]
fn a_connection_ends_with_its_grant_when_its_process_has_left_the_session() {
    let host = Host::builder().cgroup(SESSION).build();
    let authenticator = host.enroll(ALICE);
    let mut client = host.connect_in(SESSION, ROOT);
    host.wait_for_challenge(ALICE);
    host.approve(ALICE, &authenticator);
    client.connected();
    move_to(&host, SERVICE, client.pid());
    client.talks();
    client.listen();
    host.stile(ALICE, &["revoke", "--all"]).succeeded();
    assert_eq!(client.heard(), Err(nix::errno::Errno::ECONNABORTED));
}

/// A login program of root's, say, which becomes part of the session that it opens.
#[test]
fn a_socket_made_before_its_process_joined_the_session_is_held() {
    let (mut host, server) = protected_host();
    second_step_is_held_as(
        ALICE,
        (&mut host, &server),
        |host| through(host, (SERVICE, ROOT), &[], "tcp-later", &[server.address()]),
        |host, attempt| {
            host.start();
            move_to(host, SESSION, attempt.pid());
        },
    );
}

#[test]
fn a_datagram_of_a_socket_made_before_its_process_joined_the_session_is_refused() {
    let (mut host, server) = protected_host();
    second_step_is_refused(
        (&mut host, &server),
        |host| through(host, (SERVICE, ROOT), &[], "udp-later", &[server.address()]),
        |host, attempt| {
            host.start();
            move_to(host, SESSION, attempt.pid());
        },
    );
}

/// The packets of a socket are those of the cgroup that it was made in.
#[test]
fn a_datagram_of_a_socket_made_in_a_session_that_its_process_has_left_is_refused() {
    let (mut host, server) = protected_host();
    second_step_is_refused(
        (&mut host, &server),
        |host| through(host, (SESSION, ROOT), &[], "udp-later", &[server.address()]),
        |host, attempt| {
            host.start();
            move_to(host, SERVICE, attempt.pid());
        },
    );
}

#[test]
fn alice_cannot_leave_her_session_by_herself() {
    let (mut host, server) = protected_host();
    delegate(&host, APP);
    fs::create_dir_all(host.cgroup().join(SERVICE)).expect("root may");
    host.start();
    let outside = below(&host, SERVICE);
    let programs = ["/bin/sh", "-c", MOVE_DOWN, &outside];
    let command = &mut through(&host, (APP, ALICE), &programs, "tcp", &[server.address()]);
    let status = command.stdin(Stdio::null()).stderr(Stdio::null()).status();
    assert!(!status.expect("a shell").success());
    let members = fs::read_to_string(Path::new(&outside).join("cgroup.procs"));
    assert_eq!(members.expect("root may"), "");
    assert_eq!(seen(&server), (0, 0));
    arrived_nothing_since(&server, 0);
    assert!(host.pending(ALICE).is_empty());
}
