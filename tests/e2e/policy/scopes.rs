// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How far a proof reaches, and which rules share it.

use stile_tests::{ALICE, Host};

use super::{challenges, host, rule};

#[test]
fn a_proof_of_scope_process_is_for_that_process_alone() {
    let host = host(&rule("r", "action = \"step-up\"\nscope = \"process\""));
    let authenticator = host.enroll(ALICE);
    let mut first = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    host.approve(ALICE, &authenticator);
    first.connected();
    first.talks();
    first.again();
    first.connected();
    assert_eq!(challenges(&host, ALICE), 1);
    let second = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    second.still_waits();
}

#[test]
fn a_proof_of_scope_unit_is_for_that_session_alone() {
    let session = |number: u32| format!("user.slice/user-42001.slice/session-{number}.scope");
    let host = Host::builder()
        .cgroup(&session(1))
        .cgroup(&session(2))
        .policy(&super::protecting(&rule(
            "r",
            "action = \"step-up\"\nscope = \"unit\"",
        )))
        .build();
    let authenticator = host.enroll(ALICE);
    let first = host.connect_in(&session(1), ALICE);
    host.wait_for_challenge(ALICE);
    host.approve(ALICE, &authenticator);
    first.connected();
    host.connect_in(&session(1), ALICE).connected();
    assert_eq!(challenges(&host, ALICE), 1);
    let elsewhere = host.connect_in(&session(2), ALICE);
    host.wait_for_challenge(ALICE);
    elsewhere.still_waits();
}

#[test]
fn rules_of_one_realm_share_a_proof() {
    let both = |realm: &str| {
        format!(
            r#"
[[endpoint]]
name = "db"
hosts = ["{{address}}"]
ports = [{{port}}]

[[endpoint]]
name = "db6"
hosts = ["::1"]
ports = [{{port6}}]

[[rule]]
name = "one"
endpoints = ["db"]
users = ["*"]
action = "step-up"
realm = "prod"

[[rule]]
name = "two"
endpoints = ["db6"]
users = ["*"]
action = "step-up"
realm = "{realm}"
"#
        )
    };
    for (realm, prompts) in [("prod", 1), ("lab", 2)] {
        let host = Host::builder().policy(&both(realm)).build();
        let authenticator = host.enroll(ALICE);
        let first = host.connect(ALICE);
        host.wait_for_challenge(ALICE);
        host.approve(ALICE, &authenticator);
        first.connected();
        let second = host.connect_to(ALICE, host.server6().address());
        if prompts == 1 {
            second.connected();
        } else {
            host.wait_for_challenge(ALICE);
            second.still_waits();
        }
        assert_eq!(challenges(&host, ALICE), prompts, "{realm}");
    }
}

#[test]
fn revoking_ends_the_proof_of_the_whole_realm() {
    let host = host(&rule("r", "action = \"step-up\"\nrealm = \"prod\""));
    let authenticator = host.enroll(ALICE);
    let first = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    host.approve(ALICE, &authenticator);
    first.connected();
    host.stile(ALICE, &["revoke", "--all"]).succeeded();
    let second = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    second.still_waits();
}
