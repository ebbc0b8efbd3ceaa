// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
//! What the gate reads from packets, against a builder that knows what it put in.

mod build;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use stile_gate::{Address, Direction, Parsed, parse};

use crate::build::{Extension, Network, Plan, Truth};

const CASES: u32 = 8192;
/// How many cases must show each of [`SIGHTS`]. Each is met more than twice as often.
const ENOUGH: u32 = 15;

/// What a run must have met.
const SIGHTS: [&str; 15] = [
    "a port over IPv4",
    "a port behind IPv4 options",
    "a port of a first fragment over IPv4",
    "no port of a later fragment over IPv4",
    "a port over IPv6",
    "a port behind five extension headers",
    "no port behind six",
    "a port of a first fragment over IPv6",
    "no port of a later fragment over IPv6",
    "cut before the port",
    "cut within the port",
    "cut before the end of the address",
    "a source route over IPv4",
    "a source route over IPv6",
    "a route of a packet that arrives",
];

fn extension() -> impl Strategy<Value = Extension> {
    prop_oneof![
        (0_u8..3).prop_map(|units| Extension::HopByHop { units }),
        (0_u8..3).prop_map(|units| Extension::Destination { units }),
        (0_u8..3, 0_u8..2).prop_map(|(units, left)| Extension::Routed { units, left }),
        (0_u8..5).prop_map(|words| Extension::Authentication { words }),
        Just(Extension::FirstFragment),
    ]
}

fn network() -> impl Strategy<Value = Network> {
    let v4 = prop_oneof![Just(0_u32), any::<u32>()];
    let offset = || prop_oneof![3 => Just(0_u16), 1 => select(vec![1_u16, 31, 32, 256, 0x1fff])];
    let v6 = prop_oneof![
        Just(0_u128),
        any::<u32>().prop_map(|v4| 0xffff_0000_0000 | u128::from(v4)),
        any::<u128>(),
    ];
    let later = prop::option::weighted(
        0.1,
        (
            select(vec![1_u16, 31, 32, 0x1fff]),
            any::<prop::sample::Index>(),
        ),
    );
    prop_oneof![
        (v4, 0_u8..11, any::<bool>(), offset(), any::<bool>()).prop_map(
            |(to, option_words, route, fragment_offset, more_fragments)| {
                let to = Ipv4Addr::from_bits(to);
                Network::V4 {
                    to,
                    option_words,
                    route,
                    fragment_offset,
                    more_fragments,
                }
            }
        ),
        (v6, prop::collection::vec(extension(), 0..8), later).prop_map(
            |(to, mut extensions, later)| {
                if let Some((offset, at)) = later {
                    extensions.insert(
                        at.index(extensions.len() + 1),
                        Extension::LaterFragment { offset },
                    );
                }
                Network::V6 {
                    to: Ipv6Addr::from_bits(to),
                    extensions,
                }
            }
        ),
    ]
}

fn plan() -> impl Strategy<Value = Plan> {
    let cut = prop::option::weighted(0.4, 0_usize..120);
    let protocol = select(vec![6_u8, 17, 132, 33, 136]);
    (
        network(),
        protocol,
        any::<u16>(),
        any::<u8>(),
        any::<bool>(),
        cut,
    )
        .prop_map(|(network, protocol, port, filler, arriving, cut)| Plan {
            network,
            protocol,
            port,
            filler,
            arriving,
            cut,
        })
}

