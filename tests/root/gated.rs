// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who is held, and who isn't (promises S1, S2 and S8).

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use stile_tests::{ALICE, Client, Fate, Host, POSTGRES, Probe, ROOT, User, probe_program};

use crate::{CONTAINER, SERVICE, SESSION, USERS_CONTAINER, booted, machine};

/// It waits until alice has given a code, and then works.
#[track_caller]
fn is_held_and_approved(host: &Host, cgroup: &str, user: User) {
    let authenticator = host.enroll(ALICE);
    let before = host.server().bytes();
    let mut client = host.connect_in(cgroup, user);
    host.wait_for_challenge(ALICE);
    client.still_waits();
    assert_eq!(host.server().bytes(), before, "while held");
    host.approve(ALICE, &authenticator);
    client.connected();
    client.talks();
}

#[test]
fn a_connect_in_a_session_is_held_until_its_user_gives_a_code() {
    let Some(_alone) = machine() else { return };
    is_held_and_approved(&booted(), SESSION, ALICE);
}

#[test]
fn root_in_a_session_is_held_and_its_owner_is_asked() {
    let Some(_alone) = machine() else { return };
    is_held_and_approved(&booted(), SESSION, ROOT);
}

#[test]
fn root_in_a_container_that_a_user_runs_is_held() {
    let Some(_alone) = machine() else { return };
    is_held_and_approved(&booted(), USERS_CONTAINER, ROOT);
}

#[test]
fn a_user_in_a_container_of_a_service_is_held() {
    let Some(_alone) = machine() else { return };
    is_held_and_approved(&booted(), CONTAINER, ALICE);
}

#[test]
fn a_user_in_no_cgroup_but_the_root_is_held() {
    let Some(_alone) = machine() else { return };
    is_held_and_approved(&booted(), "", ALICE);
}

#[test]
fn services_pass() {
    let Some(_alone) = machine() else { return };
    let host = booted();
    let passes = |mut client: Client| {
        client.connected();
        client.talks();
    };
    for cgroup in [SERVICE, CONTAINER, ""] {
        passes(host.connect_in(cgroup, ROOT));
        passes(host.connect_in(cgroup, POSTGRES));
    }
    assert!(host.audit().records().of("attempt").is_empty());
}

#[test]
fn a_socket_that_a_service_made_is_held_in_a_session() {
    let Some(_alone) = machine() else { return };
    let host = booted();
    let (ours, theirs) = UnixStream::pair().expect("two ends");
    let mut service = host.in_cgroup(SERVICE, ROOT, probe_program());
    service.arg("pass-a-socket").stdin(OwnedFd::from(theirs));
    let giver = Probe::start(&mut service);
    assert_eq!(giver.fate(), Fate::Sent);
    let mut session = host.in_cgroup(SESSION, ALICE, probe_program());
    let to = host.server().address().to_string();
    session.args(["received-socket", &to]);
    let probe = Probe::start(session.stdin(OwnedFd::from(ours)));
    host.wait_for_challenge(ALICE);
    probe.still_waits();
    assert_eq!(host.server().accepted(), 0);
}
