// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Proof before anything connects.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use stile_tests::{ALICE, BOB, Host, ROOT, Running, Said, Terminal, User, client_program, until};

use super::{policy, prompts, step_up};

fn host(rules: &str) -> Host {
    Host::builder().policy(&policy(rules)).build()
}

/// `stile elevate` with a code from stdin.
fn elevate(host: &Host, user: User, arguments: &[&str], code: &str) -> Said {
    let mut command = host.as_user(user, stile_tests::program("stile"));
    command
        .args(["elevate", "--stdin", "--json"])
        .args(arguments);
    let mut process = Running::start(command.stdin(Stdio::piped()));
    let mut input = process.child().stdin.take().unwrap();
    let _ = writeln!(input, "{code}");
    drop(input);
    process.output().into()
}

#[test]
fn who_has_stepped_up_before_is_not_asked_when_they_connect() {
    let host = host(&step_up("db", "db", "ttl = \"10m\""));
    let authenticator = host.enroll(ALICE);
    let answer = elevate(&host, ALICE, &[], &authenticator.fresh_code());
    let answer = answer.succeeded().json();
    assert_eq!(answer["outcome"], "accepted");
    assert_eq!(answer["until_seconds"], 600);
    let mut client = host.connect(ALICE);
    client.connected();
    client.talks();
    assert_eq!(prompts(&host, ALICE), 0);
    // It is alice's alone.
    let bob = host.connect(BOB);
    host.wait_for_challenge(BOB);
    bob.still_waits();
}

#[test]
fn a_proof_for_a_shorter_time_ends_sooner_than_the_rule_says() {
    let host = host(&step_up("db", "db", "ttl = \"10m\""));
    let authenticator = host.enroll(ALICE);
    let answer = elevate(&host, ALICE, &["--for", "3s"], &authenticator.fresh_code());
    assert_eq!(answer.succeeded().json()["until_seconds"], 3);
    let mut client = host.connect(ALICE);
    client.connected();
    let left = host.grants(ALICE)[0]["seconds_left"].as_u64().unwrap();
    assert!(left <= 3, "{left}");
    client.listen();
    assert!(client.heard().is_err(), "it goes on");
    let again = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    again.still_waits();
}

#[test]
fn what_waits_goes_on_with_a_proof_that_is_given_by_itself() {
    let host = host(&step_up("db", "db", ""));
    let authenticator = host.enroll(ALICE);
    let client = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    let answer = elevate(&host, ALICE, &[], &authenticator.fresh_code());
    assert_eq!(answer.succeeded().json()["released"], 1);
    client.connected();
    assert_eq!(host.pending(ALICE).len(), 0);
}

#[test]
fn who_leaves_takes_back_a_proof_that_nothing_was_granted_for() {
    let host = host(&step_up("db", "db", ""));
    let authenticator = host.enroll(ALICE);
    elevate(&host, ALICE, &[], &authenticator.fresh_code()).succeeded();
    let said = host.stile(ALICE, &["revoke", "--all"]);
    assert_eq!(
        said.succeeded().stdout.trim(),
        "revoked: 1 (grants and proofs)"
    );
    let elevations = host.stile(ALICE, &["elevations", "--json"]);
    assert_eq!(elevations.json(), serde_json::json!([]));
    let client = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    client.still_waits();
}

#[test]
fn a_wrong_code_elevates_nobody_and_counts() {
    let host = host(&step_up("db", "db", ""));
    let _authenticator = host.enroll(ALICE);
    let said = elevate(&host, ALICE, &[], "000000");
    assert_eq!(said.code, 1);
    assert_eq!(said.json()["outcome"], "wrong");
    let client = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    client.still_waits();
}

