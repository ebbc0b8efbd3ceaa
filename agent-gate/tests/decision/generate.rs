// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
//! Worlds and attempts in them, drawn so that the edges are met: the first and last address
//! and port, the instant of expiry, prefixes within prefixes, every spelling of an address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::world::{
    Actor, Given, Grantee, NOBODY_KNOWN, Prefix, Service, Target, Transport, Welcome, World,
};

/// A world, and somebody in it who wants somewhere.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) world: World,
    pub(crate) actor: Actor,
    pub(crate) target: Target,
}

pub(crate) const NOW: u64 = 1_000;
const USER_SLICE: u64 = 50;
const SESSIONS: [u64; 2] = [51, 52];
const ENDPOINTS: std::ops::Range<u32> = 1..4;
/// Around both ends of the gated ranges below, and root.
const UIDS: [u32; 9] = [0, 999, 1000, 1001, 1002, 2000, 2001, 5000, NOBODY_KNOWN];

/// Where in a range of addresses or ports.
#[derive(Clone, Copy, Debug)]
enum Edge {
    BeforeFirst,
    First,
    Last,
    BehindLast,
}

const EDGES: [Edge; 4] = [Edge::BeforeFirst, Edge::First, Edge::Last, Edge::BehindLast];

fn network() -> impl Strategy<Value = (IpAddr, u8)> {
    let v4 = select(vec![
        "10.20.0.0",
        "10.20.0.128",
        "10.20.255.255",
        "127.0.0.1",
        "0.0.0.0",
    ]);
    let v6 = select(vec![
        "2001:db8::",
        "2001:db8::8000",
        "2001:db8:ffff::1",
        "::1",
        "fe80::1",
        "::",
    ]);
    prop_oneof![
        (v4, select(vec![0_u8, 8, 15, 16, 17, 24, 25, 31, 32])).prop_map(|(text, length)| {
            let bits = text.parse::<Ipv4Addr>().unwrap().to_bits();
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            (IpAddr::V4(Ipv4Addr::from_bits(bits & mask)), length)
        }),
        (
            v6,
            select(vec![0_u8, 1, 32, 63, 64, 65, 112, 113, 127, 128])
        )
            .prop_map(|(text, length)| {
                let bits = text.parse::<Ipv6Addr>().unwrap().to_bits();
                let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
                (IpAddr::V6(Ipv6Addr::from_bits(bits & mask)), length)
            }),
    ]
}

fn service() -> impl Strategy<Value = Service> {
    let transports = select(vec![
        None,
        Some(Transport::Tcp),
        Some(Transport::Tcp),
        Some(Transport::Udp),
    ]);
    let ports = prop_oneof![
        6 => (5430_u16..5440, 0_u16..4).prop_map(|(first, more)| (first, first + more)),
        1 => Just((0, 0)),
        1 => Just((u16::MAX, u16::MAX)),
        1 => Just((0, u16::MAX)),
    ];
    (ENDPOINTS, ports, transports).prop_map(|(endpoint, (first, last), transport)| Service {
        endpoint,
        first,
        last,
        transport,
    })
}

fn prefix() -> impl Strategy<Value = Prefix> {
    let services = prop_oneof![
        12 => prop::collection::vec(service(), 1..4).prop_map(Some),
        1 => prop::collection::vec(service(), 32).prop_map(Some),
        1 => Just(Some(Vec::new())),
        1 => Just(None),
    ];
    (network(), services).prop_map(|((network, length), services)| Prefix {
        network,
        length,
        services,
    })
}

fn grant() -> impl Strategy<Value = Given> {
    let to = prop_oneof![
        select([&UIDS[..], &[1000, 1001, 2000]].concat()).prop_map(Grantee::User),
        (7_u64..10).prop_map(Grantee::Socket),
    ];
    let time = || {
        select(vec![
            NOW - 1,
            NOW - 1,
            NOW,
            NOW,
            NOW + 1,
            NOW + 1,
            0,
            u64::MAX,
        ])
    };
    (to, ENDPOINTS, time(), time(), any::<u64>()).prop_map(
        |(to, endpoint, expires, cut, number)| Given {
            to,
            endpoint,
            expires,
            cut,
            number,
        },
    )
}

fn welcome() -> impl Strategy<Value = (u32, Option<u32>, Welcome)> {
    let who = prop_oneof![Just(None), select(UIDS[..8].to_vec()).prop_map(Some)];
    (
        ENDPOINTS,
        who,
        select(vec![
            Welcome::Deny,
            Welcome::Hold,
            Welcome::Hold,
            Welcome::Reject,
            Welcome::Observe,
        ]),
    )
}

