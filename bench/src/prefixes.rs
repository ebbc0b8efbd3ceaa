// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sets of protected prefixes, the same in each run, and addresses inside and outside of them.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use anyhow::{Context, Result};

use crate::stats::Dice;

/// Which addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// As in `IPv4`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    /// As in `tcp4`.
    pub(crate) fn digit(self) -> char {
        match self {
            Self::V4 => '4',
            Self::V6 => '6',
        }
    }
}

/// How many hosts one file of a policy names: the agent reads no file above 16 MiB.
const HOSTS_A_FILE: usize = 250_000;

/// `3fff::/20`, which is for documentation (RFC 9637): no other one has room for a million /48.
const DOCUMENTATION: u128 = 0x3fff << 112;

/// What lies between two blocks' numbers: the /24 of an IPv4 address, the /48 of an IPv6 one.
const BITS_BELOW_V4: u32 = 8;
const BITS_BELOW_V6: u32 = 80;

/// A set of prefixes of one family. No two of them are in the same /24 or /48.
#[derive(Clone, Debug)]
pub(crate) struct Prefixes {
    family: Family,
    all: Vec<(IpAddr, u8)>,
    blocks: HashSet<u32>,
}

impl Prefixes {
    /// So many: 70 % single addresses, 15 % /28 and 15 % /24 spread over unicast IPv4, or
    /// 70 % single addresses, 15 % /64 and 15 % /48 of IPv6.
    pub(crate) fn new(family: Family, count: usize) -> Self {
        let mut dice = Dice(count as u64);
        let mut blocks = HashSet::with_capacity(count);
        let all = std::iter::from_fn(|| {
            let block = block(family, &mut dice);
            Some((block, blocks.insert(block)))
        })
        .filter_map(|(block, is_new)| is_new.then_some(block))
        .take(count)
        .collect::<Vec<_>>();
        let all = all
            .into_iter()
            .map(|block| {
                let length = match (family, dice.below(100)) {
                    (Family::V4, 0..15) => 24,
                    (Family::V4, 15..30) => 28,
                    (Family::V4, _) => 32,
                    (Family::V6, 0..15) => 48,
                    (Family::V6, 15..30) => 64,
                    (Family::V6, _) => 128,
                };
                let address = within(family, block, &mut dice);
                (masked(address, length), length)
            })
            .collect();
        Self {
            family,
            all,
            blocks,
        }
    }

    /// The prefixes, as address and length.
    pub(crate) fn all(&self) -> &[(IpAddr, u8)] {
        &self.all
    }

    /// So many addresses that prefixes cover, drawn at random.
    pub(crate) fn inside(&self, count: usize) -> Vec<IpAddr> {
        let mut dice = Dice(2);
        std::iter::repeat_with(|| {
            let (address, length) = self.all[dice.below(self.all.len())];
            let random = (u128::from(dice.next()) << 64) | u128::from(dice.next());
            fill(address, length, random)
        })
        .take(count)
        .collect()
    }

    /// So many addresses, each in a /24 or a /48 without a prefix, drawn at random from where the
    /// prefixes are, too.
    pub(crate) fn outside(&self, count: usize) -> Vec<IpAddr> {
        let mut dice = Dice(3);
        std::iter::repeat_with(|| (block(self.family, &mut dice), dice.next()))
            .filter(|(block, _)| !self.blocks.contains(block))
            .map(|(block, seed)| within(self.family, block, &mut Dice(seed)))
            .take(count)
            .collect()
    }

    /// Writes them into this folder as endpoints of a policy, with all protocols on this port, and
    /// one rule for everybody with this action and what belongs to it.
    ///
    /// # Errors
    /// If a file can't be written.
    pub(crate) fn write_policy(&self, folder: &Path, port: u16, rule: &str) -> Result<()> {
        for (number, hosts) in self.all().chunks(HOSTS_A_FILE).enumerate() {
            let mut text = format!(
                "[[endpoint]]\nname = \"set-{number}\"\nports = [{port}]\nprotocol = \"any\"\n\
                 hosts = [\n"
            );
            for (address, length) in hosts {
                writeln!(text, "\"{address}/{length}\",")?;
            }
            text += "]\n";
            write(&folder.join(format!("50-set-{number}.toml")), &text)?;
        }
        let text =
            format!("[[rule]]\nname = \"the set\"\nendpoints = [\"*\"]\nusers = [\"*\"]\n{rule}\n");
        write(&folder.join("90-rule.toml"), &text)
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("{}", path.display()))
}

