// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
//! Properties of the decision, checked against a plain reading of the same tables.

use std::collections::HashMap;
use std::vec::Vec;

use proptest::prelude::*;
use stile_common::{
    Config, FirstKey, GrantKey, GrantValue, MAX_CLASS_PORTS, MAX_UID_RANGES, PORT_UNKNOWN,
    PortClass, PortRange, Search, UID_ANY, UID_UNKNOWN, UidRange, fault, first, protocol, scope,
};

use super::*;

mod addresses;
mod packets;
mod search;

/// The daemon's tables as plain collections.
#[derive(Clone, Debug, Default)]
struct Model {
    prefixes: Vec<(u8, [u8; 16], u32)>,
    classes: Vec<PortClass>,
    first: HashMap<FirstKey, u32>,
    grants: HashMap<GrantKey, GrantValue>,
    slices: HashMap<u64, u32>,
    config: Option<Config>,
    now: u64,
}

impl Model {
    fn longest(&self, octets: [u8; 16]) -> Option<u32> {
        let octets = u128::from_be_bytes(octets);
        let covered = |length: u8, prefix: [u8; 16]| {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            octets & mask == u128::from_be_bytes(prefix) & mask
        };
        let longest = self
            .prefixes
            .iter()
            .filter(|(length, prefix, _)| covered(*length, *prefix))
            .max_by_key(|(length, ..)| *length);
        longest.map(|(_, _, class)| *class)
    }
}

/// All of it lies where networks are looked for; [`search`] tries the other places.
impl Tables for Model {
    fn filter_v4(&self, _: u32) -> Option<u64> {
        None
    }
    fn filter_v6(&self, _: u32) -> Option<u64> {
        None
    }
    fn host_v4(&self, _: [u8; 4]) -> Option<u32> {
        None
    }
    fn host_v6(&self, _: [u8; 16]) -> Option<u32> {
        None
    }
    fn net_v4(&self, octets: [u8; 4]) -> Option<u32> {
        self.longest(Address::from_v4(octets).octets())
    }
    fn net_v6(&self, octets: [u8; 16]) -> Option<u32> {
        self.longest(octets)
    }
    fn class(&self, class: u32) -> Option<&PortClass> {
        self.classes.get(class as usize)
    }
    fn first(&self, key: &FirstKey) -> Option<u32> {
        self.first.get(key).copied()
    }
    fn grant(&self, key: &GrantKey) -> Option<GrantValue> {
        self.grants.get(key).copied()
    }
    fn slice_owner(&self, cgroup: u64) -> Option<u32> {
        self.slices.get(&cgroup).copied()
    }
    fn config(&self) -> Option<&Config> {
        self.config.as_ref()
    }
    fn now(&self) -> u64 {
        self.now
    }
}

/// A process, with the cgroups above it from the root on.
#[derive(Clone, Debug)]
struct Someone {
    uid: u32,
    ancestors: Vec<u64>,
    cookie: u64,
}

impl Process for Someone {
    fn uid(&self) -> u32 {
        self.uid
    }
    fn ancestor(&self, level: u32) -> u64 {
        self.ancestors.get(level as usize).copied().unwrap_or(0)
    }
    fn cookie(&self) -> u64 {
        self.cookie
    }
}

const USER_SLICE: u64 = 50;
const ALICE_SLICE: u64 = 51;
const ALICE: u32 = 1000;
const DB: u32 = 7;

fn config() -> Config {
    let mut uids = [UidRange::default(); MAX_UID_RANGES];
    uids[0] = UidRange {
        first: 1000,
        last: 2000,
    };
    Config {
        user_slice: USER_SLICE,
        patience_ns: 0,
        attempt_ns: 10,
        ahead_ns: 100,
        ahead_busy_ns: 20,
        epoch: 1,
        generation: 1,
        user_slice_level: 1,
        syn_count: 0,
        uid_ranges: 1,
        observes: 0,
        search: Search::default(),
        uids,
    }
}