prop_compose! {
    fn world()(
        mut prefixes in prop::collection::vec(prefix(), 1..6),
        mut grants in prop::collection::vec(grant(), 0..32),
        mut welcomes in prop::collection::vec(welcome(), 0..8),
        owners in prop::collection::vec(select(UIDS[..8].to_vec()), 0..3),
        gated in select(vec![vec![(1000, 2000)], vec![(5000, 5000), (1000, 1001), (2000, 1000)], vec![]]),
        user_slice in select(vec![Some((1, USER_SLICE)), Some((1, USER_SLICE)), Some((2, USER_SLICE)), None]),
        observes in prop::bool::weighted(0.1),
        configured in prop::bool::weighted(0.97),
    ) -> World {
        // A map has each key once; so have the lists.
        let mut seen = Vec::new();
        prefixes.retain(|prefix| fresh(&mut seen, (prefix.network, prefix.length)));
        let mut seen = Vec::new();
        grants.retain(|grant| fresh(&mut seen, (format!("{:?}", grant.to), grant.endpoint)));
        let mut seen = Vec::new();
        welcomes.retain(|(endpoint, who, _)| fresh(&mut seen, (*endpoint, *who)));
        let sessions = SESSIONS.into_iter().zip(owners).collect();
        World { prefixes, grants, welcomes, sessions, gated, user_slice, observes, configured, now: NOW }
    }
}

fn fresh<T: PartialEq>(seen: &mut Vec<T>, key: T) -> bool {
    let new = !seen.contains(&key);
    if new {
        seen.push(key);
    }
    new
}

prop_compose! {
    fn actor()(
        uid in select([&UIDS[..8], &[1000, 1001, 1001, 2000]].concat()),
        cgroups in select(vec![
            vec![1], vec![1, 40, 41], vec![1, USER_SLICE], vec![1, USER_SLICE, 99],
            vec![1, USER_SLICE, SESSIONS[0], 60], vec![1, USER_SLICE, SESSIONS[1]],
            vec![1, 40, USER_SLICE, SESSIONS[0]],
        ]),
        socket in 7_u64..10,
    ) -> Actor {
        Actor { uid, cgroups, socket }
    }
}

/// An address at an edge of one of the world's prefixes.
fn edge_of(prefix: &Prefix, edge: Edge) -> IpAddr {
    match prefix.network {
        IpAddr::V4(v4) => {
            let last = v4.to_bits() | u32::MAX.checked_shr(u32::from(prefix.length)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(match edge {
                Edge::BeforeFirst => v4.to_bits().wrapping_sub(1),
                Edge::First => v4.to_bits(),
                Edge::Last => last,
                Edge::BehindLast => last.wrapping_add(1),
            }))
        }
        IpAddr::V6(v6) => {
            let last = v6.to_bits() | u128::MAX.checked_shr(u32::from(prefix.length)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(match edge {
                Edge::BeforeFirst => v6.to_bits().wrapping_sub(1),
                Edge::First => v6.to_bits(),
                Edge::Last => last,
                Edge::BehindLast => last.wrapping_add(1),
            }))
        }
    }
}

fn port_of(service: &Service, edge: Edge) -> u16 {
    match edge {
        Edge::BeforeFirst => service.first.wrapping_sub(1),
        Edge::First => service.first,
        Edge::Last => service.last,
        Edge::BehindLast => service.last.wrapping_add(1),
    }
}

/// IPv4 addresses may be spelled as IPv6.
fn spelled(address: IpAddr, mapped: bool) -> IpAddr {
    match address {
        IpAddr::V4(v4) if mapped => IpAddr::V6(v4.to_ipv6_mapped()),
        other => other,
    }
}

fn transport() -> impl Strategy<Value = Transport> {
    use Transport::{Dccp, Icmp, Icmpv6, Sctp, Tcp, Udp, UdpLite, Unreadable};
    select(vec![
        Tcp, Tcp, Tcp, Tcp, Tcp, Tcp, Udp, Udp, UdpLite, Sctp, Dccp, Icmp, Icmpv6, Unreadable,
    ])
}

prop_compose! {
    /// A case; three of four addresses are taken from the world's prefixes.
    pub(crate) fn case()(
        world in world(),
        actor in actor(),
        (prefix, service) in any::<(Index, Index)>(),
        (at, port_at) in (select(EDGES.to_vec()), select(EDGES.to_vec())),
        special in prop::option::weighted(0.25, select(vec!["0.0.0.0", "::", "::ffff:0.0.0.0", "127.0.0.1", "::1", "::2", "0.0.0.1", "::ffff:0:0:1"])),
        mapped in any::<bool>(),
        readable in prop::bool::weighted(0.9),
        transport in transport(),
    ) -> Case {
        let prefix = prefix.get(&world.prefixes).clone();
        let address = match special {
            Some(text) => text.parse().unwrap(),
            None => spelled(edge_of(&prefix, at), mapped),
        };
        let services = prefix.services.unwrap_or_default();
        let port = if services.is_empty() { 5432 } else { port_of(service.get(&services), port_at) };
        let target = Target { address, port: readable.then_some(port), transport };
        Case { world, actor, target }
    }
}