#[test]
fn a_realm_that_no_rule_has_for_the_user_takes_no_code() {
    let rules = step_up("db", "db", "realm = \"prod\"").replace("\"*\"", "\"bob\"");
    let host = host(&rules);
    let authenticator = host.enroll(ALICE);
    let code = authenticator.fresh_code();
    let said = elevate(&host, ALICE, &["prod"], &code);
    assert_eq!(said.code, 3, "{said:?}");
    let refused = host.call(
        ALICE,
        "Elevate",
        &[
            "string:prod",
            "uint64:0",
            "boolean:false",
            &format!("string:{code}"),
        ],
    );
    assert!(refused.stderr.contains("NoSuchRealm"), "{refused:?}");
    assert_eq!(
        host.stile(ALICE, &["realms", "--json"]).json(),
        serde_json::json!([])
    );
    let realms = host.stile(BOB, &["realms", "--json"]).succeeded().json();
    assert_eq!(realms[0]["realm"], "prod");
    assert_eq!(realms[0]["endpoints"], serde_json::json!(["db"]));
}

#[test]
fn a_rule_that_asks_each_program_is_not_satisfied_beforehand_but_by_run() {
    let host = host(&step_up("db", "db", "scope = \"process\""));
    let authenticator = host.enroll(ALICE);
    let said = elevate(&host, ALICE, &[], &authenticator.fresh_code());
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stderr.contains("stile run"), "{said:?}");

    let mut terminal = Terminal::of(ALICE);
    let mut command = host.on_terminal(&terminal, ALICE, &stile_tests::program("stile"));
    let address = host.server().address().to_string();
    let client = client_program();
    command
        .args(["run", "--"])
        .arg(&client)
        .args(["tcp", &address]);
    let process = Running::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
    terminal.type_at("code: ", &authenticator.fresh_code());
    until("the command is connected", || {
        (host.server().accepted() == 1).then_some(())
    });
    assert_eq!(prompts(&host, ALICE), 0);
    drop(process);
    // Another process has to ask for itself.
    let other = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    other.still_waits();
}

#[test]
fn a_command_that_is_not_there_ends_as_a_shell_would() {
    let host = host(&step_up("db", "db", ""));
    let authenticator = host.enroll(ALICE);
    elevate(&host, ALICE, &[], &authenticator.fresh_code()).succeeded();
    let said = host.stile(ALICE, &["run", "--", "/nonexistent/psql"]);
    assert_eq!(said.code, 127, "{said:?}");
    let said = host.stile(ALICE, &["run", "--", "/etc/passwd"]);
    assert_eq!(said.code, 126, "{said:?}");
    let said = host.stile(ALICE, &["run", "--", "/bin/sh", "-c", "exit 7"]);
    assert_eq!(said.code, 7, "{said:?}");
}

#[test]
fn a_script_waits_for_what_becomes_of_a_challenge() {
    let host = host(&step_up("db", "db", ""));
    let authenticator = host.enroll(ALICE);
    assert_eq!(host.stile(ALICE, &["wait"]).code, 3);
    let waits = |arguments: &[&str], user: User| {
        let mut command = host.as_user(user, stile_tests::program("stile"));
        command.stderr(Stdio::piped());
        let mut process = Running::start(command.arg("wait").args(arguments));
        let mut said = BufReader::new(process.child().stderr.as_mut().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert!(line.starts_with("waiting for"), "{line}");
        process
    };
    let next = waits(&["--next", "--json"], ALICE);
    let others = waits(&["--next", "--timeout", "5s"], BOB);
    let client = host.connect(ALICE);
    let id = host.wait_for_challenge(ALICE)["id"].clone();
    host.approve(ALICE, &authenticator);
    client.connected();
    let said = Said::from(next.output());
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(
        said.json(),
        serde_json::json!([{ "id": id, "outcome": "approved" }])
    );
    // Bob heard nothing of it (promise S7).
    let said = Said::from(others.output());
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stderr.contains("still pending"), "{said:?}");
    host.stile(ALICE, &["revoke", "--all"]).succeeded();

    let client = host.connect(ALICE);
    let id = host.wait_for_challenge(ALICE)["id"].to_string();
    let mine = waits(&[&id], ALICE);
    host.stile(ROOT, &["deny", &id]).succeeded();
    let said = Said::from(mine.output());
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stdout.contains("denied"), "{said:?}");
    client.refused();
}