fn class(ranges: &[PortRange]) -> PortClass {
    let mut class = PortClass {
        len: 0,
        ranges: [PortRange::default(); MAX_CLASS_PORTS],
    };
    for (slot, range) in class.ranges.iter_mut().zip(ranges) {
        *slot = *range;
        class.len += 1;
    }
    class
}

fn tcp(endpoint: u32, first: u16, last: u16) -> PortRange {
    PortRange {
        endpoint,
        first,
        last,
        protocol: protocol::TCP,
        reserved: [0; 3],
    }
}

fn v4(octets: [u8; 4], port: u32) -> Destination {
    Destination {
        address: Address::from_v4(octets),
        port,
        protocol: protocol::TCP,
    }
}

/// 10.0.0.0/8 port 5432, held for everybody.
fn one_database() -> Model {
    Model {
        prefixes: Vec::from([(104, Address::from_v4([10, 0, 0, 0]).octets(), 0)]),
        classes: Vec::from([class(&[tcp(DB, 5432, 5432)])]),
        first: HashMap::from([(
            FirstKey {
                endpoint: DB,
                uid: UID_ANY,
            },
            first::HOLD,
        )]),
        slices: HashMap::from([(ALICE_SLICE, ALICE)]),
        config: Some(config()),
        now: 100,
        ..Model::default()
    }
}

fn outside(uid: u32) -> Someone {
    Someone {
        uid,
        ancestors: Vec::from([1, 40, 41]),
        cookie: 9,
    }
}

fn in_session(uid: u32, slice: u64) -> Someone {
    Someone {
        uid,
        ancestors: Vec::from([1, USER_SLICE, slice, 99]),
        cookie: 9,
    }
}

fn ask(subject: u32, first: u32) -> Verdict {
    Verdict::Ask {
        endpoint: DB,
        subject,
        first,
    }
}

fn is_refused(packet: Packet) -> bool {
    matches!(packet, Packet::Drop(_))
}

#[test]
fn a_gated_user_without_a_grant_is_held() {
    let verdict = judge_connect(&one_database(), &outside(ALICE), &v4([10, 1, 2, 3], 5432));
    assert_eq!(verdict, ask(ALICE, first::HOLD));
}

#[test]
fn other_ports_and_other_addresses_are_not_the_gates_business() {
    for destination in [v4([10, 1, 2, 3], 5433), v4([11, 1, 2, 3], 5432)] {
        let verdict = judge_connect(&one_database(), &outside(ALICE), &destination);
        assert_eq!(verdict, Verdict::Unprotected);
    }
}

#[test]
fn a_system_service_is_exempt_and_a_root_shell_in_a_session_is_not() {
    let model = one_database();
    let to = v4([10, 1, 2, 3], 5432);
    assert_eq!(judge_connect(&model, &outside(0), &to), Verdict::Exempt(DB));
    let root_shell = in_session(0, ALICE_SLICE);
    assert_eq!(
        judge_connect(&model, &root_shell, &to),
        ask(ALICE, first::HOLD)
    );
}

#[test]
fn a_session_that_nobody_has_named_is_held_and_no_grant_matches_it() {
    let mut model = one_database();
    let key = GrantKey {
        id: u64::from(UID_UNKNOWN),
        scope: scope::USER,
        endpoint: DB,
    };
    model.grants.insert(
        key,
        GrantValue {
            expires_ns: 200,
            cut_ns: 200,
            grant: 1,
        },
    );
    let verdict = judge_connect(&model, &in_session(ALICE, 77), &v4([10, 1, 2, 3], 5432));
    assert_eq!(verdict, ask(UID_UNKNOWN, first::HOLD));
}

#[test]
fn only_tcp_is_held() {
    let mut model = one_database();
    model.classes[0].ranges[0].protocol = protocol::ANY;
    let udp = Destination {
        protocol: protocol::UDP,
        ..v4([10, 1, 2, 3], 5432)
    };
    assert_eq!(
        judge_connect(&model, &outside(ALICE), &udp),
        ask(ALICE, first::REJECT)
    );
}

