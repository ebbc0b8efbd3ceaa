// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
//! Which ports of a protected address belong to which endpoint.

use crate::assert_layout;

/// Most port ranges of one class, over all endpoints that share the address.
pub const MAX_CLASS_PORTS: usize = 32;

/// The port of a packet that carries none that can be read (a later fragment, an unknown
/// extension header). It matches every range: what can't be judged is protected.
pub const PORT_UNKNOWN: u32 = u32::MAX;

/// IP protocol numbers (IANA) that the gate tells apart.
pub mod protocol {
    /// In a [`super::PortRange`]: every protocol that has ports.
    pub const ANY: u8 = 0;
    /// Internet Control Message Protocol: has no ports, is never gated.
    pub const ICMP: u8 = 1;
    /// Transmission Control Protocol.
    pub const TCP: u8 = 6;
    /// User Datagram Protocol.
    pub const UDP: u8 = 17;
    /// Datagram Congestion Control Protocol.
    pub const DCCP: u8 = 33;
    /// ICMP for IPv6: has no ports, is never gated.
    pub const ICMPV6: u8 = 58;
    /// Stream Control Transmission Protocol.
    pub const SCTP: u8 = 132;
    /// Of a packet: not to be read. It matches every range. 255 is reserved (IANA).
    pub const UNKNOWN: u8 = 255;
    /// UDP-Lite; matches a range of [`UDP`].
    pub const UDP_LITE: u8 = 136;
}

/// A closed range of ports of one protocol that belongs to one endpoint.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortRange {
    /// The endpoint.
    pub endpoint: u32,
    /// Lowest port.
    pub first: u16,
    /// Highest port.
    pub last: u16,
    /// One of [`protocol`].
    pub protocol: u8,
    /// Zero.
    pub reserved: [u8; 3],
}
assert_layout!(PortRange, 12, 4);

/// All port ranges of one protected prefix, in the policy's order: the first match counts.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortClass {
    /// How many of `ranges` count.
    pub len: u32,
    /// The ranges.
    pub ranges: [PortRange; MAX_CLASS_PORTS],
}
assert_layout!(PortClass, 4 + 12 * MAX_CLASS_PORTS, 4);
