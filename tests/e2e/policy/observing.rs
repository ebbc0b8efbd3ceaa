// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A policy that observes breaks nobody's day, and writes down what would have happened.

use nix::errno::Errno;
use stile_tests::{ALICE, BOB, Client, Host};

use super::{host, rule};

fn observing(rules: &str) -> String {
    super::protecting(&format!("[defaults]\nmode = \"observe\"\n\n{rules}"))
}

#[test]
fn everybody_gets_through_a_policy_that_observes_and_the_prompts_are_counted() {
    let rules = "[[rule]]\nname = \"r\"\nendpoints = [\"db\"]\nusers = [\"alice\"]\n\
                 action = \"step-up\"\n";
    let host = Host::builder().policy(&observing(rules)).build();
    for user in [ALICE, ALICE, BOB] {
        let mut client = host.connect(user);
        client.connected();
        client.talks();
    }
    let records = host.audit().wait_for("decision", 3);
    let decisions = records.of("decision");
    let instead: Vec<_> = decisions.iter().map(|one| &one["instead"]).collect();
    assert_eq!(instead, ["challenge", "elevated", "deny"]);
    assert!(decisions.iter().all(|one| one["outcome"] == "observe"));
    assert_eq!(records.of("challenge").len(), 0);
    let status = host.stile(ALICE, &["status", "--json"]).succeeded().json();
    assert_eq!(status["state"], "observing");
}

#[test]
fn a_policy_that_observes_lets_through_without_its_daemon() {
    let mut host = Host::builder()
        .policy(&observing(&rule("r", "action = \"deny\"")))
        .build();
    let mut before = host.connect(ALICE);
    before.connected();
    host.kill9();
    host.connect(ALICE).connected();
    before.talks();
    let udp = Client::start(&mut host.client(ALICE, "udp", host.server().address()));
    udp.connected();
}

#[test]
fn what_was_observed_is_enforced_after_a_reload() {
    let deny = rule("r", "action = \"deny\"");
    let mut host = Host::builder().policy(&observing(&deny)).build();
    let mut before = host.connect(ALICE);
    before.connected();
    before.talks();
    host.write_policy(&super::protecting(&deny));
    host.reload();
    host.connect(ALICE).refused();
    assert_eq!(before.say("still there?"), Err(Errno::ECONNABORTED));
}

#[test]
fn a_rule_that_observes_lets_through_and_says_what_the_later_ones_would_do() {
    let rules = rule("try it", "action = \"observe\"") + &rule("r", "action = \"deny\"");
    let host = host(&rules);
    let mut client = host.connect(ALICE);
    client.connected();
    client.talks();
    let records = host.audit().wait_for("decision", 1);
    let decision = records.the("decision");
    assert_eq!(decision["instead"], "deny");
    assert_eq!(decision["rule"], "r");
}

#[test]
fn a_rule_that_observes_some_programs_decides_for_each_connection() {
    let rules = rule("try it", "when = { tty = false }\naction = \"observe\"")
        + &rule("r", "action = \"deny\"");
    let host = host(&rules);
    let mut client = host.connect(ALICE);
    client.connected();
    client.talks();
    let terminal = stile_tests::Terminal::of(ALICE);
    Client::start(&mut host.client_on(&terminal, ALICE)).refused();
}

#[test]
fn a_connection_that_a_rule_with_a_condition_observes_outlives_a_reload_and_a_restart() {
    let observing = rule("try it", "when = { tty = false }\naction = \"observe\"");
    let deny = rule("r", "action = \"deny\"");
    let mut host = host(&(observing + &deny));
    let mut client = host.connect(ALICE);
    client.connected();
    client.talks();
    host.reload();
    client.talks();
    host.restart();
    client.talks();
    host.write_policy(&super::protecting(&deny));
    host.reload();
    assert_eq!(client.say("still there?"), Err(Errno::ECONNABORTED));
}
