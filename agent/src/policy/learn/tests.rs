// SPDX-License-Identifier: Apache-2.0 OR MIT
use super::*;
use crate::policy::compile;
use crate::policy::testing::{FakeNames, policy as policy_of};

/// A policy of endpoints, each with its host names and ports.
fn policy(endpoints: &[(&str, &[HostName], &str)]) -> Policy {
    let text = endpoints.iter().enumerate().map(|(at, (name, _, ports))| {
        format!("[[endpoint]]\nname = \"{name}\"\nhosts = [\"192.0.2.{at}\"]\nports = [{ports}]\n")
    });
    let mut policy = policy_of(&text.collect::<String>());
    for (endpoint, (_, names, _)) in policy.endpoints.iter_mut().zip(endpoints) {
        endpoint.names = names.to_vec();
    }
    policy
}

fn exact(name: &str) -> HostName {
    HostName::new(name).unwrap()
}

fn learned(known: &[(&HostName, &[&str])]) -> Learned {
    let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    known
        .iter()
        .map(|(name, texts)| ((*name).clone(), addresses(texts)))
        .collect()
}

fn resolved(policy: &Policy, at: usize) -> Vec<String> {
    let networks = policy.endpoints[at].resolved.iter();
    networks.map(ToString::to_string).collect()
}

#[test]
fn each_endpoint_gets_the_addresses_of_its_names_once() {
    let (one, wild, other) = (
        exact("db1.example"),
        exact("*.db.example"),
        exact("db2.example"),
    );
    let mut policy = policy(&[
        ("a", &[one.clone(), wild.clone()], "5432"),
        ("b", std::slice::from_ref(&other), "6432"),
        ("c", &[], "7432"),
    ]);
    assert_eq!(policy.host_names().len(), 3);
    let known = learned(&[
        (&one, &["10.0.0.2", "fd00::1"]),
        (&wild, &["10.0.0.2", "10.0.0.1"]),
        (&exact("unknown.example"), &["10.0.0.9"]),
    ]);
    assert_eq!(policy.learn(&known, &[]), []);
    assert_eq!(
        resolved(&policy, 0),
        ["10.0.0.1/32", "10.0.0.2/32", "fd00::1/128"]
    );
    assert_eq!(resolved(&policy, 1), Vec::<String>::new());
    assert_eq!(resolved(&policy, 2), Vec::<String>::new());
    let found = policy.endpoint_at("10.0.0.1".parse().unwrap(), 5432, 6);
    assert_eq!(found.unwrap().name.as_str(), "a");
    // What is learned later takes the place of that.
    policy.learn(&learned(&[(&other, &["10.0.0.3"])]), &[]);
    assert_eq!(resolved(&policy, 0), Vec::<String>::new());
    assert_eq!(resolved(&policy, 1), ["10.0.0.3/32"]);
}

#[test]
fn what_is_learned_is_in_the_tables_of_the_kernel() {
    let name = exact("db1.example");
    let mut policy = policy(&[("a", std::slice::from_ref(&name), "5432")]);
    policy.learn(&learned(&[(&name, &["10.0.0.2", "fd00::1"])]), &[]);
    let tables = compile(&policy, &FakeNames::default()).unwrap();
    let v4: Vec<_> = tables.v4.iter().map(|(net, _)| net.to_string()).collect();
    assert_eq!(v4, ["10.0.0.2/32", "192.0.2.0/32"]);
    assert_eq!(tables.v6[0].0.to_string(), "fd00::1/128");
}

#[test]
fn an_address_behind_nat64_is_what_the_gate_looks_up() {
    let (through, written): (Ipv6Net, Ipv6Net) = (
        "64:ff9b::/96".parse().unwrap(),
        "2001:db8:64::/48".parse().unwrap(),
    );
    let name = exact("db1.example");
    let mut policy = policy(&[("a", std::slice::from_ref(&name), "5432")]);
    policy.add_nat64(&[through, written]);
    let known = learned(&[(&name, &["64:ff9b::a00:2"])]);
    policy.learn(&known, &[through, written]);
    assert_eq!(
        resolved(&policy, 0),
        ["10.0.0.2/32", "2001:db8:64:a00:0:200::/88"]
    );
    let found = policy.endpoint_at("64:ff9b::a00:2".parse().unwrap(), 5432, 6);
    assert!(found.is_some());
}

#[test]
fn an_endpoint_that_can_not_take_its_addresses_keeps_what_it_had_and_the_others_learn() {
    let ports = |first: u16| -> String {
        let spans = (0..20).map(|n| format!("{}", first + 2 * n));
        spans.collect::<Vec<_>>().join(", ")
    };
    let names = ["one.example", "two.example", "three.example"].map(exact);
    let (first, second, third) = (ports(1000), ports(2000), ports(3000));
    let mut policy = policy(&[
        ("one", &names[..1], &first),
        ("two", &names[1..2], &second),
        ("three", &names[2..], &third),
    ]);
    let earlier = learned(&[(&names[1], &["10.0.0.7"])]);
    policy.learn(&earlier, &[]);
    let known = learned(&[
        (&names[0], &["10.0.0.1"]),
        (&names[1], &["10.0.0.1"]),
        (&names[2], &["10.0.0.3"]),
    ]);
    let refused = policy.learn(&known, &[]);
    assert_eq!(refused.len(), 1);
    let text = refused[0].to_string();
    assert!(
        text.starts_with("two: ") && text.contains("NOT protected"),
        "{text}"
    );
    assert_eq!(resolved(&policy, 0), ["10.0.0.1/32"]);
    assert_eq!(resolved(&policy, 1), ["10.0.0.7/32"]);
    assert_eq!(resolved(&policy, 2), ["10.0.0.3/32"]);
    assert!(compile(&policy, &FakeNames::default()).is_ok());
}
