// SPDX-License-Identifier: Apache-2.0 OR MIT
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use stile_common::protocol;

use super::*;
use crate::policy::evaluate;
use crate::policy::testing::{FakeFacts, FakeNames, policy};
use crate::policy::{EndpointName, Existing, PolicyVersion, PortSpan, Protocol};

const ENDPOINTS: &str = r#"
[[endpoint]]
name = "db"
hosts = ["10.0.0.1"]
ports = [5432]
"#;

fn rule(name: &str, users: &str, action: &str) -> String {
    format!(
        "[[rule]]\nname = {name:?}\nendpoints = [\"db\"]\nusers = [{users}]\naction = {action}\n"
    )
}

fn tables(rules: &[String], names: &FakeNames) -> KernelTables {
    compile(&policy(&format!("{ENDPOINTS}{}", rules.concat())), names).unwrap()
}

/// What the kernel finds for a subject of the endpoint "db".
fn mode(tables: &KernelTables, uid: u32) -> u32 {
    let endpoint = EndpointId::from_name("db").0;
    let find = |uid| {
        let key = FirstKey { endpoint, uid };
        tables
            .first
            .iter()
            .find(|(one, _)| *one == key)
            .map(|(_, mode)| *mode)
    };
    find(uid).or_else(|| find(UID_ANY)).unwrap_or(first::DENY)
}

fn names() -> FakeNames {
    FakeNames::default()
        .user("alice", 1001, &[("dba", 50)])
        .user("bob", 1002, &[("ops", 51)])
        .user("carol", 1003, &[])
}

const ASK: &str = "\"step-up\"";
const ASK_LATER: &str = "\"step-up\"\nfirst = \"reject\"";
const DENY: &str = "\"deny\"";
const ALLOW: &str = "\"allow\"\nttl = \"1h\"";

#[test]
fn without_a_rule_everybody_is_refused() {
    assert_eq!(mode(&tables(&[], &names()), 1001), first::DENY);
}

#[test]
fn each_user_has_the_mode_of_their_first_rule() {
    let rules = [
        rule("a", "\"alice\"", DENY),
        rule("b", "1002", ASK_LATER),
        rule("c", "\"*\"", ASK),
    ];
    let tables = tables(&rules, &names());
    assert_eq!(mode(&tables, 1001), first::DENY);
    assert_eq!(mode(&tables, 1002), first::REJECT);
    assert_eq!(mode(&tables, 4711), first::HOLD);
    assert_eq!(tables.problems, []);
}

#[test]
fn an_allow_rule_holds_until_the_daemon_has_allowed() {
    assert_eq!(
        mode(&tables(&[rule("a", "\"alice\"", ALLOW)], &names()), 1001),
        first::HOLD
    );
}

#[test]
fn a_user_for_whom_nothing_special_holds_has_no_entry() {
    let rules = [rule("a", "\"alice\", 1002", ASK), rule("b", "\"*\"", ASK)];
    assert_eq!(tables(&rules, &names()).first.len(), 1);
}

#[test]
fn members_of_a_group_have_the_mode_of_its_rule() {
    let rules = [
        rule("a", "\"%dba\"", DENY),
        rule("b", "\"%ops\"", ASK_LATER),
        rule("c", "\"*\"", ASK),
    ];
    let tables = tables(&rules, &names());
    assert_eq!(mode(&tables, 1001), first::DENY);
    assert_eq!(mode(&tables, 1002), first::REJECT);
    assert_eq!(mode(&tables, 1003), first::HOLD);
}

#[test]
fn a_member_whom_no_list_names_is_not_refused_in_the_kernel() {
    let rules = [rule("a", "\"%dba\"", ASK_LATER), rule("b", "\"*\"", DENY)];
    let hidden = names().unlisted(50);
    assert_eq!(mode(&tables(&rules, &hidden), 1001), first::REJECT);
    assert_eq!(mode(&tables(&rules[..1], &hidden), 1001), first::REJECT);
}

#[test]
fn a_name_that_is_not_known_yet_is_not_refused_in_the_kernel() {
    let rules = [rule("a", "\"dave\"", ASK)];
    assert_eq!(mode(&tables(&rules, &names()), 1004), first::HOLD);
}

#[test]
fn a_group_behind_a_rule_for_everybody_opens_nothing() {
    let rules = [rule("a", "\"*\"", DENY), rule("b", "\"%dba\"", ASK)];
    let tables = tables(&rules, &names());
    assert_eq!(mode(&tables, 1001), first::DENY);
    assert_eq!(mode(&tables, 4711), first::DENY);
}

#[test]
fn a_rule_that_cannot_be_judged_leaves_it_to_the_daemon() {
    let rules = [rule("a", "\"%banned\"", DENY), rule("b", "\"alice\"", ASK)];
    let tables = tables(&rules, &names().failing("banned"));
    assert_eq!(mode(&tables, 1001), first::HOLD);
    assert_eq!(tables.problems.len(), 1);
}

