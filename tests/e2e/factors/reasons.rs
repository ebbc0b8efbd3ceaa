// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reasons: where a rule asks why, nobody gets through without, and what they say is kept.

use serde_json::Value;
use stile_tests::{ALICE, Authenticator, BOB, Host, Running, Said, Terminal, program};

use crate::scene::{import, outcomes, waiting};

const TICKET: &str = r#"reason = { pattern = "[A-Z]+-[0-9]+", prompt = "ticket" }"#;

/// A host whose rule says this of reasons, and another one of the same realm that asks for none;
/// alice has a token.
fn asking(reason: &str) -> (Host, Authenticator) {
    let policy = format!(
        r#"
[[endpoint]]
name = "db"
hosts = ["{{address}}"]
ports = [{{port}}]

[[endpoint]]
name = "other"
hosts = ["192.0.2.9"]
ports = [5432]

[[rule]]
name = "with a reason"
endpoints = ["db"]
users = ["*"]
action = "step-up"
realm = "prod"
{reason}

[[rule]]
name = "without"
endpoints = ["other"]
users = ["*"]
action = "step-up"
realm = "prod"
"#
    );
    let host = Host::builder().policy(&policy).build();
    let token = import(&host, "token");
    (host, token)
}

fn approve(host: &Host, reason: Option<&str>, code: &str) -> Said {
    let mut arguments = vec!["approve", "--stdin", "--json"];
    arguments.extend(reason.into_iter().flat_map(|text| ["--reason", text]));
    host.stile_typing(ALICE, &arguments, code)
}

fn elevate(host: &Host, reason: Option<&str>, code: &str) -> Said {
    let mut arguments = vec!["elevate", "prod", "--stdin"];
    arguments.extend(reason.into_iter().flat_map(|text| ["--reason", text]));
    host.stile_typing(ALICE, &arguments, code)
}

/// The reasons in the log.
fn kept(host: &Host) -> Vec<Value> {
    let records = host.audit().records();
    let factors = records.of("factor").into_iter();
    factors.map(|record| record["reason"].clone()).collect()
}

#[test]
fn without_the_reason_that_is_asked_for_no_code_is_used_up() {
    let (host, token) = asking(TICKET);
    let mut client = waiting(&host);
    let pending = &host.pending(ALICE)[0];
    let asked = ["reason", "reason_name", "reason_pattern"].map(|key| pending[key].clone());
    assert_eq!(asked, ["required", "ticket", "[A-Z]+-[0-9]+"]);
    let code = token.fresh_code();
    approve(&host, None, &code).failed(1, "a reason is asked for");
    approve(&host, Some("because"), &code).failed(1, "the reason doesn't fit");
    // Past the command, the agent says the same.
    let id = format!("uint64:{}", pending["id"]);
    let call = |arguments: &[&str]| host.call(ALICE, "Answer", arguments);
    call(&[&id, &format!("string:{code}")]).failed(1, "a reason is asked for");
    client.still_waits();
    assert!(outcomes(&host).is_empty());
    let said = approve(&host, Some(" OPS-12 "), &code);
    assert_eq!(said.succeeded().json()["released"], 1);
    client.connected();
    client.talks();
    assert_eq!(kept(&host), ["OPS-12"]);
}

#[test]
fn the_terminal_asks_for_the_reason_before_the_code() {
    let (host, token) = asking(TICKET);
    let client = waiting(&host);
    let mut terminal = Terminal::of(ALICE);
    let mut command = host.on_terminal(&terminal, ALICE, &program("stile"));
    let approving = Running::start(command.arg("approve"));
    let question = "Reason: ticket, like [A-Z]+-[0-9]+";
    terminal.type_at_nth(1, question, "because");
    terminal.shows("the reason doesn't fit");
    terminal.type_at_nth(3, question, "OPS-7");
    terminal.type_at("code:", &token.fresh_code());
    assert!(approving.output().status.success());
    client.connected();
    assert_eq!(kept(&host), ["OPS-7"]);
}

#[test]
fn a_proof_without_a_reason_counts_for_rules_that_ask_for_none() {
    let (host, token) = asking(TICKET);
    elevate(&host, None, &token.fresh_code()).succeeded();
    let client = waiting(&host);
    assert_eq!(host.pending(ALICE)[0]["reason"], "required");
    client.kill();
    host.wait_for_challenges(ALICE, 0);
    elevate(&host, Some("OPS-1"), &token.fresh_code()).succeeded();
    let mut client = host.connect(ALICE);
    client.connected();
    client.talks();
    assert_eq!(kept(&host), [Value::Null, "OPS-1".into()]);
}

#[test]
fn a_reason_that_may_be_left_out_is_kept_if_it_is_given() {
    let (host, token) = asking("reason = { required = false }");
    let client = waiting(&host);
    assert_eq!(host.pending(ALICE)[0]["reason"], "optional");
    approve(&host, None, &token.fresh_code()).succeeded();
    client.connected();
    host.stile(ALICE, &["revoke", "--all"]).succeeded();
    let client = waiting(&host);
    approve(&host, Some("nightly report"), &token.fresh_code()).succeeded();
    client.connected();
    assert_eq!(kept(&host), [Value::Null, "nightly report".into()]);
}

#[test]
fn a_reason_is_bounded_and_only_its_own_user_gives_it() {
    let (host, token) = asking("reason = {}");
    let client = waiting(&host);
    let code = token.fresh_code();
    approve(&host, Some("red \u{1b}[31m alert"), &code).failed(1, "can't be shown");
    approve(&host, Some(&"ä".repeat(201)), &code).failed(1, "too long");
    let id = format!("uint64:{}", host.pending(ALICE)[0]["id"]);
    let explain = |user, text: &str| {
        let text = format!("string:{text}");
        host.call_proofs(user, "Explain", &[&id, &text])
    };
    explain(BOB, "it is mine").failed(1, "NoSuchChallenge");
    explain(ALICE, &"x".repeat(2000)).failed(1, "longer than 200 characters");
    explain(ALICE, "two\nlines").failed(1, "can't be shown");
    client.still_waits();
    explain(ALICE, "the report of May").succeeded();
    assert_eq!(host.pending(ALICE)[0]["reason"], "");
    host.answer(ALICE, None, &code).succeeded();
    client.connected();
    assert_eq!(kept(&host), ["the report of May"]);
}
