// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
//! Where a packet goes, read from its headers.

use stile_common::{PORT_UNKNOWN, protocol};

use crate::destination::{Address, Destination};

/// A packet's destination and where its transport header begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// Where it goes. The port is [`PORT_UNKNOWN`] where none can be read.
    pub destination: Destination,
    /// Offset of the transport header; meaningless if the port is unknown.
    pub transport: u32,
}

/// Extension headers that are followed; a packet with more of them has no readable port.
const MAX_EXTENSIONS: u32 = 6;

/// IPv6 extension header numbers (RFC 8200 4, RFC 4302).
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION_OPTIONS: u8 = 60;

/// Reads the destination of an IP packet. `load` copies four bytes at an offset, as
/// `bpf_skb_load_bytes` does. `None` if it isn't IP or is too short to have an address.
#[inline(always)]
pub fn parse(load: impl Fn(u32) -> Option<[u8; 4]>) -> Option<Parsed> {
    let head = load(0)?;
    match head[0] >> 4 {
        4 => parse_v4(&load, head[0]),
        6 => parse_v6(&load),
        _ => None,
    }
}

#[inline(always)]
fn parse_v4(load: &impl Fn(u32) -> Option<[u8; 4]>, version: u8) -> Option<Parsed> {
    let address = Address::from_v4(load(16)?);
    let fragment = load(4)?;
    let protocol = load(8)?[1];
    let transport = u32::from(version & 0x0f) * 4;
    // A later fragment carries no ports (RFC 791 3.2).
    let later_fragment = fragment[2] & 0x1f != 0 || fragment[3] != 0;
    let port = if later_fragment {
        PORT_UNKNOWN
    } else {
        port_at(load, transport)
    };
    Some(Parsed {
        destination: Destination {
            address,
            port,
            protocol,
        },
        transport,
    })
}

#[inline(always)]
fn parse_v6(load: &impl Fn(u32) -> Option<[u8; 4]>) -> Option<Parsed> {
    let words = [
        u32::from_ne_bytes(load(24)?),
        u32::from_ne_bytes(load(28)?),
        u32::from_ne_bytes(load(32)?),
        u32::from_ne_bytes(load(36)?),
    ];
    let mut next = load(4)?[2];
    let mut offset = 40;
    for _ in 0..MAX_EXTENSIONS {
        let Some(header) = load(offset) else { break };
        let length = match next {
            HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS => (u32::from(header[1]) + 1) * 8,
            AUTHENTICATION => (u32::from(header[1]) + 2) * 4,
            // Only the first fragment carries ports (RFC 8200 4.5).
            FRAGMENT if header[2] == 0 && header[3] & 0xf8 == 0 => 8,
            FRAGMENT => break,
            _ => {
                let port = port_at(load, offset);
                let address = Address::from_v6(words);
                let destination = Destination {
                    address,
                    port,
                    protocol: next,
                };
                return Some(Parsed {
                    destination,
                    transport: offset,
                });
            }
        };
        next = header[0];
        offset += length;
    }
    // Unreadable beyond here: whatever protocol and port it has, the address counts.
    let destination = Destination {
        address: Address::from_v6(words),
        port: PORT_UNKNOWN,
        protocol: protocol::UNKNOWN,
    };
    Some(Parsed {
        destination,
        transport: offset,
    })
}

/// Destination port of TCP, UDP, UDP-Lite, DCCP and SCTP alike.
#[inline(always)]
fn port_at(load: &impl Fn(u32) -> Option<[u8; 4]>, transport: u32) -> u32 {
    match load(transport) {
        Some(ports) => u32::from(u16::from_be_bytes([ports[2], ports[3]])),
        None => PORT_UNKNOWN,
    }
}