#[test]
fn the_longest_hold_is_that_of_the_rules() {
    let long = "\"step-up\"\nmax_hold = \"3m\"";
    let rules = [
        rule("a", "1", long),
        rule("b", "2", ASK),
        rule("c", "3", ASK_LATER),
    ];
    assert_eq!(tables(&rules, &names()).max_hold, Duration::from_secs(180));
    assert_eq!(tables(&rules[2..], &names()).max_hold, DEFAULT_HOLD);
}

#[test]
fn a_prefix_with_too_many_ranges_is_refused() {
    let mut policy = policy(ENDPOINTS);
    policy.endpoints[0].ports = vec![PortSpan { first: 1, last: 2 }; MAX_CLASS_PORTS + 1];
    let error = compile(&policy, &names()).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("10.0.0.1/32 has 33 port ranges, of the endpoints db")
    );
}

#[test]
fn endpoints_that_share_all_prefixes_share_a_class() {
    let policy = policy(
        r#"
[[endpoint]]
name = "a"
hosts = ["10.0.0.0/8", "fd00::/8"]
ports = [1]
[[endpoint]]
name = "b"
hosts = ["10.1.0.0/16", "fd01::/16"]
ports = [2]
"#,
    );
    let tables = compile(&policy, &names()).unwrap();
    assert_eq!(
        (tables.v4.len(), tables.v6.len(), tables.classes.len()),
        (2, 2, 2)
    );
}

/// What the kernel finds: the class of the longest prefix, and the first range in it.
fn lookup(tables: &KernelTables, address: IpAddr, port: u16, number: u8) -> Option<EndpointId> {
    let class = match address {
        IpAddr::V4(address) => longest(&tables.v4, |net| {
            net.contains(&address).then_some(net.prefix_len())
        }),
        IpAddr::V6(address) => longest(&tables.v6, |net| {
            net.contains(&address).then_some(net.prefix_len())
        }),
    };
    let class = &tables.classes[usize::try_from(class?).unwrap()];
    let ranges = &class.ranges[..usize::try_from(class.len).unwrap()];
    let fits = |range: &&PortRange| {
        let protocol = match number {
            protocol::UDP_LITE => [protocol::UDP_LITE, protocol::UDP, protocol::ANY],
            other => [other, other, protocol::ANY],
        };
        protocol.contains(&range.protocol) && (range.first..=range.last).contains(&port)
    };
    ranges
        .iter()
        .find(fits)
        .map(|range| EndpointId(range.endpoint))
}

fn longest<N>(table: &[(N, u32)], length: impl Fn(&N) -> Option<u8>) -> Option<u32> {
    let matching = table
        .iter()
        .filter_map(|(net, class)| Some((length(net)?, *class)));
    matching
        .max_by_key(|(length, _)| *length)
        .map(|(_, class)| class)
}

/// Few addresses and ports, so that prefixes nest, ranges overlap and questions hit.
fn an_address() -> impl Strategy<Value = IpAddr> {
    let v4 = (0..4u8, 0..4u8).prop_map(|(a, b)| IpAddr::V4(Ipv4Addr::new(10, a << 6, 0, b)));
    let v6 = (0..4u16, 0..4u16)
        .prop_map(|(a, b)| IpAddr::V6(Ipv6Addr::new(0xfd00, a << 14, 0, 0, 0, 0, 0, b)));
    prop_oneof![v4, v6]
}

fn a_network() -> impl Strategy<Value = IpNet> {
    (
        an_address(),
        prop_oneof![Just(1), 8..=12u8, 16..=18u8, 30..=32u8, 126..=128u8],
    )
        .prop_map(|(address, length)| {
            let most = if address.is_ipv4() { 32 } else { 128 };
            IpNet::new(address, length.min(most)).unwrap().trunc()
        })
}

fn ports() -> impl Strategy<Value = PortSpan> {
    (1..8u16, 0..4u16).prop_map(|(first, more)| PortSpan {
        first,
        last: first + more,
    })
}

fn an_endpoint() -> impl Strategy<Value = (Vec<IpNet>, Vec<PortSpan>, Protocol)> {
    (
        prop::collection::vec(a_network(), 1..4),
        prop::collection::vec(ports(), 1..4),
        prop_oneof![
            Just(Protocol::Tcp),
            Just(Protocol::Udp),
            Just(Protocol::Any)
        ],
    )
}

fn a_policy() -> impl Strategy<Value = Policy> {
    prop::collection::vec(an_endpoint(), 1..8).prop_map(|endpoints| {
        let named = endpoints.into_iter().enumerate();
        let endpoints = named.map(|(number, (hosts, ports, protocol))| {
            let name = format!("e{number}");
            Endpoint {
                id: EndpointId::from_name(&name),
                name: EndpointName::new(&name).unwrap(),
                hosts,
                names: Vec::new(),
                resolved: Vec::new(),
                ports,
                protocol,
                existing: Existing::Close,
            }
        });
        Policy {
            endpoints: endpoints.collect::<Vec<_>>().into(),
            rules: Vec::new().into(),
            risks: Vec::new(),
            thresholds: Vec::new(),
            break_glass: Vec::new(),
            mode: Mode::Enforce,
            nat64: Vec::new(),
            levels: crate::policy::Levels::default(),
            version: PolicyVersion::of([]),
        }
    })
}

