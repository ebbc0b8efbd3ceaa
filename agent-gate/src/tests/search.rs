// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
//! Where an address is looked for. That every layout gives the same answers, `tests/decision`
//! shows; here is what each flag saves.

use std::cell::Cell;
use std::vec;

use stile_common::{FILTER_WORDS, LEVELS, Search, filter_v4, filter_v6, level_of, search};

use super::*;

/// Maps in which everything is found, and which count who asks.
#[derive(Default)]
struct Counting {
    config: Option<Config>,
    /// What every word of the filters is; `None`: there is none.
    filter: Option<u64>,
    filters: Cell<u32>,
    hosts: Cell<u32>,
    nets: Cell<u32>,
}

impl Counting {
    fn new(v4: u32, v6: u32, filter: impl Into<Option<u64>>) -> Self {
        let search = Search {
            v4,
            v6,
            v6_levels: 0b1001,
            nat64_count: 2,
            nat64: [[0; 3], NAT64, BEYOND, BEYOND],
        };
        Self {
            config: Some(Config { search, ..config() }),
            filter: filter.into(),
            ..Self::default()
        }
    }

    fn ask(&self, address: &Address) -> (Option<u32>, [u32; 3]) {
        let found = class_of(self, address);
        let asked = [&self.filters, &self.hosts, &self.nets].map(|count| count.replace(0));
        (found, asked)
    }
}

/// 64:ff9b::/96 (RFC 6052 2.1), and one that doesn't count.
const NAT64: [u32; 3] = [u32::from_be(0x0064_ff9b), 0, 0];
const BEYOND: [u32; 3] = [u32::from_be(0x2001_0db8), 0, 0];

fn add(count: &Cell<u32>) {
    count.set(count.get() + 1);
}

impl Tables for Counting {
    fn filter_v4(&self, _: u32) -> Option<u64> {
        add(&self.filters);
        self.filter
    }
    fn filter_v6(&self, _: u32) -> Option<u64> {
        add(&self.filters);
        self.filter
    }
    fn host_v4(&self, _: [u8; 4]) -> Option<u32> {
        add(&self.hosts);
        None
    }
    fn host_v6(&self, _: [u8; 16]) -> Option<u32> {
        add(&self.hosts);
        None
    }
    fn net_v4(&self, _: [u8; 4]) -> Option<u32> {
        add(&self.nets);
        Some(4)
    }
    fn net_v6(&self, _: [u8; 16]) -> Option<u32> {
        add(&self.nets);
        Some(6)
    }
    fn class(&self, _: u32) -> Option<&PortClass> {
        None
    }
    fn first(&self, _: &FirstKey) -> Option<u32> {
        None
    }
    fn grant(&self, _: &GrantKey) -> Option<GrantValue> {
        None
    }
    fn slice_owner(&self, _: u64) -> Option<u32> {
        None
    }
    fn config(&self) -> Option<&Config> {
        self.config.as_ref()
    }
    fn now(&self) -> u64 {
        0
    }
}

fn four() -> Address {
    Address::from_v4([203, 0, 113, 5])
}

fn six() -> Address {
    Address::from_v6([0x2001, 7, 8, 9])
}

#[test]
fn without_settings_it_looks_everywhere() {
    let tables = Counting::default();
    assert_eq!(tables.ask(&four()), (Some(4), [0, 1, 1]));
    assert_eq!(tables.ask(&six()), (Some(6), [0, 1, 1]));
    assert!(is_anything_protected(&tables));
    let zero = Counting::new(0, 0, 0);
    assert_eq!(zero.ask(&four()), (Some(4), [0, 1, 1]));
    assert!(is_anything_protected(&zero));
}

#[test]
fn where_nothing_is_protected_it_looks_nowhere() {
    let tables = Counting::new(search::NOTHING, search::NOTHING, u64::MAX);
    assert_eq!(tables.ask(&four()), (None, [0; 3]));
    assert_eq!(tables.ask(&six()), (None, [0; 3]));
    assert!(!is_anything_protected(&tables));
    assert!(is_anything_protected(&Counting::new(search::NOTHING, 0, 0)));
    assert!(is_anything_protected(&Counting::new(0, search::NOTHING, 0)));
}

