// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
//! Is an address protected? Nearly every address that anybody connects to is not, and should
//! learn so at once, however many are.

use stile_common::{LEVELS, Search, filter_v4, filter_v6, search};

use crate::destination::Address;
use crate::judge::Tables;

/// The class of the longest protected prefix that covers the address. Without settings, or with
/// settings that say nothing, it looks everywhere.
#[inline(always)]
pub fn class_of(tables: &impl Tables, address: &Address) -> Option<u32> {
    let how = how(tables);
    match address.v4().or_else(|| behind_nat64(&how, address)) {
        Some(octets) => {
            if has(how.v4, search::NOTHING) || fails_v4(tables, how.v4, octets) {
                return None;
            }
            if !has(how.v4, search::NO_HOSTS)
                && let Some(class) = tables.host_v4(octets)
            {
                return Some(class);
            }
            if has(how.v4, search::NO_NETS) {
                return None;
            }
            tables.net_v4(octets)
        }
        None => {
            if has(how.v6, search::NOTHING) || fails_v6(tables, &how, address.half()) {
                return None;
            }
            let octets = address.octets();
            if !has(how.v6, search::NO_HOSTS)
                && let Some(class) = tables.host_v6(octets)
            {
                return Some(class);
            }
            if has(how.v6, search::NO_NETS) {
                return None;
            }
            tables.net_v6(octets)
        }
    }
}

/// False if the settings say that no address is protected.
#[must_use]
#[inline(always)]
pub fn is_anything_protected(tables: &impl Tables) -> bool {
    let how = how(tables);
    !(has(how.v4, search::NOTHING) && has(how.v6, search::NOTHING))
}

/// The IPv4 address that the network translates this one to.
#[inline(always)]
fn behind_nat64(how: &Search, address: &Address) -> Option<[u8; 4]> {
    let [a, b, c, d] = address.words();
    for (index, prefix) in how.nat64.iter().enumerate() {
        if index as u32 >= how.nat64_count {
            break;
        }
        if prefix[0] == a && prefix[1] == b && prefix[2] == c {
            return Some(d.to_ne_bytes());
        }
    }
    None
}

#[inline(always)]
fn how(tables: &impl Tables) -> Search {
    tables
        .config()
        .map_or(Search::default(), |config| config.search)
}

#[inline(always)]
fn has(flags: u32, flag: u32) -> bool {
    flags & flag != 0
}

/// True if the filter rules the address out.
#[inline(always)]
fn fails_v4(tables: &impl Tables, flags: u32, octets: [u8; 4]) -> bool {
    if !has(flags, search::FILTERED) {
        return false;
    }
    let bits = filter_v4(octets);
    match tables.filter_v4(bits.word) {
        Some(word) => word & bits.mask == 0,
        None => false,
    }
}

/// The same for IPv6: the address passes if it does at one of the levels that have entries.
#[inline(always)]
fn fails_v6(tables: &impl Tables, how: &Search, half: u64) -> bool {
    if !has(how.v6, search::FILTERED) {
        return false;
    }
    for level in 0..LEVELS {
        if !has(how.v6_levels, 1 << level) {
            continue;
        }
        let bits = filter_v6(half, level);
        match tables.filter_v6(bits.word) {
            Some(word) if word & bits.mask != bits.mask => {}
            _ => return false,
        }
    }
    true
}
