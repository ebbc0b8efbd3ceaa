// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
//! How an address is looked for among the protected ones: first in a filter that nearly every
//! other address fails, then among single addresses, then among networks. The daemon fills
//! filters with these functions, the gate asks them with the same ones.

use crate::assert_layout;

/// Words of each filter: 2 MiB, a bit for each of the 2^24 IPv4 networks of 24 bits.
pub const FILTER_WORDS: u32 = 1 << 18;

/// Prefix lengths by which the filter of IPv6 is asked.
const LENGTHS: [u8; LEVELS as usize] = [16, 32, 48, 64];
/// How many there are.
pub const LEVELS: u32 = 4;

/// What the gate may leave out for one family: flags of [`Search::v4`] and [`Search::v6`].
pub mod search {
    /// Nothing is protected.
    pub const NOTHING: u32 = 1;
    /// No single address is in its map.
    pub const NO_HOSTS: u32 = 2;
    /// No network is in its map.
    pub const NO_NETS: u32 = 4;
    /// Who fails the filter is not protected.
    pub const FILTERED: u32 = 8;
}

/// What the gate may leave out. All zero: it looks everywhere.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// Flags of [`search`], for IPv4.
    pub v4: u32,
    /// The same for IPv6.
    pub v6: u32,
    /// The levels (see [`level_of`]) of which the filter of IPv6 has entries, as bits.
    pub v6_levels: u32,
    /// How many of `nat64` count.
    pub nat64_count: u32,
    /// The first 96 bits, in network byte order, of addresses whose last 32 are an IPv4 address
    /// (RFC 6052 2.2). Such an address is looked for as that.
    pub nat64: [[u32; 3]; MAX_NAT64],
}
assert_layout!(Search, 16 + 12 * MAX_NAT64, 4);

/// Most NAT64 prefixes that the gate sees through.
pub const MAX_NAT64: usize = 4;

/// A place in a filter. An address passes if all bits of the mask are set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterBits {
    /// Which word, below [`FILTER_WORDS`].
    pub word: u32,
    /// Which bits of it.
    pub mask: u64,
}

/// The place of an IPv4 address: one bit for its network of 24 bits. Exact.
#[inline(always)]
#[must_use]
pub const fn filter_v4(octets: [u8; 4]) -> FilterBits {
    let network = u32::from_be_bytes(octets) >> 8;
    FilterBits {
        word: network >> 6,
        mask: 1 << (network & 63),
    }
}

/// By which level a prefix of IPv6 of this length is entered: the longest one that isn't longer.
/// `None` for one that is too short for any; with such a prefix there is no filter.
#[inline]
#[must_use]
pub const fn level_of(length: u8) -> Option<u32> {
    match length {
        0..=15 => None,
        16..=31 => Some(0),
        32..=47 => Some(1),
        48..=63 => Some(2),
        _ => Some(3),
    }
}

/// The place of an IPv6 address, of which this is the first half, at a level below [`LEVELS`]:
/// three bits of one word (a blocked Bloom filter; Putze, Sanders and Singler 2007), so that an
/// answer costs one look into memory. Another address may have the same place.
#[inline(always)]
#[must_use]
pub const fn filter_v6(half: u64, level: u32) -> FilterBits {
    let level = level & (LEVELS - 1);
    let network = half & (u64::MAX << (64 - LENGTHS[level as usize]));
    // Multiply and fold, twice (the constants are those of SplitMix64, Steele et al. 2014).
    let mut bits = network ^ (level as u64);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^= bits >> 31;
    FilterBits {
        word: bits as u32 & (FILTER_WORDS - 1),
        mask: 1 << (bits >> 18 & 63) | 1 << (bits >> 24 & 63) | 1 << (bits >> 30 & 63),
    }
}
