// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Connections that don't wait: rejected, denied, allowed.

use std::time::Duration;

use nix::errno::Errno;
use stile_tests::{ALICE, BOB, Client, Host};

/// Less than anybody waits, more than a busy machine needs.
const AT_ONCE: Duration = Duration::from_secs(1);

#[test]
fn with_first_reject_the_first_attempt_fails_at_once_and_passes_after_the_approval() {
    let host = Host::builder().first("reject").build();
    let authenticator = host.enroll(ALICE);
    let mut client = host.connect(ALICE);
    let (error, waited) = client.refused();
    assert_eq!(error, Errno::EPERM);
    assert!(waited < AT_ONCE, "{waited:?}");
    host.wait_for_challenge(ALICE);
    client.again();
    assert_eq!(client.refused().0, Errno::EPERM);
    let _ = host.audit().wait_for("attempt", 2);
    assert_eq!(host.pending(ALICE).len(), 1);
    assert_eq!(host.approve(ALICE, &authenticator)["released"], 0);
    client.again();
    client.connected();
    client.talks();
}

#[test]
fn a_udp_connect_is_rejected_and_passes_after_the_approval() {
    let host = Host::builder()
        .policy(
            r#"
            [[endpoint]]
            name = "dns"
            hosts = ["{address}"]
            ports = [{port}]
            protocol = "udp"

            [[rule]]
            name = "step-up"
            endpoints = ["dns"]
            users = ["*"]
            action = "step-up"
            "#,
        )
        .build();
    let authenticator = host.enroll(ALICE);
    let mut client = Client::start(&mut host.client(ALICE, "udp", host.server().address()));
    assert_eq!(client.refused().0, Errno::EPERM);
    host.wait_for_challenge(ALICE);
    host.approve(ALICE, &authenticator);
    client.again();
    client.connected();
    client.talks();
    assert_eq!(host.server().datagrams(), 1);
    // TCP on the same port is not what the endpoint protects.
    host.connect(ALICE).connected();
}

#[test]
fn a_denied_connection_fails_at_once_and_its_retry_asks_nobody() {
    let host = Host::start_usual();
    let mut client = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    host.stile(ALICE, &["deny"]).succeeded();
    let (error, _) = client.refused();
    assert_eq!(error, Errno::ECONNABORTED);
    let records = host.audit().records();
    assert_eq!(records.the("challenge-ended")["outcome"], "denied");
    assert_eq!(
        records.the("connection-closed-by-stile")["reason"],
        "denied"
    );

    client.again();
    let (error, waited) = client.refused();
    assert_eq!(error, Errno::ECONNABORTED);
    assert!(waited < AT_ONCE, "{waited:?}");
    let records = host.audit().wait_for("connection-closed-by-stile", 2);
    assert_eq!(records.of("challenge").len(), 1);
    assert_eq!(records.of("decision")[1]["outcome"], "deny");
    assert!(host.pending(ALICE).is_empty());
    assert_eq!(host.server().accepted(), 0);
}

const FOR_BOB: &str = r#"
    [[endpoint]]
    name = "db"
    hosts = ["{address}"]
    ports = [{port}]

    [[rule]]
    name = "bob only"
    endpoints = ["db"]
    users = ["bob"]
    action = "allow"
    ttl = "1h"
"#;

/// S2: a rule that says `allow` is a grant too, and recorded as one.
#[test]
fn an_allow_rule_lets_through_without_a_question_and_is_recorded() {
    let host = Host::builder().policy(FOR_BOB).build();
    let mut client = host.connect(BOB);
    client.connected();
    client.talks();
    let records = host.audit().wait_for("connection", 1);
    assert!(records.of("challenge").is_empty());
    assert_eq!(records.the("decision")["outcome"], "allow");
    assert_eq!(records.the("decision")["rule"], "bob only");
    assert_eq!(records.the("grant")["ttl_seconds"], 3600);
    assert_eq!(records.the("connection")["subject"]["user"], "bob");
}

/// Deny is the fall-through.
#[test]
fn a_user_whom_no_rule_matches_is_refused_at_once() {
    let host = Host::builder().policy(FOR_BOB).build();
    let (error, waited) = host.connect(ALICE).refused();
    assert_eq!(error, Errno::EPERM);
    assert!(waited < AT_ONCE, "{waited:?}");
    let records = host.audit().wait_for("decision", 1);
    assert_eq!(records.the("attempt")["disposition"], "denied");
    assert_eq!(records.the("decision")["outcome"], "deny");
    assert!(records.the("decision")["rule"].is_null());
    assert_eq!(records.the("decision")["subject"]["user"], "alice");
    assert_eq!(host.server().accepted(), 0);
}
