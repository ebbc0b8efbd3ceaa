// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Emergencies: past the rules for named users, with a proof and a reason, so often a day.

use nix::errno::Errno;
use stile_tests::{ALICE, Authenticator, BOB, Host, ROOT, Running, Said, Terminal, User, program};

use crate::pam::Service;
use crate::scene::{alarms, import, outcomes, waiting};

const WHY: &str = "the primary is down, INC-42";

/// A host that lets nobody to the database but alice, in an emergency, with this in its entry; she
/// has a token.
fn locked(entry: &str) -> (Host, Authenticator) {
    with_rule("users = [\"*\"]\naction = \"deny\"", entry)
}

fn with_rule(rule: &str, entry: &str) -> (Host, Authenticator) {
    let host = Host::builder().policy(&policy(rule, entry)).build();
    let token = import(&host, "token");
    (host, token)
}

fn policy(rule: &str, entry: &str) -> String {
    format!(
        r#"
[[endpoint]]
name = "db"
hosts = ["{{address}}"]
ports = [{{port}}]

[[rule]]
name = "usual"
endpoints = ["db"]
{rule}

[[break_glass]]
endpoints = ["db"]
users = ["alice"]
{entry}
"#
    )
}

fn break_glass(host: &Host, user: User, reason: &str, code: &str) -> Said {
    let arguments = ["break-glass", "db", "--reason", reason, "--stdin", "--json"];
    host.stile_typing(user, &arguments, code)
}

#[test]
fn an_emergency_opens_what_the_rules_deny_and_is_a_loud_record() {
    let (host, token) = locked("ttl = \"20m\"");
    host.connect(ALICE).refused();
    let listed = host.stile(ALICE, &["break-glass", "--json"]);
    let listed = &listed.succeeded().json()[0];
    assert_eq!(
        (&listed["endpoint"], &listed["left"]),
        (&"db".into(), &1.into())
    );
    let said = break_glass(&host, ALICE, WHY, &token.fresh_code());
    assert_eq!(said.succeeded().json()["until_seconds"], 1200);
    let mut client = host.connect(ALICE);
    client.connected();
    client.talks();
    host.connect(BOB).refused();
    assert_eq!(host.grants(ALICE)[0]["rule"], "break glass");
    let records = host.audit().records();
    let record = records.the("break-glass");
    assert_eq!(record["reason"], WHY);
    assert_eq!(record["endpoint"], "db");
    assert_eq!(
        (&record["number"], &record["per_day"]),
        (&1.into(), &1.into())
    );
    assert_eq!(record["subject"]["user"], "alice");
    assert!(host.log().contains("BREAK GLASS"), "{}", host.log());
}

#[test]
fn nobody_has_more_emergencies_than_the_policy_says_also_over_kills() {
    let (mut host, token) = locked("per_day = 1");
    break_glass(&host, ALICE, WHY, &token.fresh_code()).succeeded();
    host.stile(ALICE, &["revoke", "--all"]).succeeded();
    host.kill9();
    host.start();
    host.wait_for_bus();
    let left = host.stile(ALICE, &["break-glass", "--json"]);
    assert_eq!(left.succeeded().json()[0]["left"], 0);
    // The one that lasts may be entered again, until it would have ended.
    let code = token.fresh_code();
    break_glass(&host, ALICE, WHY, &code).succeeded();
    assert_eq!(outcomes(&host), ["accepted", "accepted"]);
    let records = host.audit().records();
    let ends = |record: &serde_json::Value| record["expires_boot_ns"].clone();
    let ends: Vec<_> = records.of("grant").into_iter().map(ends).collect();
    assert_eq!(ends[0], ends[1]);
}

#[test]
fn one_too_many_is_refused_before_a_code_is_used_up_and_is_an_alarm() {
    let (host, token) = locked("ttl = \"1s\"\nper_day = 1");
    break_glass(&host, ALICE, WHY, &token.fresh_code()).succeeded();
    host.wait_for_no_grants(ALICE);
    host.connect(ALICE).refused();
    let code = token.fresh_code();
    break_glass(&host, ALICE, WHY, &code).failed(1, "as often as you may in 24 hours (1)");
    assert_eq!(alarms(&host), ["break-glass-refused"]);
    assert_eq!(outcomes(&host), ["accepted"]);
    host.connect(ALICE).refused();
}

#[test]
fn who_is_not_named_gets_nothing_and_is_an_alarm() {
    let (host, _token) = locked("");
    let bob = host.enroll(BOB);
    let listed = host.stile(BOB, &["break-glass"]);
    assert!(listed.succeeded().stdout.contains("no endpoint"));
    break_glass(&host, BOB, WHY, &bob.fresh_code()).failed(1, "no such endpoint");
    break_glass(&host, ROOT, WHY, "123456").failed(1, "no such endpoint");
    assert_eq!(alarms(&host), ["break-glass-refused"; 2]);
    host.connect(BOB).refused();
    // A wrong name tells as much as a right one.
    let wrong = host.stile(BOB, &["break-glass", "no-such", "--reason", WHY]);
    wrong.failed(1, "no such endpoint");
}

