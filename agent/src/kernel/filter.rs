// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The filters that the gate asks before anything else, as the daemon computes them.

use stile_common::{FILTER_WORDS, LEVELS, filter_v4, filter_v6, level_of};

/// The words of a filter.
pub(super) struct Filter {
    words: Vec<u64>,
    /// The levels that have entries, as bits; always 0 for IPv4.
    levels: u32,
}

impl Filter {
    pub(super) fn empty() -> Self {
        Self {
            words: vec![0; FILTER_WORDS as usize],
            levels: 0,
        }
    }

    pub(super) fn words(&self) -> &[u64] {
        &self.words
    }

    /// Lets pass whom either lets pass.
    pub(super) fn join(mut self, other: Self) -> Self {
        for (word, more) in self.words.iter_mut().zip(other.words) {
            *word |= more;
        }
        self.levels |= other.levels;
        self
    }

    pub(super) fn levels(&self) -> u32 {
        self.levels
    }
}

/// An address of one family, as the kernel's maps have it.
pub(super) trait Address: aya::Pod + Ord + std::fmt::Debug {
    /// Length of a single address.
    const LENGTH: u8;

    /// Lets the addresses of a prefix pass a filter. False if the filter can't.
    fn admit(&self, length: u8, filter: &mut Filter) -> bool;
}

impl Address for [u8; 4] {
    const LENGTH: u8 = 32;

    fn admit(&self, length: u8, filter: &mut Filter) -> bool {
        let first = filter_v4(*self);
        if length >= 24 {
            filter.words[first.word as usize] |= first.mask;
            return true;
        }
        // The prefix covers 2^(24 - length) networks of 24 bits, 64 of which share a word.
        let networks = 1_u32 << (24 - length);
        if networks < 64 {
            let run = (1_u64 << networks) - 1;
            filter.words[first.word as usize] |= run << first.mask.trailing_zeros();
        } else {
            let start = first.word as usize;
            filter.words[start..start + (networks / 64) as usize].fill(u64::MAX);
        }
        true
    }
}

impl Address for [u8; 16] {
    const LENGTH: u8 = 128;

    fn admit(&self, length: u8, filter: &mut Filter) -> bool {
        let Some(level) = level_of(length) else {
            return false;
        };
        let half = (u128::from_be_bytes(*self) >> 64) as u64;
        let place = filter_v6(half, level);
        filter.words[place.word as usize] |= place.mask;
        filter.levels |= 1 << level;
        true
    }
}

const _: () = assert!(LEVELS <= u32::BITS);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// As the gate asks it: each covered address passes, and each other one fails.
        #[test]
        fn the_filter_of_ipv4_passes_what_a_prefix_covers(
            prefix in any::<u32>(), length in 0_u8..=32, other in any::<u32>(), near in any::<bool>(),
        ) {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            let prefix = prefix & mask;
            let mut filter = Filter::empty();
            prop_assert!(prefix.to_be_bytes().admit(length, &mut filter));
            let asked = if near { prefix | other & !mask } else { other };
            let place = filter_v4(asked.to_be_bytes());
            let passes = filter.words()[place.word as usize] & place.mask != 0;
            // A longer prefix lets its whole network of 24 bits pass.
            let counts = mask & 0xffff_ff00;
            prop_assert_eq!(passes, asked & counts == prefix & counts);
        }

        #[test]
        fn the_filter_of_ipv6_passes_what_a_prefix_covers(
            prefix in any::<u128>(), length in 16_u8..=128, other in any::<u128>(),
        ) {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            let mut filter = Filter::empty();
            prop_assert!((prefix & mask).to_be_bytes().admit(length, &mut filter));
            let asked = prefix & mask | other & !mask;
            let passes = (0..LEVELS).filter(|level| filter.levels() & 1 << level != 0).any(|level| {
                let place = filter_v6((asked >> 64) as u64, level);
                filter.words()[place.word as usize] & place.mask == place.mask
            });
            prop_assert!(passes);
        }
    }

    /// One in a hundred is what a filter of a million networks may let pass in vain.
    #[test]
    fn few_addresses_pass_the_filter_of_ipv6_in_vain() {
        let mut filter = Filter::empty();
        let network = |number: u64| u128::from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)) << 64;
        for number in 0..1_000_000 {
            assert!(network(number).to_be_bytes().admit(64, &mut filter));
        }
        let passes = |number: u64| {
            let place = filter_v6((network(number) >> 64) as u64, 3);
            filter.words()[place.word as usize] & place.mask == place.mask
        };
        let vain = (1_000_000..1_100_000).filter(|number| passes(*number));
        let vain = vain.count();
        assert!(vain < 2_000, "{vain} of 100000");
    }

    #[test]
    fn a_prefix_that_is_too_short_has_no_place_in_the_filter_of_ipv6() {
        let mut filter = Filter::empty();
        assert!(!0_u128.to_be_bytes().admit(15, &mut filter));
        assert_eq!(filter.levels(), 0);
    }
}