/// The number of a /24 or /48 that may be protected.
fn block(family: Family, dice: &mut Dice) -> u32 {
    loop {
        let random = (dice.next() >> 32) as u32;
        match family {
            Family::V4 => {
                let block = random >> BITS_BELOW_V4;
                if is_usable(Ipv4Addr::from_bits(block << BITS_BELOW_V4)) {
                    return block;
                }
            }
            // A /20 has 28 bits of /48 numbers.
            Family::V6 => return random >> 4,
        }
    }
}

/// Unicast, and neither a private network nor what the bench itself uses.
fn is_usable(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    (1..224).contains(&first)
        && first != 10
        && !address.is_loopback()
        && !address.is_link_local()
        && !address.is_documentation()
}

/// Any address in a block.
fn within(family: Family, block: u32, dice: &mut Dice) -> IpAddr {
    match family {
        Family::V4 => {
            let low = dice.below(1 << BITS_BELOW_V4) as u32;
            IpAddr::V4(Ipv4Addr::from_bits(block << BITS_BELOW_V4 | low))
        }
        Family::V6 => {
            let random = (u128::from(dice.next()) << 64) | u128::from(dice.next());
            let low = random & ((1 << BITS_BELOW_V6) - 1);
            let bits = DOCUMENTATION | u128::from(block) << BITS_BELOW_V6 | low;
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        }
    }
}

fn masked(address: IpAddr, length: u8) -> IpAddr {
    fill(address, length, 0)
}

/// The address with what follows the prefix taken from these bits.
fn fill(address: IpAddr, length: u8, random: u128) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let below = u32::MAX.checked_shr(u32::from(length)).unwrap_or(0);
            let bits = (address.to_bits() & !below) | (random as u32 & below);
            IpAddr::V4(Ipv4Addr::from_bits(bits))
        }
        IpAddr::V6(address) => {
            let below = u128::MAX.checked_shr(u32::from(length)).unwrap_or(0);
            let bits = (address.to_bits() & !below) | (random & below);
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_inside_is_covered() {
        for family in [Family::V4, Family::V6] {
            let prefixes = Prefixes::new(family, 1000);
            let is_covered = |address: &IpAddr| {
                let mut all = prefixes.all().iter();
                all.any(|(prefix, length)| masked(*address, *length) == *prefix)
            };
            assert!(prefixes.inside(500).iter().all(is_covered));
        }
    }

    #[test]
    fn what_is_outside_is_in_no_block_of_a_prefix() {
        for (family, length) in [(Family::V4, 24), (Family::V6, 48)] {
            let prefixes = Prefixes::new(family, 200_000);
            let block = |address: &IpAddr| masked(*address, length);
            let blocks: HashSet<_> = prefixes.all().iter().map(|(at, _)| block(at)).collect();
            assert_eq!(blocks.len(), 200_000);
            let outside = prefixes.outside(1 << 16);
            assert!(!outside.iter().any(|at| blocks.contains(&block(at))));
        }
    }

    #[test]
    fn a_set_is_the_same_each_time_and_has_no_prefix_twice() {
        for family in [Family::V4, Family::V6] {
            let prefixes = Prefixes::new(family, 10_000);
            assert_eq!(prefixes.all(), Prefixes::new(family, 10_000).all());
            let distinct: HashSet<_> = prefixes.all().iter().collect();
            assert_eq!(distinct.len(), 10_000);
        }
    }

    #[test]
    fn most_prefixes_are_single_addresses() {
        let prefixes = Prefixes::new(Family::V4, 10_000);
        let share = |wanted| {
            let of_length = prefixes
                .all()
                .iter()
                .filter(|(_, length)| *length == wanted);
            of_length.count() as f64 / 10_000.0
        };
        for (length, expected) in [(32, 0.7), (28, 0.15), (24, 0.15)] {
            assert!((share(length) - expected).abs() < 0.02, "{length}");
        }
    }

    #[test]
    fn no_prefix_is_private_or_for_many() {
        let prefixes = Prefixes::new(Family::V4, 100_000);
        for (address, _) in prefixes.all() {
            let IpAddr::V4(address) = address else {
                unreachable!("only IPv4 was asked for")
            };
            assert!(
                !address.is_multicast() && !address.is_loopback(),
                "{address}"
            );
            assert_ne!(address.octets()[0], 10);
        }
    }

    #[test]
    fn a_big_set_is_written_in_files_that_the_agent_reads() {
        let folder = tempfile::tempdir().unwrap();
        let prefixes = Prefixes::new(Family::V6, HOSTS_A_FILE + 1);
        prefixes
            .write_policy(folder.path(), 7000, "action = \"deny\"")
            .unwrap();
        let sizes: Vec<u64> = fs::read_dir(folder.path())
            .unwrap()
            .map(|file| file.unwrap().metadata().unwrap().len())
            .collect();
        assert_eq!(sizes.len(), 3);
        assert!(sizes.iter().all(|size| *size < 16 << 20), "{sizes:?}");
    }
}