#[test]
fn a_subject_without_any_entry_is_denied() {
    let model = Model {
        first: HashMap::new(),
        ..one_database()
    };
    let verdict = judge_connect(&model, &outside(ALICE), &v4([10, 1, 2, 3], 5432));
    assert_eq!(verdict, ask(ALICE, first::DENY));
}

#[test]
fn a_grant_ends_at_its_expiry_and_a_connection_at_its_cut() {
    let mut model = one_database();
    let key = GrantKey {
        id: u64::from(ALICE),
        scope: scope::USER,
        endpoint: DB,
    };
    let grant = GrantValue {
        expires_ns: 100,
        cut_ns: u64::MAX,
        grant: 1,
    };
    model.grants.insert(key, grant);
    assert_eq!(live_grant(&model, 9, ALICE, DB), None);
    assert_eq!(kept_grant(&model, 9, ALICE, DB), Some(grant));
    model.now = 99;
    assert_eq!(live_grant(&model, 9, ALICE, DB), Some(grant));
}

#[test]
fn missing_settings_and_missing_classes_deny() {
    let to = v4([10, 1, 2, 3], 5432);
    let fault = Verdict::Fault(fault::INCONSISTENT);
    let no_config = Model {
        config: None,
        ..one_database()
    };
    assert_eq!(judge_connect(&no_config, &outside(ALICE), &to), fault);
    let no_class = Model {
        classes: Vec::new(),
        ..one_database()
    };
    assert_eq!(judge_connect(&no_class, &outside(ALICE), &to), fault);
}

fn any_range() -> impl Strategy<Value = PortRange> {
    let protocols = prop_oneof![
        Just(protocol::ANY),
        Just(protocol::TCP),
        Just(protocol::UDP)
    ];
    (1_u32..6, 0_u16..8, 0_u16..8, protocols).prop_map(|(endpoint, a, b, protocol)| PortRange {
        endpoint,
        first: a.min(b),
        last: a.max(b),
        protocol,
        reserved: [0; 3],
    })
}

prop_compose! {
    fn any_model()(
        prefixes in prop::collection::vec((96_u8..=128, any::<[u8; 2]>(), 0_u32..5), 0..6),
        ranges in prop::collection::vec(prop::collection::vec(any_range(), 0..6), 4),
        firsts in prop::collection::hash_map((1_u32..6, prop_oneof![Just(UID_ANY), 998_u32..1003]), 0_u32..3, 0..12),
        grants in prop::collection::hash_map((0_u64..1003, 1_u32..3, 1_u32..6), (90_u64..110, 90_u64..110), 0..40),
        owner in prop::option::of(999_u32..1002),
    ) -> Model {
        Model {
            prefixes: prefixes.into_iter()
                .map(|(length, [a, b], class)| (length, Address::from_v4([10, 0, a & 1, b & 3]).octets(), class))
                .collect(),
            classes: ranges.iter().map(|ranges| class(ranges)).collect(),
            first: firsts.into_iter().map(|((endpoint, uid), mode)| (FirstKey { endpoint, uid }, mode)).collect(),
            grants: grants.into_iter()
                .map(|((id, scope, endpoint), (expires_ns, cut_ns))| {
                    (GrantKey { id, scope, endpoint }, GrantValue { expires_ns, cut_ns, grant: id })
                })
                .collect(),
            slices: owner.into_iter().map(|uid| (ALICE_SLICE, uid)).collect(),
            config: Some(config()),
            now: 100,
        }
    }
}

prop_compose! {
    fn anyone()(uid in 998_u32..1003, session in any::<bool>(), cookie in 0_u64..12) -> Someone {
        let someone = if session { in_session(uid, ALICE_SLICE) } else { outside(uid) };
        Someone { cookie, ..someone }
    }
}

