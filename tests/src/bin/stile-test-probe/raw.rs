// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Packets that are made by hand.

use std::net::{IpAddr, SocketAddr, SocketAddrV4};

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SendFlags, SocketType, ipproto};

use crate::{Done, PAYLOAD, kept, socket};

/// The protocol number of UDP (IANA).
const UDP: u8 = 17;

pub(crate) fn try_way(way: &str, addresses: &[SocketAddr]) -> Option<Done> {
    let done = match (way, addresses) {
        ("raw-udp", &[to]) => raw_udp(to),
        _ => return None,
    };
    Some(done)
}

/// A whole IPv4 packet with a UDP datagram in it, made by hand (RFC 791, RFC 768).
fn raw_udp(to: SocketAddr) -> Done {
    let SocketAddr::V4(v4) = to else {
        return Err(Errno::NOTSUP);
    };
    let socket = socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::RAW))?;
    // The port of a raw socket's destination means nothing.
    let there = SocketAddr::new(IpAddr::V4(*v4.ip()), 0);
    net::sendto(&socket, &datagram(v4), SendFlags::empty(), &there)?;
    kept(socket)
}

fn datagram(to: SocketAddrV4) -> Vec<u8> {
    let length = u16::try_from(8 + PAYLOAD.len()).unwrap_or(u16::MAX);
    // The kernel fills in total length, identification, checksum and source (raw(7)).
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, UDP, 0, 0, 0, 0, 0, 0];
    packet.extend(to.ip().octets());
    packet.extend(40_000_u16.to_be_bytes());
    packet.extend(to.port().to_be_bytes());
    packet.extend(length.to_be_bytes());
    // No checksum (RFC 768).
    packet.extend([0, 0]);
    packet.extend(PAYLOAD);
    packet
}
