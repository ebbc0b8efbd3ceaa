// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
//! The gate against a plain reading of what it promises ([`world`]), over worlds that are
//! drawn at random, with proof that the draw meets what matters.

#![expect(clippy::unwrap_used, reason = "these are tests")]

mod generate;
mod tables;
mod world;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use stile_gate::{Packet, Verdict, judge_connect, judge_unseen, kept_grant};

use crate::generate::{Case, NOW, case};
use crate::tables::{Layout, Maps, destination, verdict};
use crate::world::{Answer, NOBODY_KNOWN, Transport, Welcome, plain};

/// How many worlds are drawn.
const CASES: u32 = 8192;
/// How many of them must show each of [`SIGHTS`]. Each is met more than twice as often.
const ENOUGH: u32 = 20;

/// What a run must have met.
const SIGHTS: [&str; 28] = [
    "unprotected",
    "exempt",
    "granted",
    "held",
    "rejected",
    "denied",
    "observed by a rule",
    "observed by the whole policy",
    "contradiction: no class",
    "contradiction: no settings",
    "granted one nanosecond before the end",
    "not granted at the end",
    "not granted after the end",
    "asked in spite of its socket's grant",
    "asked for somebody unknown",
    "a session's owner answers for another uid",
    "first port",
    "last port",
    "port before the first",
    "port behind the last",
    "unreadable port",
    "unreadable protocol",
    "UDP-Lite taken for UDP",
    "the longer of two prefixes says something else",
    "mapped address",
    "this host by a zero address",
    "outside of every prefix",
    "cut in time",
];

/// What there is to see in a case and its answer.
fn sights(case: &Case, answer: &Answer) -> Vec<&'static str> {
    let Case {
        world,
        actor,
        target,
    } = case;
    let protected = !matches!(answer, Answer::Unprotected);
    let mut seen = vec![match answer {
        Answer::Unprotected => "unprotected",
        Answer::Exempt { .. } => "exempt",
        Answer::Granted { .. } => "granted",
        Answer::Asked {
            welcome: Welcome::Hold,
            ..
        } => "held",
        Answer::Asked {
            welcome: Welcome::Reject,
            ..
        } => "rejected",
        Answer::Asked {
            welcome: Welcome::Deny,
            ..
        } => "denied",
        Answer::Asked {
            welcome: Welcome::Observe,
            ..
        } if world.observes => "observed by the whole policy",
        Answer::Asked {
            welcome: Welcome::Observe,
            ..
        } => "observed by a rule",
        Answer::Contradiction if world.configured => "contradiction: no class",
        Answer::Contradiction => "contradiction: no settings",
    }];
    let mut see = |what, really| {
        if really {
            seen.push(what);
        }
    };
    if let Answer::Granted { grant, .. } = answer {
        see(
            "granted one nanosecond before the end",
            grant.expires == NOW + 1,
        );
        see("cut in time", grant.cut <= NOW);
    }
    if let Answer::Asked {
        endpoint, subject, ..
    } = answer
    {
        let ended = |at: u64| {
            let asked = world.grant_of(*subject, *endpoint);
            asked.is_some_and(|grant| grant.expires == at)
        };
        let own = world.given_to(world::Grantee::Socket(actor.socket), *endpoint);
        see(
            "asked in spite of its socket's grant",
            own.is_some_and(|own| own.expires > NOW),
        );
        see("not granted at the end", ended(NOW));
        see("not granted after the end", ended(NOW - 1));
        see("asked for somebody unknown", *subject == NOBODY_KNOWN);
        see(
            "a session's owner answers for another uid",
            *subject != actor.uid && *subject != NOBODY_KNOWN,
        );
    }
    let address = plain(target.address);
    let prefixes: Vec<_> = world
        .prefixes
        .iter()
        .filter(|prefix| prefix.holds(address))
        .collect();
    see("outside of every prefix", prefixes.is_empty());
    let mut endpoints: Vec<_> = prefixes
        .iter()
        .map(|prefix| {
            prefix
                .services
                .iter()
                .flatten()
                .find(|service| service.serves(target))
                .map(|s| s.endpoint)
        })
        .collect();
    endpoints.dedup();
    see(
        "the longer of two prefixes says something else",
        endpoints.len() > 1,
    );
    let services = || {
        world
            .prefix_of(address)
            .into_iter()
            .flat_map(|prefix| prefix.services.iter().flatten())
    };
    if let Some(port) = target.port {
        see(
            "first port",
            protected
                && services().any(|service| service.first == port && service.first < service.last),
        );
        see(
            "last port",
            protected
                && services().any(|service| service.last == port && service.first < service.last),
        );
        see(
            "port before the first",
            !protected && services().any(|service| service.first.wrapping_sub(1) == port),
        );
        see(
            "port behind the last",
            !protected && services().any(|service| service.last.wrapping_add(1) == port),
        );
    }
    see("unreadable port", protected && target.port.is_none());
    see(
        "unreadable protocol",
        protected && target.transport == Transport::Unreadable,
    );
    let of_udp = services()
        .any(|service| service.transport == Some(Transport::Udp) && service.serves(target));
    see(
        "UDP-Lite taken for UDP",
        protected && target.transport == Transport::UdpLite && of_udp,
    );
    see(
        "mapped address",
        protected && target.address != address && !target.address.is_unspecified(),
    );
    see(
        "this host by a zero address",
        protected && (target.address.is_unspecified() || zero_mapped(target.address)),
    );
    seen
}

