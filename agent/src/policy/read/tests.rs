// SPDX-License-Identifier: Apache-2.0 OR MIT
use std::time::Duration;

use crate::ids::Uid;
use crate::policy::testing::{ENDPOINT, endpoint_mistake, mistakes, only, rule_mistake, texts};
use crate::policy::{Action, EndpointSelector, Factor, First, Protocol, Scope, UserSelector};

#[test]
fn what_a_rule_does_not_say_has_a_default() {
    let rule = "[[rule]]\nname = \"r\"\nendpoints = [\"*\"]\nusers = [5]\naction = ";
    let policy = |action: &str| {
        texts(&[ENDPOINT, &format!("{rule}{action}\n")])
            .unwrap()
            .policy
    };
    let Action::StepUp {
        terms,
        first,
        factors,
        realm,
    } = policy("\"step-up\"").rules.remove(0).action
    else {
        panic!("no step-up rule");
    };
    assert_eq!(
        (terms.scope, terms.ttl),
        (Scope::User, Duration::from_secs(900))
    );
    assert_eq!(realm.as_str(), "r", "each rule is a realm of its own");
    assert_eq!(
        first,
        First::Hold {
            max_hold: Duration::from_secs(60)
        }
    );
    assert_eq!(factors, [Factor::Totp]);
    let allow = policy("\"allow\"\nscope = \"socket\"").rules.remove(0);
    assert_eq!(
        allow.action.terms().unwrap().ttl,
        Duration::from_secs(86_400)
    );
    assert_eq!(allow.users, [UserSelector::Uid(Uid(5))]);
    let deny = policy("\"deny\"").rules.remove(0);
    assert_eq!(
        (deny.action, deny.endpoints),
        (Action::Deny, EndpointSelector::All)
    );
    assert_eq!(
        texts(&[ENDPOINT]).unwrap().policy.endpoints[0].protocol,
        Protocol::Tcp
    );
}

#[test]
fn bad_names_of_endpoints_are_refused() {
    let rest = "hosts = [\"10.0.0.1\"]\nports = [1]";
    let long = "x".repeat(65);
    for name in ["", "prod db", "büro", long.as_str()] {
        let mistake = endpoint_mistake(&format!("name = {name:?}\n{rest}"));
        assert!(
            mistake.contains("is no name of an endpoint; 1 to 64"),
            "{mistake}"
        );
    }
    assert_eq!(
        endpoint_mistake(rest),
        "1.toml:1:1 an endpoint needs the key `name`"
    );
    assert_eq!(
        endpoint_mistake(&format!("name = 5\n{rest}")),
        "1.toml:2:8 expected a name, found an integer"
    );
}

#[test]
fn bad_hosts_are_refused() {
    let with = |hosts: &str| endpoint_mistake(&format!("name = \"x\"\nports = [1]\n{hosts}"));
    assert!(with("hosts = []").ends_with("the list is empty: nothing would be protected"));
    assert!(with("hosts = [\"db.example.com\"]").contains("host names are not taken"));
    assert!(with("hosts = [\"::ffff:10.0.0.1\"]").ends_with("write \"10.0.0.1\""));
    assert!(with("hosts = [\"0.0.0.0/0\"]").contains("would protect every address"));
    assert!(with("hosts = \"10.0.0.1\"").contains("expected a list of addresses, found a string"));
    assert!(with("hosts = [5]").contains("expected an address or a network, found an integer"));
    assert!(with("").contains("needs the key `hosts`"));
    assert!(with("host = [\"10.0.0.1\"]\nhosts = [\"10.0.0.1\"]").ends_with("write `hosts`"));
}

#[test]
fn bad_ports_are_refused() {
    let head = "name = \"x\"\nhosts = [\"10.0.0.1\"]\n";
    let with = |ports: &str| endpoint_mistake(&format!("{head}ports = {ports}"));
    assert!(with("[]").contains("the list is empty"));
    for port in [
        "0",
        "-1",
        "65536",
        "99999999999999999999999999999999999999999999",
    ] {
        let mistake = with(&format!("[{port}]"));
        assert!(
            mistake.contains("is no port: it must lie in 1..=65535"),
            "{mistake}"
        );
    }
    for range in ["0-5", "6-5", "1-65536", "+1-5", "a", "", "-", "1-2-3"] {
        let mistake = with(&format!("[\"{range}\"]"));
        assert!(mistake.contains("is no range of ports"), "{mistake}");
    }
    assert!(with("[\"5432\"]").ends_with("write a single port as a number: 5432"));
    assert!(
        with("[1]\nprotocol = \"tpc\"")
            .ends_with("unknown word \"tpc\"; write one of \"tcp\", \"udp\", \"any\"")
    );
}

