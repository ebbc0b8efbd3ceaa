// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
//! Where a packet goes or comes from, read from its headers.

use stile_common::{PORT_UNKNOWN, protocol};

use crate::destination::{Address, Destination};

/// Which end of a packet is the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// It leaves: the peer is its destination.
    Leaving,
    /// It arrives: the peer is its source.
    Arriving,
}

/// The other end of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The peer. The port is [`PORT_UNKNOWN`] where none can be read.
    pub destination: Destination,
    /// True if it leaves with a source route: its destination is not the end of its way.
    pub routed: bool,
}

/// Extension headers that are followed; a packet with more of them has no readable port.
const MAX_EXTENSIONS: u32 = 6;
/// Bytes of an IPv4 header without options, and most words of them (RFC 791 3.1).
const FIXED_HEADER: u32 = 20;
const MAX_OPTION_WORDS: u32 = 10;

/// IPv6 extension header numbers (RFC 8200 4, RFC 4302).
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION_OPTIONS: u8 = 60;

/// IPv4 options that are source routes (RFC 791 3.1).
const LOOSE_SOURCE_ROUTE: u8 = 131;
const STRICT_SOURCE_ROUTE: u8 = 137;

/// The peer's address, if the packet has neither options nor extension headers, as nearly every
/// packet; else [`parse`] must be asked.
#[inline(always)]
pub fn glance(load: impl Fn(u32) -> Option<[u8; 4]>, direction: Direction) -> Option<Address> {
    let head = load(0)?;
    if head[0] == PLAIN_V4 {
        let at = match direction {
            Direction::Leaving => 16,
            Direction::Arriving => 12,
        };
        return Some(Address::from_v4(load(at)?));
    }
    let next = load(4)?[2];
    let is_plain = next == protocol::TCP || next == protocol::UDP;
    if head[0] >> 4 == 6 && is_plain {
        return address_v6(&load, direction);
    }
    None
}

/// The first byte of an IPv4 header of 20 bytes (RFC 791 3.1).
const PLAIN_V4: u8 = 0x45;

/// Reads the peer of an IP packet. `load` copies four bytes at an offset, as
/// `bpf_skb_load_bytes` does. `None` if it isn't IP or is too short to have an address.
#[inline(always)]
pub fn parse(load: impl Fn(u32) -> Option<[u8; 4]>, direction: Direction) -> Option<Parsed> {
    let head = load(0)?;
    match head[0] >> 4 {
        4 => parse_v4(&load, head[0], direction),
        6 => parse_v6(&load, direction),
        _ => None,
    }
}

#[inline(always)]
fn parse_v4(
    load: &impl Fn(u32) -> Option<[u8; 4]>,
    version: u8,
    direction: Direction,
) -> Option<Parsed> {
    let address = match direction {
        Direction::Leaving => 16,
        Direction::Arriving => 12,
    };
    let address = Address::from_v4(load(address)?);
    let fragment = load(4)?;
    let protocol = load(8)?[1];
    let transport = u32::from(version & 0x0f) * 4;
    // A later fragment carries no ports (RFC 791 3.2).
    let later_fragment = fragment[2] & 0x1f != 0 || fragment[3] != 0;
    let port = if later_fragment {
        PORT_UNKNOWN
    } else {
        port_at(load, transport, direction)
    };
    Some(Parsed {
        destination: Destination {
            address,
            port,
            protocol,
        },
        routed: direction == Direction::Leaving && may_be_routed(load, transport),
    })
}

/// True if one of the header's option bytes could begin a source route. Bytes within another
/// option count as well: walking the options is more than the kernel's verifier follows.
#[inline(always)]
fn may_be_routed(load: &impl Fn(u32) -> Option<[u8; 4]>, transport: u32) -> bool {
    let mut found = 0;
    for word in 0..MAX_OPTION_WORDS {
        let at = FIXED_HEADER + word * 4;
        if at >= transport {
            break;
        }
        let Some(bytes) = load(at) else { break };
        let word = u32::from_ne_bytes(bytes);
        // Without a branch for each byte, all of which the verifier would follow.
        found |= zero_bytes(word ^ u32::from_ne_bytes([LOOSE_SOURCE_ROUTE; 4]));
        found |= zero_bytes(word ^ u32::from_ne_bytes([STRICT_SOURCE_ROUTE; 4]));
    }
    found != 0
}

/// Not zero if a byte of the word is zero.
#[inline(always)]
fn zero_bytes(word: u32) -> u32 {
    word.wrapping_sub(0x0101_0101) & !word & 0x8080_8080
}

#[inline(always)]
fn parse_v6(load: &impl Fn(u32) -> Option<[u8; 4]>, direction: Direction) -> Option<Parsed> {
    let address = address_v6(load, direction)?;
    let mut routed = false;
    // Unreadable beyond some point: whatever protocol and port it has, the address counts.
    let mut port = PORT_UNKNOWN;
    let mut protocol = protocol::UNKNOWN;
    let mut next = load(4)?[2];
    let mut offset = 40;
    for _ in 0..MAX_EXTENSIONS {
        let Some(header) = load(offset) else { break };
        let length = match next {
            ROUTING => {
                // Segments left (RFC 8200 4.4).
                routed |= header[3] > 0;
                (u32::from(header[1]) + 1) * 8
            }
            HOP_BY_HOP | DESTINATION_OPTIONS => (u32::from(header[1]) + 1) * 8,
            AUTHENTICATION => (u32::from(header[1]) + 2) * 4,
            // Only the first fragment carries ports (RFC 8200 4.5).
            FRAGMENT if header[2] == 0 && header[3] & 0xf8 == 0 => 8,
            FRAGMENT => break,
            _ => {
                port = port_at(load, offset, direction);
                protocol = next;
                break;
            }
        };
        next = header[0];
        offset += length;
    }
    Some(Parsed {
        destination: Destination {
            address,
            port,
            protocol,
        },
        routed: routed && direction == Direction::Leaving,
    })
}

#[inline(always)]
fn address_v6(load: &impl Fn(u32) -> Option<[u8; 4]>, direction: Direction) -> Option<Address> {
    let at = match direction {
        Direction::Leaving => 24,
        Direction::Arriving => 8,
    };
    Some(Address::from_v6([
        u32::from_ne_bytes(load(at)?),
        u32::from_ne_bytes(load(at + 4)?),
        u32::from_ne_bytes(load(at + 8)?),
        u32::from_ne_bytes(load(at + 12)?),
    ]))
}

/// The peer's port of TCP, UDP, UDP-Lite, DCCP and SCTP alike.
#[inline(always)]
fn port_at(load: &impl Fn(u32) -> Option<[u8; 4]>, transport: u32, direction: Direction) -> u32 {
    match (load(transport), direction) {
        (Some(ports), Direction::Leaving) => u32::from(u16::from_be_bytes([ports[2], ports[3]])),
        (Some(ports), Direction::Arriving) => u32::from(u16::from_be_bytes([ports[0], ports[1]])),
        (None, _) => PORT_UNKNOWN,
    }
}
