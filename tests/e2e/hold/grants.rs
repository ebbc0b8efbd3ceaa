// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a grant opens, and how it ends.

use nix::errno::Errno;
use stile_tests::{ALICE, BOB, Client, Host, until};

/// A client of alice's with an approved connection.
fn approved(host: &Host) -> Client {
    let authenticator = host.enroll(ALICE);
    let mut client = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    host.approve(ALICE, &authenticator);
    client.connected();
    client.talks();
    client
}

/// S6: it passes in the kernel, and is recorded all the same.
#[test]
fn a_second_connection_under_a_live_grant_passes_without_a_question_and_is_recorded() {
    let host = Host::start_usual();
    let _first = approved(&host);
    let mut second = host.connect(ALICE);
    second.connected();
    second.talks();
    let records = host.audit().wait_for("connection", 2);
    assert_eq!(records.of("challenge").len(), 1);
    assert_eq!(records.of("attempt")[1]["disposition"], "granted");
    assert_eq!(records.of("connection")[1]["passage"], "passed");
    let grant = &records.the("grant")["grant"];
    assert_eq!(&records.of("connection")[1]["grant"], grant);
    assert_eq!(host.grants(ALICE)[0]["connections"], 2);
}

/// S2: it names one subject.
#[test]
fn a_grant_opens_nothing_for_another_user() {
    let host = Host::start_usual();
    let _first = approved(&host);
    let client = host.connect(BOB);
    host.wait_for_challenge(BOB);
    client.still_waits();
}

/// S2: a dead daemon extends nothing.
#[test]
fn a_grant_ends_in_time_without_a_daemon() {
    let mut host = Host::builder().ttl("2s").build();
    let mut client = approved(&host);
    host.kill9();
    until("new connections are refused", || {
        (host.connect(ALICE).outcome().result == Err(Errno::EPERM)).then_some(())
    });
    client.is_cut_off();
}

/// S1: not a byte to the client either, which the kernel would take in without the client
/// sending anything.
#[test]
fn what_the_server_sends_after_the_end_of_the_grant_does_not_arrive_without_a_daemon() {
    let mut host = Host::builder().ttl("2s").build();
    let mut client = approved(&host);
    host.kill9();
    until("new connections are refused", || {
        (host.connect(ALICE).outcome().result == Err(Errno::EPERM)).then_some(())
    });
    host.server().push("secret");
    client.hears_nothing();
}

/// S3.
#[test]
fn at_its_end_a_grant_takes_its_live_connection_along() {
    let host = Host::builder().ttl("2s").build();
    let mut client = approved(&host);
    client.listen();
    assert_eq!(client.heard(), Err(Errno::ECONNABORTED));
    let again = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    again.still_waits();
}

/// S3, its exception.
#[test]
fn with_on_expiry_keep_the_live_connection_stays_and_a_new_one_is_held() {
    let host = Host::builder().ttl("2s").on_expiry("keep").build();
    let mut client = approved(&host);
    let _ = host.audit().wait_for("grant-expired", 1);
    client.talks();
    let new = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    new.still_waits();
    client.talks();
}

/// S3.
#[test]
fn a_revoked_grant_ends_its_live_connection_at_once_and_the_next_one_is_held() {
    let host = Host::start_usual();
    let mut client = approved(&host);
    client.listen();
    host.stile(ALICE, &["revoke"]).succeeded();
    assert_eq!(client.heard(), Err(Errno::ECONNABORTED));
    assert!(host.grants(ALICE).is_empty());
    let next = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    next.still_waits();
    let records = host.audit().records();
    assert_eq!(records.the("grant-revoked")["by"], ALICE.uid);
    assert_eq!(records.the("grant-revoked")["connections"], 1);
}

/// S3: also what was let through by `keep`.
#[test]
fn revoking_all_ends_a_kept_connection_too() {
    let host = Host::builder().ttl("2s").on_expiry("keep").build();
    let mut client = approved(&host);
    let _ = host.audit().wait_for("grant-expired", 1);
    client.talks();
    host.stile(ALICE, &["revoke", "--all"]);
    assert_eq!(client.say("still there?"), Err(Errno::ECONNABORTED));
}

#[test]
fn a_grant_of_one_socket_opens_nothing_for_another() {
    let host = Host::builder().scope("socket").build();
    let mut first = approved(&host);
    let second = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    second.still_waits();
    first.talks();
    let records = host.audit().records();
    assert_eq!(records.the("grant")["scope"], "socket");
    let socket = &records.of("attempt")[0]["socket"];
    assert_eq!(&records.the("grant")["socket"], socket);
}

/// S2, across a restart: both kinds of grant go on, and end when they would have.
#[test]
fn grants_of_users_and_of_sockets_survive_a_restart_of_the_daemon() {
    for scope in ["user", "socket"] {
        let mut host = Host::builder().scope(scope).build();
        let mut client = approved(&host);
        host.restart();
        client.talks();
        let grants = host.grants(ALICE);
        assert_eq!(grants[0]["scope"], scope);
        assert_eq!(grants[0]["factor"], "adopted");
        assert_eq!(grants[0]["connections"], 1);
        client.listen();
        host.stile(ALICE, &["revoke"]).succeeded();
        assert_eq!(client.heard(), Err(Errno::ECONNABORTED));
    }
}

#[test]
fn with_scope_socket_each_of_two_connections_is_asked_for_by_itself() {
    let host = Host::builder().scope("socket").build();
    let authenticator = host.enroll(ALICE);
    let [mut first, mut second] = [host.connect(ALICE), host.connect(ALICE)];
    let challenges = host.wait_for_challenges(ALICE, 2);
    let of = |client: &Client| {
        let own = |challenge: &&serde_json::Value| challenge["pid"] == client.pid();
        challenges.iter().find(own).unwrap()["id"].as_u64()
    };
    let (id_of_first, id_of_second) = (of(&first), of(&second));
    host.answer(ALICE, id_of_second, &authenticator.fresh_code())
        .succeeded();
    second.connected();
    second.talks();
    first.still_waits();
    host.answer(ALICE, id_of_first, &authenticator.fresh_code())
        .succeeded();
    first.connected();
    first.talks();
}
