// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which addresses a name may have. Whoever answers for a name decides what is protected; an
//! answer must not be able to put the host's own traffic behind the gate.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// The most addresses that one answer may have. A DNS message over TCP has room for 4,000 of
/// them; names of services have fewer than ten.
pub(super) const MAX_ADDRESSES: usize = 256;

/// The addresses of one family that a name has, and for how long others may remember them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// None if the name has none of this family.
    pub(super) addresses: Vec<IpAddr>,
    pub(super) ttl: Duration,
}

/// Why an address of an answer isn't protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Unspecified,
    Loopback,
    LinkLocal,
    Multicast,
    Embedded,
    Reserved,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "the address of no host",
            Self::Loopback => "this host's loopback",
            Self::LinkLocal => "a link-local address",
            Self::Multicast => "a multicast or broadcast address",
            Self::Embedded => "an IPv4 address in an IPv6 form",
            Self::Reserved => "a reserved address",
        })
    }
}

/// What of an answer is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error(
        "{address} is {reason}: not taken from a name (to protect it, write the address into \
         `hosts`)"
    )]
    Address { address: IpAddr, reason: Reason },
    #[error("{0} addresses in one answer, more than {MAX_ADDRESSES}: none of them is taken")]
    TooMany(usize),
}

/// The addresses that may be protected, and the first thing that may not.
pub(super) fn sound(addresses: &[IpAddr]) -> (BTreeSet<IpAddr>, Option<Refused>) {
    if addresses.len() > MAX_ADDRESSES {
        return (BTreeSet::new(), Some(Refused::TooMany(addresses.len())));
    }
    let mut refused = None;
    let mut taken = BTreeSet::new();
    for address in addresses {
        match wrong_with(*address) {
            None => drop(taken.insert(*address)),
            Some(reason) => {
                let address = *address;
                refused.get_or_insert(Refused::Address { address, reason });
            }
        }
    }
    (taken, refused)
}

/// What is wrong with an address as that of a host somewhere (RFC 6890 and its registries).
pub(super) fn wrong_with(address: IpAddr) -> Option<Reason> {
    match address {
        IpAddr::V4(v4) => wrong_with_v4(v4),
        IpAddr::V6(v6) => wrong_with_v6(v6),
    }
}

fn wrong_with_v4(address: Ipv4Addr) -> Option<Reason> {
    Some(match address.octets() {
        [0, ..] => Reason::Unspecified,
        [127, ..] => Reason::Loopback,
        [169, 254, ..] => Reason::LinkLocal,
        [224..=239, ..] | [255, 255, 255, 255] => Reason::Multicast,
        [240..=255, ..] => Reason::Reserved,
        _ => return None,
    })
}

fn wrong_with_v6(address: Ipv6Addr) -> Option<Reason> {
    Some(match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Reason::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => Reason::Loopback,
        // Mapped (RFC 4291, 2.5.5.2), compatible (2.5.5.1), and translated (RFC 2765).
        [0, 0, 0, 0, 0, 0 | 0xffff, _, _] | [0, 0, 0, 0, 0xffff, 0, _, _] => Reason::Embedded,
        [0xfe80..=0xfebf, ..] => Reason::LinkLocal,
        [0xff00..=0xffff, ..] => Reason::Multicast,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_hosts_are_taken() {
        let addresses: Vec<IpAddr> = [
            "10.1.2.3",
            "192.0.2.1",
            "fd00::1",
            "2001:db8::1",
            "64:ff9b::a01:203",
        ]
        .map(|text| text.parse().unwrap())
        .to_vec();
        let (taken, refused) = sound(&addresses);
        assert_eq!(taken, addresses.into_iter().collect());
        assert_eq!(refused, None);
    }

    #[test]
    fn addresses_that_no_name_may_have_are_refused() {
        for (text, reason) in [
            ("0.0.0.0", Reason::Unspecified),
            ("0.1.2.3", Reason::Unspecified),
            ("127.0.0.1", Reason::Loopback),
            ("127.255.0.1", Reason::Loopback),
            ("169.254.169.254", Reason::LinkLocal),
            ("224.0.0.251", Reason::Multicast),
            ("255.255.255.255", Reason::Multicast),
            ("240.0.0.1", Reason::Reserved),
            ("::", Reason::Unspecified),
            ("::1", Reason::Loopback),
            ("::10.1.2.3", Reason::Embedded),
            ("::ffff:10.1.2.3", Reason::Embedded),
            ("::ffff:0:10.1.2.3", Reason::Embedded),
            ("fe80::1", Reason::LinkLocal),
            ("febf::1", Reason::LinkLocal),
            ("ff02::fb", Reason::Multicast),
        ] {
            let address = text.parse().unwrap();
            let (taken, refused) = sound(&[address, "10.0.0.1".parse().unwrap()]);
            assert_eq!(
                refused,
                Some(Refused::Address { address, reason }),
                "{text}"
            );
            assert_eq!(taken.len(), 1, "the sound one is taken: {text}");
        }
    }

    #[test]
    fn an_answer_of_too_many_addresses_is_refused_as_a_whole() {
        let addresses = |count: u32| -> Vec<IpAddr> {
            let all = (0..count).map(|n| IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n)));
            all.collect()
        };
        assert_eq!(sound(&addresses(256)).0.len(), 256);
        assert_eq!(
            sound(&addresses(257)),
            (BTreeSet::new(), Some(Refused::TooMany(257)))
        );
    }
}