#[test]
fn who_fails_the_filter_costs_one_look() {
    let tables = Counting::new(search::FILTERED, search::FILTERED, 0);
    assert_eq!(tables.ask(&four()), (None, [1, 0, 0]));
    // One for each level that has entries.
    assert_eq!(tables.ask(&six()), (None, [2, 0, 0]));
    let passing = Counting::new(search::FILTERED, search::FILTERED, u64::MAX);
    assert_eq!(passing.ask(&four()), (Some(4), [1, 1, 1]));
    assert_eq!(passing.ask(&six()), (Some(6), [1, 1, 1]));
    let unreadable = Counting::new(search::FILTERED, search::FILTERED, None);
    assert_eq!(unreadable.ask(&four()), (Some(4), [1, 1, 1]));
    assert_eq!(unreadable.ask(&six()), (Some(6), [1, 1, 1]));
}

#[test]
fn what_is_empty_is_not_asked() {
    let no_hosts = Counting::new(search::NO_HOSTS, search::NO_HOSTS, 0);
    assert_eq!(no_hosts.ask(&four()), (Some(4), [0, 0, 1]));
    assert_eq!(no_hosts.ask(&six()), (Some(6), [0, 0, 1]));
    let no_nets = Counting::new(search::NO_NETS, search::NO_NETS, 0);
    assert_eq!(no_nets.ask(&four()), (None, [0, 1, 0]));
    assert_eq!(no_nets.ask(&six()), (None, [0, 1, 0]));
}

#[test]
fn an_address_behind_nat64_is_looked_for_as_what_it_stands_for() {
    let tables = Counting::new(0, search::NOTHING, 0);
    let behind = |prefix: [u32; 3], last| Address::from_v6([prefix[0], prefix[1], prefix[2], last]);
    assert_eq!(
        tables.ask(&behind(NAT64, 0x0102_0304)),
        (Some(4), [0, 1, 1])
    );
    assert_eq!(tables.ask(&behind(BEYOND, 0x0102_0304)), (None, [0, 0, 0]));
    for word in 0..3 {
        let mut other = NAT64;
        other[word] ^= 1;
        assert_eq!(
            tables.ask(&behind(other, 7)),
            (None, [0, 0, 0]),
            "word {word}"
        );
    }
}

proptest! {
    #[test]
    fn places_lie_in_the_filter(octets in any::<[u8; 4]>(), half in any::<u64>(), level in 0..LEVELS) {
        let four = filter_v4(octets);
        prop_assert!(four.word < FILTER_WORDS && four.mask.count_ones() == 1);
        let six = filter_v6(half, level);
        prop_assert!(six.word < FILTER_WORDS && (1..=3).contains(&six.mask.count_ones()));
    }

    /// Two IPv4 addresses share a place if and only if they share their first 24 bits.
    #[test]
    fn the_filter_of_ipv4_is_exact(a in any::<[u8; 4]>(), b in any::<[u8; 4]>(), near in any::<bool>()) {
        let b = if near { [a[0], a[1], a[2], b[3]] } else { b };
        prop_assert_eq!(filter_v4(a) == filter_v4(b), a[..3] == b[..3]);
    }

    /// Whatever a prefix covers passes at the prefix's level.
    #[test]
    fn who_is_covered_passes_the_filter_of_ipv6(half in any::<u64>(), other in any::<u64>(), length in 16_u8..=128) {
        let level = level_of(length).unwrap();
        let kept = u64::MAX.checked_shl(64 - u32::from(length.min(64))).unwrap_or(0);
        let covered = half & kept | other & !kept;
        prop_assert_eq!(filter_v6(half, level), filter_v6(covered, level));
    }

    #[test]
    fn a_glance_sees_what_a_whole_reading_sees(
        data in prop::collection::vec(any::<u8>(), 0..60),
        first in prop::sample::select(vec![0x45_u8, 0x46, 0x60, 0x61, 0x00]),
        next in prop::sample::select(vec![6_u8, 17, 0, 43, 44, 58]),
    ) {
        let mut data = data;
        if data.len() > 9 {
            (data[0], data[6], data[9]) = (first, next, next);
        }
        let load = |offset: u32| data.get(offset as usize..)?.first_chunk().copied();
        for direction in [Direction::Leaving, Direction::Arriving] {
            if let Some(address) = glance(load, direction) {
                let whole = parse(load, direction);
                prop_assert!(whole.is_none_or(|whole| whole.destination.address == address && !whole.routed));
            }
        }
    }
}

#[test]
fn too_short_a_prefix_has_no_level() {
    let levels = [0, 15, 16, 31, 32, 47, 48, 63, 64, 128].map(level_of);
    let numbers = vec![
        None,
        None,
        Some(0),
        Some(0),
        Some(1),
        Some(1),
        Some(2),
        Some(2),
        Some(3),
        Some(3),
    ];
    assert_eq!(levels.to_vec(), numbers);
}
