// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is protected as an IPv4 address is protected behind NAT64, too: as the IPv6 address that
//! the network translates to it.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use stile_common::MAX_NAT64;

use super::Policy;

impl Policy {
    /// Protects what stands behind these prefixes. The gate sees through those of 96 bits, where
    /// the IPv4 address is a word of its own; for the others, and where the policy protects
    /// something of such a prefix by itself, each endpoint gets the IPv6 networks of its IPv4
    /// ones.
    pub fn add_nat64(&mut self, prefixes: &[Ipv6Net]) {
        let (mut through, mut written) = (Vec::new(), Vec::new());
        for prefix in prefixes {
            let is_plain = prefix.prefix_len() == 96
                && through.len() < MAX_NAT64
                && !self.protects_some_of(prefix);
            if is_plain {
                through.push(*prefix);
            } else {
                written.push(*prefix);
            }
        }
        self.nat64 = through;
        self.endpoints.add_hosts(|endpoint| {
            let v4 = endpoint.hosts.iter().filter_map(|host| match host {
                IpNet::V4(net) => Some(*net),
                IpNet::V6(_) => None,
            });
            let behind =
                |net: Ipv4Net| written.iter().filter_map(move |prefix| behind(prefix, net));
            v4.flat_map(behind).map(IpNet::V6).collect()
        });
    }

    fn protects_some_of(&self, prefix: &Ipv6Net) -> bool {
        let hosts = self.endpoints.iter().flat_map(|endpoint| &endpoint.hosts);
        hosts
            .filter_map(|host| match host {
                IpNet::V6(net) => Some(net),
                IpNet::V4(_) => None,
            })
            .any(|net| net.contains(prefix) || prefix.contains(net))
    }
}

/// The IPv4 address that an address behind one of these prefixes of 96 bits stands for; any
/// other address as it is.
pub(super) fn seen_through(prefixes: &[Ipv6Net], address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) if prefixes.iter().any(|prefix| prefix.contains(&v6)) => {
            IpAddr::V4(Ipv4Addr::from_bits(v6.to_bits() as u32))
        }
        other => other,
    }
}

/// The network of an IPv4 network behind a prefix.
pub(super) fn behind(prefix: &Ipv6Net, net: Ipv4Net) -> Option<Ipv6Net> {
    let start = prefix.prefix_len();
    let v4 = net.network().to_bits();
    let mut bits = prefix.network().to_bits();
    for bit in (0..net.prefix_len()).filter(|bit| v4 >> (31 - bit) & 1 == 1) {
        bits |= 1 << (127 - place(start, bit));
    }
    let length = net
        .prefix_len()
        .checked_sub(1)
        .map_or(start, |last| place(start, last) + 1);
    Ipv6Net::new(bits.into(), length).ok()
}

/// Where a bit of the IPv4 address stands behind a prefix of this length: they follow it, and
/// leave out the bits 64 to 71 (RFC 6052 2.2).
fn place(start: u8, bit: u8) -> u8 {
    const GAP: u8 = 64;
    let place = start + bit;
    if start > GAP || place < GAP {
        place
    } else {
        place + 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::testing::texts;

    /// The examples of RFC 6052 2.4, for 192.0.2.33.
    #[test]
    fn an_address_stands_where_the_standard_puts_it() {
        for (prefix, address) in [
            ("2001:db8::/32", "2001:db8:c000:221::"),
            ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
            ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
            ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
            ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"),
            ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"),
        ] {
            let net = behind(&prefix.parse().unwrap(), "192.0.2.33/32".parse().unwrap()).unwrap();
            assert_eq!(
                net.network(),
                address.parse::<std::net::Ipv6Addr>().unwrap()
            );
            let start: u8 = prefix.split_once('/').unwrap().1.parse().unwrap();
            let gap = if (33..=64).contains(&start) { 8 } else { 0 };
            assert_eq!(net.prefix_len(), start + gap + 32, "{prefix}");
        }
        let half = behind(
            &"2001:db8:122::/48".parse().unwrap(),
            "10.1.0.0/16".parse().unwrap(),
        );
        assert_eq!(half.unwrap().to_string(), "2001:db8:122:a01::/64");
        let more = behind(
            &"2001:db8:122::/48".parse().unwrap(),
            "10.1.128.0/17".parse().unwrap(),
        );
        assert_eq!(more.unwrap().to_string(), "2001:db8:122:a01:80::/73");
    }

    #[test]
    fn an_ipv4_endpoint_has_its_addresses_behind_nat64() {
        let text =
            "[[endpoint]]\nname = \"db\"\nhosts = [\"10.0.0.0/8\", \"fd00::1\"]\nports = [1]\n";
        let mut policy = texts(&[text]).unwrap().policy;
        policy.add_nat64(&["64:ff9b::/96".parse().unwrap()]);
        let hosts: Vec<_> = policy.endpoints[0]
            .hosts
            .iter()
            .map(ToString::to_string)
            .collect();
        // The gate sees through it.
        assert_eq!(hosts, ["10.0.0.0/8", "fd00::1/128"]);
        assert_eq!(policy.nat64.len(), 1);
        let inside = "64:ff9b::10.1.2.3".parse().unwrap();
        let outside = "64:ff9b::11.1.2.3".parse().unwrap();
        let at = |address| policy.endpoint_at(address, 1, stile_common::protocol::TCP);
        assert!(at(inside).is_some() && at(outside).is_none());
    }

    /// One lookup can't tell what two prefixes say, so the networks are written out.
    #[test]
    fn behind_a_prefix_that_is_protected_itself_networks_are_written_out() {
        for (other, prefix) in [
            ("2001:db8:9::/95", "2001:db8:9::/96"),
            ("2001:db8:9::7", "2001:db8:9::/96"),
            ("fd00::1", "2001:db8:122::/48"),
        ] {
            let text = format!(
                "[[endpoint]]\nname = \"db\"\nhosts = [\"10.0.0.0/8\", \"{other}\"]\nports = [1]\n"
            );
            let mut policy = texts(&[&text]).unwrap().policy;
            policy.add_nat64(&[prefix.parse().unwrap()]);
            assert_eq!(
                (policy.endpoints[0].hosts.len(), policy.nat64.len()),
                (3, 0)
            );
        }
        let prefixes: Vec<_> = (0..6)
            .map(|at| format!("2001:db8:{at}::/96").parse().unwrap())
            .collect();
        let text = "[[endpoint]]\nname = \"db\"\nhosts = [\"10.0.0.0/8\"]\nports = [1]\n";
        let mut policy = texts(&[text]).unwrap().policy;
        policy.add_nat64(&prefixes);
        assert_eq!(
            (policy.endpoints[0].hosts.len(), policy.nat64.len()),
            (3, 4)
        );
        for at in 0..6 {
            let inside = format!("2001:db8:{at}::10.1.2.3").parse().unwrap();
            assert!(
                policy
                    .endpoint_at(inside, 1, stile_common::protocol::TCP)
                    .is_some()
            );
        }
    }
}
