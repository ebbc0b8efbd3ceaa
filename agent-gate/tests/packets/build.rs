// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
//! Packets from a builder that knows where they go.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An IPv6 extension header (RFC 8200 4, RFC 4302).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extension {
    HopByHop {
        units: u8,
    },
    Destination {
        units: u8,
    },
    /// A routing header with this many segments left.
    Routed {
        units: u8,
        left: u8,
    },
    Authentication {
        words: u8,
    },
    FirstFragment,
    /// A later fragment, this many units of eight bytes into the whole.
    LaterFragment {
        offset: u16,
    },
}

/// The network layer.
#[derive(Clone, Debug)]
pub(crate) enum Network {
    V4 {
        to: Ipv4Addr,
        /// Words of four bytes.
        option_words: u8,
        /// Whether they begin with a source route.
        route: bool,
        /// In units of eight bytes; 0 in a first fragment and in a whole packet.
        fragment_offset: u16,
        more_fragments: bool,
    },
    V6 {
        to: Ipv6Addr,
        extensions: Vec<Extension>,
    },
}

/// A packet to be built.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) network: Network,
    /// IANA number of the transport.
    pub(crate) protocol: u8,
    pub(crate) port: u16,
    /// What unimportant fields are filled with.
    pub(crate) filler: u8,
    /// Whether it arrives: then the address and the port are its source's.
    pub(crate) arriving: bool,
    /// How many bytes arrive, of all; None for all.
    pub(crate) cut: Option<usize>,
}

/// Where it goes, as far as it can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Truth {
    pub(crate) to: IpAddr,
    /// Protocol, if it can be told.
    pub(crate) protocol: Option<u8>,
    /// Port and where the transport header begins.
    pub(crate) port: Option<(u16, usize)>,
    /// Whether a source route is to be seen.
    pub(crate) routed: bool,
}

/// How many headers behind the IPv6 header the gate looks at, the transport's included.
const LOOKED_AT: usize = 6;

impl Plan {
    /// The bytes, and what they mean. Nothing is meant by less than the address.
    pub(crate) fn build(&self) -> (Vec<u8>, Option<Truth>) {
        let (mut bytes, mut truth) = match &self.network {
            Network::V4 { to, .. } => self.build_v4(*to),
            Network::V6 { to, extensions } => self.build_v6(*to, extensions),
        };
        if let Some(cut) = self.cut {
            bytes.truncate(cut);
        }
        let is_v6 = matches!(self.network, Network::V6 { .. });
        let fixed = match (is_v6, self.arriving) {
            (false, false) => 20,
            (false, true) => 16,
            (true, false) => 40,
            (true, true) => 24,
        };
        let readable = |at: usize| at + 4 <= bytes.len();
        if bytes.len() < fixed {
            return (bytes, None);
        }
        if truth.port.is_some_and(|(_, at)| !readable(at)) {
            truth.port = None;
            // Of IPv6, the protocol is told by the last header of a chain that was read.
            if is_v6 {
                truth.protocol = None;
            }
        }
        // The route stands in the first word of the options.
        truth.routed &= is_v6 || readable(20);
        (bytes, Some(truth))
    }

    fn build_v4(&self, to: Ipv4Addr) -> (Vec<u8>, Truth) {
        let Network::V4 {
            option_words,
            fragment_offset,
            more_fragments,
            route,
            ..
        } = self.network
        else {
            unreachable!("only called for IPv4");
        };
        let mut bytes = vec![self.filler; 20];
        bytes[0] = 0x45 + option_words;
        bytes[6..8]
            .copy_from_slice(&(fragment_offset | u16::from(more_fragments) << 13).to_be_bytes());
        bytes[9] = self.protocol;
        let at = if self.arriving { 12 } else { 16 };
        bytes[at..at + 4].copy_from_slice(&to.octets());
        // NOPs, and a loose source route (RFC 791 3.1).
        bytes.extend(vec![1; 4 * usize::from(option_words)]);
        let route = route && option_words > 0;
        if route {
            bytes[21] = 131;
        }
        let transport = bytes.len();
        self.push_transport(&mut bytes);
        let port = (fragment_offset == 0).then_some((self.port, transport));
        let truth = Truth {
            to: IpAddr::V4(to),
            protocol: Some(self.protocol),
            port,
            routed: route && !self.arriving,
        };
        (bytes, truth)
    }

