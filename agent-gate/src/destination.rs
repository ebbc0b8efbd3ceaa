// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
//! Where a connection really goes.

use stile_common::protocol;

/// An address as the network will see it, in the one form in which records carry addresses:
/// IPv4 is `::ffff:a.b.c.d`, whichever way it was given. Four words in network byte order;
/// one plain shape, because the verifier follows no half-written enumeration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address([u32; 4]);

/// Third word of a v4-mapped address (RFC 4291 2.5.5.2).
const MAPPED: u32 = u32::from_be(0xffff);

impl Address {
    /// An IPv4 address given to `connect`. 0.0.0.0 means this host (`ip_route_connect` in
    /// the kernel's `include/net/route.h` turns it into 127.0.0.1 unless the socket is bound).
    #[inline(always)]
    #[must_use]
    pub fn from_v4(octets: [u8; 4]) -> Self {
        let word = u32::from_ne_bytes(octets);
        Self([
            0,
            0,
            MAPPED,
            if word == 0 {
                u32::from_be(0x7f00_0001)
            } else {
                word
            },
        ])
    }

    /// An IPv6 address given to `connect`. `::` means `::1` (`tcp_v6_connect` in the
    /// kernel's `net/ipv6/tcp_ipv6.c`), `::ffff:a.b.c.d` means a.b.c.d.
    #[inline(always)]
    #[must_use]
    pub fn from_v6(words: [u32; 4]) -> Self {
        if words[0] == 0 && words[1] == 0 {
            if words[2] == MAPPED {
                return Self::from_v4(words[3].to_ne_bytes());
            }
            if words[2] == 0 && words[3] == 0 {
                return Self([0, 0, 0, u32::from_be(1)]);
            }
        }
        Self(words)
    }

    /// The IPv4 address, if it is one.
    #[inline(always)]
    #[must_use]
    pub fn v4(&self) -> Option<[u8; 4]> {
        let [a, b, c, d] = self.0;
        (a == 0 && b == 0 && c == MAPPED).then_some(d.to_ne_bytes())
    }

    /// Its words, in network byte order.
    #[inline(always)]
    pub(crate) fn words(&self) -> [u32; 4] {
        self.0
    }

    /// The first half of the address as a number.
    #[inline(always)]
    #[must_use]
    pub fn half(&self) -> u64 {
        let [a, b, ..] = self.0;
        u64::from(u32::from_be(a)) << 32 | u64::from(u32::from_be(b))
    }

    /// The 16 bytes of a record or of a key of the IPv6 map.
    #[inline(always)]
    #[must_use]
    pub fn octets(&self) -> [u8; 16] {
        let [a, b, c, d] = self.0.map(u32::to_ne_bytes);
        [
            a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3], c[0], c[1], c[2], c[3], d[0], d[1],
            d[2], d[3],
        ]
    }
}

/// What a process connects to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The address.
    pub address: Address,
    /// The port in host byte order, or [`stile_common::PORT_UNKNOWN`].
    pub port: u32,
    /// IANA protocol number.
    pub protocol: u8,
}

impl Destination {
    /// False for protocols that have no ports, and so can't belong to an endpoint: ICMP,
    /// tunnels.
    #[inline(always)]
    #[must_use]
    pub fn has_ports(&self) -> bool {
        matches!(
            self.protocol,
            protocol::TCP
                | protocol::UDP
                | protocol::UDP_LITE
                | protocol::DCCP
                | protocol::SCTP
                | protocol::UNKNOWN
        )
    }
}