fn a_protocol() -> impl Strategy<Value = u8> {
    prop::sample::select(vec![
        protocol::TCP,
        protocol::UDP,
        protocol::UDP_LITE,
        protocol::SCTP,
        protocol::DCCP,
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_kernel_finds_the_endpoint_that_the_policy_names(
        policy in a_policy(),
        questions in prop::collection::vec((an_address(), 1..12u16, a_protocol()), 20),
    ) {
        let tables = compile(&policy, &FakeNames::default()).unwrap();
        for (address, port, number) in questions {
            let named = policy.endpoint_at(address, port, number).map(|one| one.id);
            prop_assert_eq!(lookup(&tables, address, port, number), named);
        }
    }
}

/// Users 0 to 3 in groups 0 to 2 by the bits of `groups`; some of them can't be listed.
fn some_names() -> impl Strategy<Value = FakeNames> {
    let groups = prop::collection::vec(0..8u32, 4);
    (groups, 0..8u32, prop::option::of(0..3u32)).prop_map(|(groups, unlisted, failing)| {
        let mut names = FakeNames::default();
        for (uid, bits) in (0..).zip(groups) {
            let of: Vec<_> = (0..3).filter(|gid| bits & (1 << gid) != 0).collect();
            let named: Vec<_> = of.iter().map(|gid| (format!("g{gid}"), *gid)).collect();
            let named: Vec<_> = named
                .iter()
                .map(|(name, gid)| (name.as_str(), *gid))
                .collect();
            names = names.user(&format!("u{uid}"), uid, &named);
        }
        for gid in (0..3).filter(|gid| unlisted & (1 << gid) != 0) {
            names = names.unlisted(gid);
        }
        match failing {
            Some(gid) => names.failing(&format!("g{gid}")),
            None => names,
        }
    })
}

fn some_rules() -> impl Strategy<Value = Vec<String>> {
    let users = prop::sample::select(vec![
        "\"u0\"",
        "1",
        "\"%g0\"",
        "\"%g1\", \"u2\"",
        "\"%g2\"",
        "\"*\"",
        "\"*\", \"!u1\"",
        "\"*\", \"!%g1\"",
        "\"2-4\", \"!3\"",
    ]);
    let action = prop::sample::select(vec![
        ASK,
        ASK_LATER,
        DENY,
        ALLOW,
        "\"observe\"",
        "\"step-up\"\nscope = \"process\"\nfirst = \"reject\"",
    ]);
    let when = prop::sample::select(vec![
        "",
        "",
        "",
        "when = { remote = true }\n",
        "when = { hours = \"08:00-11:00\", tz = \"UTC\" }\n",
        "programs = [\"/usr/bin/psql\"]\n",
    ]);
    prop::collection::vec((users, action, when), 0..5).prop_map(|rules| {
        let numbered = rules.into_iter().enumerate();
        numbered
            .map(|(number, (users, action, when))| {
                rule(&format!("r{number}"), users, action) + when
            })
            .collect()
    })
}

/// A connection of which something is known, or nothing.
fn some_facts() -> impl Strategy<Value = FakeFacts> {
    let remote = prop::option::of(prop::bool::ANY);
    let program = prop::option::of(prop::sample::select(vec!["/usr/bin/psql", "/bin/sh"]));
    (9..13_u8, remote, program).prop_map(|(hour, remote, program)| {
        let mut facts = FakeFacts::at(&format!("2026-01-05T{hour:02}:30:00Z"));
        if let Some(remote) = remote {
            facts = facts.remote(remote);
        }
        match program {
            Some(program) => facts.running(program),
            None => facts,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    /// What the kernel does by itself is what the policy says of this very connection; all else
    /// it leaves to the daemon.
    #[test]
    fn the_kernel_does_by_itself_only_what_the_policy_says(
        rules in some_rules(),
        names in some_names(),
        facts in some_facts(),
        uid in 0..6_u32,
    ) {
        let policy = policy(&format!("{ENDPOINTS}{}", rules.concat()));
        let tables = compile(&policy, &names).unwrap();
        let db = EndpointId::from_name("db");
        let (found, _) = evaluate(&policy, &names, &facts, db, Uid(uid));
        match mode(&tables, uid) {
            first::DENY => {
                prop_assert_eq!(&found.action, &Action::Deny);
                prop_assert!(found.observed.is_none());
            }
            first::OBSERVE => prop_assert!(found.observed.is_some()),
            // The next connection of the user passes under the grant that this one earns.
            first::REJECT => prop_assert!(!found.varies),
            other => prop_assert_eq!(other, first::HOLD),
        }
    }
}