    fn build_v6(&self, to: Ipv6Addr, extensions: &[Extension]) -> (Vec<u8>, Truth) {
        let mut bytes = vec![self.filler; 40];
        bytes[0] = 0x60 | self.filler & 0x0f;
        let at = if self.arriving { 8 } else { 24 };
        bytes[at..at + 16].copy_from_slice(&to.octets());
        // Where the number of the next header is to be written.
        let mut next_at = 6;
        let mut readable = extensions.len() < LOOKED_AT;
        let mut routed = false;
        let mut looked_at = 0;
        let mut later = false;
        for extension in extensions {
            bytes[next_at] = extension.number();
            next_at = bytes.len();
            extension.push(&mut bytes, self.filler);
            let cut = self.cut.is_some_and(|cut| cut < next_at + 4);
            looked_at += 1;
            let seen = looked_at <= LOOKED_AT && !cut && !later;
            routed |= seen && matches!(extension, Extension::Routed { left: 1.., .. });
            later |= matches!(extension, Extension::LaterFragment { .. });
            readable &= !matches!(extension, Extension::LaterFragment { .. });
        }
        bytes[next_at] = self.protocol;
        let transport = bytes.len();
        self.push_transport(&mut bytes);
        let truth = Truth {
            to: IpAddr::V6(to),
            protocol: readable.then_some(self.protocol),
            port: readable.then_some((self.port, transport)),
            routed: routed && !self.arriving,
        };
        (bytes, truth)
    }

    fn push_transport(&self, bytes: &mut Vec<u8>) {
        let other = [self.filler; 2];
        let (source, destination) = match self.arriving {
            true => (self.port.to_be_bytes(), other),
            false => (other, self.port.to_be_bytes()),
        };
        bytes.extend(source);
        bytes.extend(destination);
        bytes.extend([self.filler; 16]);
    }
}

impl Extension {
    fn number(self) -> u8 {
        match self {
            Self::HopByHop { .. } => 0,
            Self::Destination { .. } => 60,
            Self::Routed { .. } => 43,
            Self::Authentication { .. } => 51,
            Self::FirstFragment | Self::LaterFragment { .. } => 44,
        }
    }

    /// Appends the header; its first byte, the number of the next one, is written later.
    fn push(self, bytes: &mut Vec<u8>, filler: u8) {
        let start = bytes.len();
        let (length_field, length) = match self {
            // In units of eight bytes, the first not counted.
            Self::HopByHop { units } | Self::Destination { units } | Self::Routed { units, .. } => {
                (units, 8 * (usize::from(units) + 1))
            }
            // In words of four bytes, two not counted.
            Self::Authentication { words } => (words, 4 * (usize::from(words) + 2)),
            Self::FirstFragment | Self::LaterFragment { .. } => (filler, 8),
        };
        bytes.resize(start + length, filler);
        bytes[start + 1] = length_field;
        let more_fragments = u16::from(filler & 1);
        match self {
            // Segments left (RFC 8200 4.4).
            Self::Routed { left, .. } => bytes[start + 3] = left,
            Self::FirstFragment => {
                bytes[start + 2..start + 4].copy_from_slice(&more_fragments.to_be_bytes())
            }
            Self::LaterFragment { offset } => {
                let field = offset << 3 | more_fragments;
                bytes[start + 2..start + 4].copy_from_slice(&field.to_be_bytes());
            }
            Self::HopByHop { .. } | Self::Destination { .. } | Self::Authentication { .. } => {}
        }
    }
}