#[test]
fn bad_users_are_refused() {
    let with = |users: &str| {
        rule_mistake(&format!(
            "endpoints = [\"db\"]\naction = \"deny\"\nusers = {users}"
        ))
    };
    assert!(with("[]").ends_with("the list is empty: write \"*\" for everybody"));
    assert!(with("[\"*\", \"bob\"]").contains("\"*\" already means everybody"));
    assert!(with("[\"1000\"]").ends_with("write a uid as a number: 1000"));
    assert!(with("[\"!bob\"]").contains("put a deny rule"));
    assert!(with("[\"b*\"]").contains("patterns are not taken"));
    assert!(with("[4294967295]").contains("is no uid"));
    assert!(with("[-1]").contains("is no uid"));
    for user in ["", "%", "%%x", " bob", "a:b", "%#50"] {
        assert!(
            with(&format!("[{user:?}]")).contains("is no user or group"),
            "{user}"
        );
    }
}

#[test]
fn keys_that_mean_nothing_for_the_action_are_refused() {
    let head = "endpoints = [\"db\"]\nusers = [\"*\"]\naction = ";
    let with = |rest: &str| rule_mistake(&format!("{head}{rest}"));
    for key in [
        "ttl = \"1m\"",
        "factors = [\"totp\"]",
        "scope = \"user\"",
        "first = \"hold\"",
        "max_hold = \"1m\"",
        "on_expiry = \"keep\"",
        "warn = \"1m\"",
    ] {
        let mistake = with(&format!("\"deny\"\n{key}"));
        assert!(
            mistake.contains("means nothing here: a deny rule"),
            "{mistake}"
        );
        assert!(mistake.starts_with("2.toml:6:1 "), "{mistake}");
    }
    assert!(with("\"allow\"\nttl = \"1m\"\nfactors = [\"totp\"]").contains("asks for no proof"));
    assert!(with("\"step-up\"\nfirst = \"reject\"\nmax_hold = \"1m\"").contains("nothing is held"));
    assert!(
        with("\"step-up\"\nscope = \"socket\"\nfirst = \"reject\"").contains("connection is over")
    );
}

#[test]
fn bad_values_of_rules_are_refused() {
    let head = "endpoints = [\"db\"]\nusers = [\"*\"]\naction = ";
    let with = |rest: &str| rule_mistake(&format!("{head}{rest}"));
    assert!(with("\"allow\"").contains("needs the key `ttl`"));
    assert!(with("\"step_up\"").ends_with("did you mean \"step-up\"?"));
    assert!(with("\"observe\"").ends_with("write one of \"allow\", \"step-up\", \"deny\""));
    for ttl in ["0s", "24h1s"] {
        let mistake = with(&format!("\"step-up\"\nttl = {ttl:?}"));
        assert!(mistake.ends_with("is out of range: 1s to 24h"), "{mistake}");
    }
    for warn in ["15m", "1h"] {
        let mistake = with(&format!("\"step-up\"\nttl = \"15m\"\nwarn = {warn:?}"));
        assert!(
            mistake.contains("`warn` must be shorter than `ttl`"),
            "{mistake}"
        );
    }
    assert!(with("\"step-up\"\nwarn = \"0s\"").contains("is out of range"));
    assert!(with("\"step-up\"\nttl = 15").contains("expected a duration"));
    for hold in ["0s", "11m"] {
        let mistake = with(&format!("\"step-up\"\nmax_hold = {hold:?}"));
        assert!(mistake.ends_with("is out of range: 1s to 10m"), "{mistake}");
    }
    assert!(with("\"step-up\"\nfactors = []").ends_with("nothing would be proof"));
    assert!(with("\"step-up\"\nfactors = [\"push\"]").contains("is not supported yet"));
    assert!(with("\"step-up\"\nfactors = [\"hotp\"]").contains("did you mean \"totp\"?"));
    assert!(with("\"step-up\"\nscope = \"unit\"").contains("\"socket\", \"user\""));
    assert!(with("\"step-up\"\ntimeout = \"5m\"").ends_with("write `max_hold`"));
    assert!(
        with("\"step-up\"\nprograms = []").contains("unknown key `programs`; a rule takes name")
    );
}

#[test]
fn bad_names_of_rules_are_refused() {
    let rest = "endpoints = [\"db\"]\nusers = [\"*\"]\naction = \"deny\"";
    for name in ["", " x", "a\\nb", "a\\u202Eb"] {
        let rule = format!("[[rule]]\nname = \"{name}\"\n{rest}");
        let mistake = only(mistakes(&[ENDPOINT, &rule]));
        assert!(mistake.contains("is no name of a rule"), "{mistake}");
    }
}

#[test]
fn a_single_table_is_answered_with_two_brackets() {
    let mistake = only(mistakes(&[&ENDPOINT.replace("[[endpoint]]", "[endpoint]")]));
    assert!(
        mistake.contains("expected tables, each headed [[endpoint]], found a table"),
        "{mistake}"
    );
    assert!(only(mistakes(&[&format!("{ENDPOINT}[rules]\n")])).ends_with("write `rule`"));
}