fn sights(plan: &Plan, bytes: &[u8], truth: Option<&Truth>) -> Vec<&'static str> {
    let whole = Plan {
        cut: None,
        ..plan.clone()
    }
    .build()
    .1;
    let port_at = whole.and_then(|truth| truth.port).map(|(_, at)| at);
    let mut seen = Vec::new();
    let mut see = |what, really| {
        if really {
            seen.push(what);
        }
    };
    see("cut before the end of the address", truth.is_none());
    see(
        "cut before the port",
        truth.is_some() && port_at.is_some_and(|at| bytes.len() <= at),
    );
    see(
        "cut within the port",
        port_at.is_some_and(|at| (at + 1..at + 4).contains(&bytes.len())),
    );
    let Some(truth) = truth else { return seen };
    let v4 = matches!(plan.network, Network::V4 { .. });
    see("a source route over IPv4", truth.routed && v4);
    see("a source route over IPv6", truth.routed && !v4);
    let has_route = match &plan.network {
        Network::V4 { route, .. } => *route,
        Network::V6 { extensions, .. } => extensions
            .iter()
            .any(|extension| matches!(extension, Extension::Routed { left: 1.., .. })),
    };
    see(
        "a route of a packet that arrives",
        has_route && plan.arriving,
    );
    let port = truth.port.is_some();
    match &plan.network {
        Network::V4 {
            option_words,
            fragment_offset,
            more_fragments,
            ..
        } => {
            see("a port over IPv4", port);
            see("a port behind IPv4 options", port && *option_words > 0);
            see(
                "a port of a first fragment over IPv4",
                port && *more_fragments,
            );
            see(
                "no port of a later fragment over IPv4",
                !port && *fragment_offset != 0,
            );
        }
        Network::V6 { extensions, .. } => {
            let fragment =
                |extension: &Extension| matches!(extension, Extension::LaterFragment { .. });
            see("a port over IPv6", port);
            see(
                "a port behind five extension headers",
                port && extensions.len() == 5,
            );
            see("no port behind six", !port && extensions.len() == 6);
            see(
                "a port of a first fragment over IPv6",
                port && extensions.contains(&Extension::FirstFragment),
            );
            see(
                "no port of a later fragment over IPv6",
                !port && extensions.iter().any(fragment),
            );
        }
    }
    seen
}

/// The address as records carry it, said by the standard library.
fn recorded(to: IpAddr) -> [u8; 16] {
    let v4 = |v4: Ipv4Addr| {
        let meant = if v4.is_unspecified() {
            Ipv4Addr::LOCALHOST
        } else {
            v4
        };
        meant.to_ipv6_mapped().octets()
    };
    match to {
        IpAddr::V4(address) => v4(address),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(mapped) => v4(mapped),
            None if address.is_unspecified() => Ipv6Addr::LOCALHOST.octets(),
            None => address.octets(),
        },
    }
}

/// Bytes of a packet behind the four-byte loads that the kernel offers.
fn load(packet: &[u8]) -> impl Fn(u32) -> Option<[u8; 4]> + '_ {
    move |offset| packet.get(offset as usize..)?.first_chunk().copied()
}

fn check(truth: Option<&Truth>, parsed: Option<Parsed>) -> Result<(), TestCaseError> {
    let (Some(truth), Some(parsed)) = (truth, parsed) else {
        prop_assert_eq!(truth.is_some(), parsed.is_some());
        return Ok(());
    };
    let Parsed {
        destination,
        routed,
    } = parsed;
    prop_assert_eq!(routed, truth.routed);
    prop_assert_eq!(Address::octets(&destination.address), recorded(truth.to));
    prop_assert_eq!(
        destination.protocol,
        truth.protocol.unwrap_or(stile_common::protocol::UNKNOWN)
    );
    match truth.port {
        Some((port, _)) => prop_assert_eq!(destination.port, u32::from(port)),
        None => prop_assert_eq!(destination.port, stile_common::PORT_UNKNOWN),
    }
    Ok(())
}

#[test]
fn packets_are_read_as_they_were_built() {
    let counts = RefCell::new(BTreeMap::from(SIGHTS.map(|sight| (sight, 0_u32))));
    let mut runner = TestRunner::new(Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    });
    let read = runner.run(&plan(), |plan| {
        let (bytes, truth) = plan.build();
        for sight in sights(&plan, &bytes, truth.as_ref()) {
            *counts.borrow_mut().get_mut(sight).unwrap() += 1;
        }
        let direction = if plan.arriving {
            Direction::Arriving
        } else {
            Direction::Leaving
        };
        check(truth.as_ref(), parse(load(&bytes), direction))
    });
    read.unwrap_or_else(|error| panic!("{error}"));
    let missed: Vec<_> = counts
        .into_inner()
        .into_iter()
        .filter(|(_, seen)| *seen < ENOUGH)
        .collect();
    assert!(missed.is_empty(), "the draw hardly ever meets {missed:?}");
}

#[test]
fn what_is_not_ip_goes_nowhere() {
    for version in (0..16_u8).filter(|version| ![4, 6].contains(version)) {
        let packet = [version << 4 | 5; 64];
        let parsed = parse(load(&packet), Direction::Leaving);
        assert_eq!(parsed, None, "version {version}");
    }
}