proptest! {
    /// Promise S1 and S2, read straight: a gated subject passes only by a live grant of its own.
    #[test]
    fn nobody_who_is_gated_passes_without_a_live_grant(
        model in any_model(), someone in anyone(), last in any::<[u8; 2]>(), port in 0_u32..8,
    ) {
        let to = v4([10, 0, last[0] & 1, last[1] & 3], port);
        let in_session = someone.ancestors[1] == USER_SLICE;
        let subject = match (in_session, model.slices.get(&ALICE_SLICE)) {
            (true, owner) => Some(owner.copied().unwrap_or(UID_UNKNOWN)),
            (false, _) => (1000..=2000).contains(&someone.uid).then_some(someone.uid),
        };
        match judge_connect(&model, &someone, &to) {
            Verdict::Granted { endpoint, subject: judged, grant } => {
                prop_assert_eq!(Some(judged), subject);
                prop_assert!(model.now < grant.expires_ns);
                let of_user = GrantKey { id: u64::from(judged), scope: scope::USER, endpoint };
                prop_assert_eq!(model.grants.get(&of_user), Some(&grant));
            }
            Verdict::Exempt(_) => prop_assert_eq!(subject, None),
            Verdict::Unprotected => {
                let naive = model.longest(to.address.octets()).and_then(|class| model.classes.get(class as usize));
                let hit = naive.is_some_and(|class| class.ranges[..class.len as usize].iter().any(|range| {
                    range.protocol != protocol::UDP && (u32::from(range.first)..=u32::from(range.last)).contains(&port)
                }));
                prop_assert!(!hit);
            }
            Verdict::Ask { .. } | Verdict::Fault(_) => {}
        }
    }

    /// What the connect hook lets pass, the egress hook lets pass, and nothing else.
    #[test]
    fn a_packet_of_an_unseen_socket_fares_as_its_connect_would(
        model in any_model(), someone in anyone(), last in any::<[u8; 2]>(), port in 0_u32..8,
    ) {
        let to = v4([10, 0, last[0] & 1, last[1] & 3], port);
        let refused = match judge_connect(&model, &someone, &to) {
            Verdict::Ask { endpoint, .. } => {
                let its_own = GrantKey { id: someone.cookie, scope: scope::SOCKET, endpoint };
                model.grants.get(&its_own).is_none_or(|kept| kept.cut_ns <= model.now)
            }
            verdict => matches!(verdict, Verdict::Fault(_)),
        };
        prop_assert_eq!(is_refused(judge_unseen(&model, &someone, &to)), refused);
    }

    /// A port that can't be read counts as every port.
    #[test]
    fn an_unreadable_port_is_never_better_off(model in any_model(), someone in anyone()) {
        let refused = |port| {
            let to = v4([10, 0, 0, 0], port);
            is_refused(judge_unseen(&model, &someone, &to))
        };
        // It is judged as one of the endpoints at that address: if every one of them refuses,
        // so must it.
        let all = (0..8).all(refused) && model.longest(Address::from_v4([10, 0, 0, 0]).octets()).is_some();
        prop_assert!(!all || refused(PORT_UNKNOWN));
    }

    /// A subject gets its burst, then its rate, whatever the times of its attempts.
    #[test]
    fn nobody_gets_more_than_burst_and_rate(gaps in prop::collection::vec(0_u64..40, 1..200), busy in any::<bool>()) {
        let config = config();
        let ahead = if busy { config.ahead_busy_ns } else { config.ahead_ns };
        let (mut now, mut due, mut admitted) = (1000, 0, 0);
        for gap in gaps {
            now += gap;
            if let Some(next) = spend(&config, due, now, busy) {
                due = next;
                admitted += 1;
            }
            let most = (now - 1000 + ahead) / config.attempt_ns + 1;
            prop_assert!(admitted <= most, "{admitted} of {most}");
        }
        // Whoever keeps to the rate is never refused.
        prop_assert!(spend(&config, 0, now, busy).is_some());
        prop_assert!(spend(&config, now, now, busy).is_some());
    }
}