#[test]
fn an_emergency_takes_a_reason_that_says_something_and_a_right_code() {
    let (host, token) = locked("");
    let code = token.fresh_code();
    break_glass(&host, ALICE, "asap", &code).failed(1, "too short: 10 characters");
    assert!(outcomes(&host).is_empty());
    break_glass(&host, ALICE, WHY, &token.wrong_code()).failed(1, "wrong code");
    host.connect(ALICE).refused();
    break_glass(&host, ALICE, WHY, &code).succeeded();
    host.connect(ALICE).connected();
    // A code is used up here as anywhere else.
    host.stile(ALICE, &["revoke", "--all"]).succeeded();
    break_glass(&host, ALICE, WHY, &code).failed(1, "wrong code");
    host.connect(ALICE).refused();
    assert_eq!(outcomes(&host), ["wrong", "accepted", "replayed"]);
}

#[test]
fn what_waits_for_a_proof_goes_on_in_an_emergency() {
    let (host, token) = with_rule("users = [\"*\"]\naction = \"step-up\"", "");
    let mut client = waiting(&host);
    let said = break_glass(&host, ALICE, WHY, &token.fresh_code());
    assert_eq!(said.succeeded().json()["released"], 1);
    client.connected();
    client.talks();
    host.wait_for_challenges(ALICE, 0);
}

#[test]
fn an_emergency_outlives_restarts_and_ends_with_its_entry_or_its_time() {
    let (mut host, token) = locked("");
    break_glass(&host, ALICE, WHY, &token.fresh_code()).succeeded();
    let mut client = host.connect(ALICE);
    client.connected();
    host.restart();
    client.talks();
    host.connect(ALICE).connected();
    host.reload();
    client.talks();
    // Whom the policy names no longer has none.
    let other = policy("users = [\"*\"]\naction = \"deny\"", "").replace("\"alice\"", "\"bob\"");
    host.write_policy(&other);
    host.reload();
    assert_eq!(client.say("still there?"), Err(Errno::ECONNABORTED));
    host.connect(ALICE).refused();
}

#[test]
fn a_proof_in_an_emergency_answers_no_rule_and_none_of_a_rule_is_an_emergency() {
    // The realm is called as what stands for a rule in an emergency.
    let rule = "users = [\"*\"]\naction = \"step-up\"\nrealm = \"break glass\"";
    let (host, token) = with_rule(rule, "ttl = \"1s\"");
    break_glass(&host, ALICE, WHY, &token.fresh_code()).succeeded();
    host.wait_for_no_grants(ALICE);
    let client = waiting(&host);
    host.answer(ALICE, None, &token.fresh_code()).succeeded();
    client.connected();
    assert_eq!(host.grants(ALICE)[0]["rule"], "usual");
}

#[test]
fn an_emergency_may_take_two_factors_and_is_counted_once() {
    let Some(service) = Service::new(20) else {
        return;
    };
    let rule = "factors = [\"PAM\"]\n\n[[break_glass]]\nendpoints = [\"db\"]\n\
                users = [\"alice\"]\nall = [\"totp\", \"PAM\"]";
    let host = service.host(rule, "assurance = 2");
    let token = import(&host, "token");
    let mut client = waiting(&host);
    let code = token.fresh_code();
    break_glass(&host, ALICE, WHY, &code).failed(1, "also asks for");
    client.still_waits();
    assert!(host.grants(ALICE).is_empty());
    assert!(host.audit().records().of("break-glass").is_empty());
    let by_pam = [
        "break-glass",
        "db",
        "--reason",
        WHY,
        "--stdin",
        "--factor",
        &service.factor,
    ];
    host.stile_typing(ALICE, &by_pam, "wrong")
        .failed(1, "wrong code");
    client.still_waits();
    host.stile_typing(ALICE, &by_pam, "sesame").succeeded();
    client.connected();
    client.talks();
    let records = host.audit().records();
    assert_eq!(records.the("break-glass")["number"], 1);
    let listed = host.stile(ALICE, &["break-glass", "--json"]);
    assert_eq!(listed.succeeded().json()[0]["left"], 0);
}

#[test]
fn the_terminal_says_that_it_is_an_alarm_and_asks_why_before_the_code() {
    let (host, token) = locked("ttl = \"20m\"");
    let mut terminal = Terminal::of(ALICE);
    let mut command = host.on_terminal(&terminal, ALICE, &program("stile"));
    let breaking = Running::start(command.args(["break-glass", "db"]));
    terminal.shows("Emergency: opens db for 20 minutes, past the rules");
    terminal.shows("This is recorded and raises an alarm.");
    terminal.shows("1 time is left within 24 hours");
    terminal.type_at("Reason", WHY);
    terminal.type_at("code:", &token.fresh_code());
    let said = breaking.output();
    assert!(said.status.success(), "{said:?}");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("approved: db for 20 minutes"), "{said}");
    host.connect(ALICE).connected();
    let shown = terminal.shows("code:");
    assert!(!shown.contains(&token.code_at(0)), "{shown}");
}

#[test]
fn an_emergency_whose_grant_is_gone_opens_again_with_an_alarm_and_never_silently() {
    let (mut host, token) = with_rule("users = [\"*\"]\naction = \"step-up\"", "");
    break_glass(&host, ALICE, WHY, &token.fresh_code()).succeeded();
    host.stop();
    let pins = host.pins().display().to_string();
    host.stile(ROOT, &["detach", "--bpffs", &pins]).succeeded();
    host.start();
    host.wait_for_bus();
    assert!(host.grants(ALICE).is_empty());
    host.connect(ALICE).connected();
    assert_eq!(alarms(&host), ["break-glass-goes-on"]);
    host.connect(BOB).still_waits();
}