fn zero_mapped(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some_and(|v4| v4.is_unspecified()))
}

#[test]
fn the_gate_judges_as_a_plain_reading_of_its_promises_does() {
    let counts = RefCell::new(BTreeMap::from(SIGHTS.map(|sight| (sight, 0_u32))));
    let mut runner = TestRunner::new(Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    });
    let judged = runner.run(&case(), |case| {
        let expected = case.world.judge(&case.actor, &case.target);
        for sight in sights(&case, &expected) {
            *counts.borrow_mut().get_mut(sight).unwrap() += 1;
        }
        for layout in Layout::ALL {
            let maps = Maps::of(&case.world, layout);
            let got = judge_connect(&maps, &case.actor, &destination(&case.target));
            prop_assert_eq!(got, verdict(&expected), "{:?}", layout);
        }
        Ok(())
    });
    judged.unwrap_or_else(|error| panic!("{error}"));
    let missed: Vec<_> = counts
        .into_inner()
        .into_iter()
        .filter(|(_, seen)| *seen < ENOUGH)
        .collect();
    assert!(missed.is_empty(), "the draw hardly ever meets {missed:?}");
}

proptest! {
    #![proptest_config(Config { cases: 4096, failure_persistence: None, ..Config::default() })]

    #[test]
    fn packets_of_unseen_sockets_pass_as_a_plain_reading_says(case in case()) {
        let Case { world, actor, target } = &case;
        let got = judge_unseen(&Maps::of(world, Layout::ALL[3]), actor, &destination(target));
        prop_assert_eq!(!matches!(got, Packet::Drop(_)), world.passes(actor, target));
    }

    #[test]
    fn a_connection_goes_on_until_its_grant_cuts_it(case in case()) {
        let Case { world, actor, .. } = &case;
        let maps = Maps::of(world, Layout::ALL[0]);
        if let Some(subject) = world.subject_of(actor) {
            for endpoint in 0..4 {
                let kept = kept_grant(&maps, actor.socket, subject, endpoint);
                prop_assert_eq!(kept.is_some(), world.goes_on(subject, actor.socket, endpoint));
            }
        }
    }

    /// Nothing but the daemon's tables makes a destination the gate's business.
    #[test]
    fn without_prefixes_nothing_is_protected(mut case in case()) {
        case.world.prefixes.clear();
        let got = judge_connect(&Maps::of(&case.world, Layout::ALL[0]), &case.actor, &destination(&case.target));
        prop_assert_eq!(got, Verdict::Unprotected);
    }
}
