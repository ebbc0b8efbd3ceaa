// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is protected as an IPv4 address is protected behind NAT64, too: as the IPv6 address that
//! the network translates to it.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::Policy;

impl Policy {
    /// Adds to each endpoint the IPv6 networks of its IPv4 ones behind these prefixes.
    pub fn add_nat64(&mut self, prefixes: &[Ipv6Net]) {
        for endpoint in &mut self.endpoints {
            let v4 = endpoint.hosts.iter().filter_map(|host| match host {
                IpNet::V4(net) => Some(*net),
                IpNet::V6(_) => None,
            });
            let behind = |net: Ipv4Net| {
                prefixes
                    .iter()
                    .filter_map(move |prefix| behind(prefix, net))
            };
            let added: Vec<_> = v4.flat_map(behind).map(IpNet::V6).collect();
            endpoint.hosts.extend(added);
        }
    }
}

/// The network of an IPv4 network behind a prefix.
fn behind(prefix: &Ipv6Net, net: Ipv4Net) -> Option<Ipv6Net> {
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
        assert_eq!(hosts, ["10.0.0.0/8", "fd00::1/128", "64:ff9b::a00:0/104"]);
        let inside = "64:ff9b::10.1.2.3".parse().unwrap();
        let outside = "64:ff9b::11.1.2.3".parse().unwrap();
        let at = |address| policy.endpoint_at(address, 1, stile_common::protocol::TCP);
        assert!(at(inside).is_some() && at(outside).is_none());
    }
}
