// SPDX-License-Identifier: Apache-2.0 OR MIT
use crate::policy::testing::{ENDPOINT, findings, texts};

/// The warnings about these rules for the endpoint "db": tables of `users` and more keys.
fn warnings(rules: &[&str]) -> Vec<String> {
    let rules = rules.iter().enumerate().map(|(at, keys)| {
        let name = char::from(b'a' + u8::try_from(at).unwrap());
        format!("[[rule]]\nname = \"{name}\"\nendpoints = [\"db\"]\n{keys}\n")
    });
    let rules: String = rules.collect();
    findings(texts(&[ENDPOINT, &rules]).unwrap().warnings)
}

const STEP_UP: &str = "action = \"step-up\"";
const DENY: &str = "action = \"deny\"";

/// Whether the second of two rules is said to be dead.
#[track_caller]
fn is_dead(first: &str, second: &str) -> bool {
    let first = format!("{first}\n{STEP_UP}");
    let second = format!("{second}\n{DENY}");
    let found = warnings(&[&first, &second]);
    assert!(found.len() <= 1, "{found:#?}");
    let dead = found
        .iter()
        .any(|one| one.contains("the rule \"b\" can never match"));
    assert_eq!(dead, found.len() == 1, "{found:#?}");
    dead
}

#[test]
fn a_rule_whose_users_an_earlier_one_takes_in_can_never_match() {
    for (first, second) in [
        ("[\"*\"]", "[\"alice\", \"%dba\"]"),
        ("[\"%dba\", \"alice\"]", "[\"alice\"]"),
        ("[\"1000-1999\"]", "[1500]"),
        ("[\"1000-1999\"]", "[\"1200-1300\", 1999]"),
        ("[\"%dba\", \"!bob\"]", "[\"%dba\", \"!bob\", \"!carol\"]"),
        ("[\"1000-1999\", \"!1500\"]", "[\"1000-1100\"]"),
    ] {
        assert!(
            is_dead(&format!("users = {first}"), &format!("users = {second}")),
            "{second}"
        );
    }
}

#[test]
fn a_rule_for_anybody_else_can_match() {
    for (first, second) in [
        ("[\"alice\"]", "[\"*\"]"),
        ("[\"alice\"]", "[\"alice\", \"bob\"]"),
        ("[\"alice\"]", "[\"%alice\"]"),
        ("[\"1000-1999\"]", "[\"1999-2000\"]"),
        ("[\"*\", \"!bob\"]", "[\"%dba\"]"),
        ("[\"1000-1999\", \"!1500\"]", "[\"1400-1600\"]"),
        ("[\"*\", \"!bob\"]", "[\"bob\"]"),
    ] {
        assert!(
            !is_dead(&format!("users = {first}"), &format!("users = {second}")),
            "{second}"
        );
    }
}

#[test]
fn an_earlier_rule_that_asks_for_more_leaves_something() {
    let users = "users = [\"%dba\"]";
    let psql = format!("{users}\nprograms = [\"/usr/bin/psql\"]");
    let remote = format!("{users}\nwhen = {{ remote = true }}");
    assert!(is_dead(users, &psql));
    assert!(is_dead(users, &remote));
    assert!(is_dead(&psql, &psql));
    assert!(is_dead(&remote, &remote));
    assert!(!is_dead(&psql, users));
    assert!(!is_dead(&remote, users));
    assert!(!is_dead(&psql, &remote));
}

#[test]
fn a_rule_that_observes_leaves_everything_to_those_after_it() {
    let observe = "users = [\"*\"]\naction = \"observe\"";
    let after = format!("users = [\"alice\"]\n{STEP_UP}");
    assert_eq!(warnings(&[observe, &after]), [""; 0]);
}

#[test]
fn rules_for_each_endpoint_leave_nothing_to_one_for_all() {
    let two = "[[endpoint]]\nname = \"web\"\nhosts = [\"10.0.0.2\"]\nports = [443]\n";
    let rule = |name: &str, endpoint: &str| {
        format!(
            "[[rule]]\nname = \"{name}\"\nendpoints = [\"{endpoint}\"]\nusers = [\"alice\"]\n{DENY}\n"
        )
    };
    let rules = [rule("a", "db"), rule("b", "web"), rule("c", "*")].concat();
    let found = findings(texts(&[ENDPOINT, two, &rules]).unwrap().warnings);
    assert_eq!(found.len(), 1);
    assert!(
        found[0].contains("the rule \"c\" can never match"),
        "{found:?}"
    );
    let rules = [rule("a", "db"), rule("c", "*")].concat();
    let found = findings(texts(&[ENDPOINT, two, &rules]).unwrap().warnings);
    assert_eq!(found, [""; 0]);
}

/// The warnings about two endpoints, "a" and "b", of these keys.
fn overlaps(first: &str, second: &str) -> Vec<String> {
    let text = format!(
        "[[endpoint]]\nname = \"a\"\n{first}\n[[endpoint]]\nname = \"b\"\n{second}\n[[rule]]\n\
         name = \"r\"\nendpoints = [\"*\"]\nusers = [\"*\"]\n{DENY}\n"
    );
    findings(texts(&[&text]).unwrap().warnings)
}

#[test]
fn an_address_and_port_of_two_endpoints_is_named_with_both() {
    let one = "hosts = [\"10.0.0.1\"]\nports = [\"5000-6000\"]";
    let found = overlaps(one, "hosts = [\"10.0.0.1\"]\nports = [80, \"5432-7000\"]");
    assert_eq!(
        found,
        ["p: \"b\" never gets 10.0.0.1 ports 5432-6000: \"a\" comes first and has it, too"]
            .map(|text| text.replace("p: ", "1.toml:6:8 ")
                + "; put the more special endpoint first, or take the address out of one of them")
    );
    let wide = "hosts = [\"10.0.0.0/8\"]\nports = [5432]";
    let found = overlaps(wide, "hosts = [\"10.0.0.1\"]\nports = [5432]");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("\"b\" never gets 10.0.0.1 port 5432"),
        "{found:?}"
    );
}

#[test]
fn other_ports_other_protocols_and_a_host_before_its_network_do_not_overlap() {
    let one = "hosts = [\"10.0.0.1\"]\nports = [5432]";
    for other in [
        "hosts = [\"10.0.0.1\"]\nports = [5433]",
        "hosts = [\"10.0.0.1\"]\nports = [5432]\nprotocol = \"udp\"",
        "hosts = [\"10.0.0.2\"]\nports = [5432]",
        "hosts = [\"10.0.0.0/8\"]\nports = [5432]",
    ] {
        assert_eq!(overlaps(one, other), [""; 0], "{other}");
    }
}
