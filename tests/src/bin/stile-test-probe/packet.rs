// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Packets as bytes (RFC 791, RFC 8200, RFC 768, RFC 9293).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::PAYLOAD;

/// Protocol numbers (IANA).
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
/// Extension headers of IPv6 (RFC 8200 4).
pub(crate) const ROUTING: u8 = 43;
pub(crate) const FRAGMENT: u8 = 44;
pub(crate) const DESTINATION_OPTIONS: u8 = 60;
/// Where packets made by hand come from, and their port.
pub(crate) const SOURCE: Ipv4Addr = Ipv4Addr::new(127, 99, 0, 4);
const SOURCE6: Ipv6Addr = Ipv6Addr::LOCALHOST;
const PORT: u16 = 21010;
/// The identification of fragments.
const IDENTIFICATION: [u8; 2] = [0x57, 0x11];

/// The sum of RFC 1071 over these bytes.
pub(crate) fn checksum(bytes: &[u8]) -> [u8; 2] {
    let mut sum = 0_u32;
    for pair in bytes.chunks(2) {
        let (high, low) = (pair[0], pair.get(1).copied().unwrap_or(0));
        sum += u32::from(u16::from_be_bytes([high, low]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

fn short(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes()
}

/// The pseudo header that both protocols sum up too.
fn pseudo(to: SocketAddr, protocol: u8, length: usize) -> Vec<u8> {
    let mut header = match to {
        SocketAddr::V4(to) => [SOURCE.octets(), to.ip().octets()].concat(),
        SocketAddr::V6(to) => [SOURCE6.octets(), to.ip().octets()].concat(),
    };
    header.extend([0, protocol]);
    header.extend(short(length));
    header
}

/// A UDP datagram with the payload in it.
pub(crate) fn udp(to: SocketAddr) -> Vec<u8> {
    let mut datagram = PORT.to_be_bytes().to_vec();
    datagram.extend(to.port().to_be_bytes());
    datagram.extend(short(8 + PAYLOAD.len()));
    datagram.extend([0, 0]);
    datagram.extend(PAYLOAD);
    let sum = checksum(&[pseudo(to, UDP, datagram.len()), datagram.clone()].concat());
    datagram[6..8].copy_from_slice(&sum);
    datagram
}

/// A TCP SYN with the payload in it, which a server with Fast Open takes.
pub(crate) fn syn(to: SocketAddr) -> Vec<u8> {
    let mut segment = PORT.to_be_bytes().to_vec();
    segment.extend(to.port().to_be_bytes());
    // Numbers, length of the header, SYN, window.
    segment.extend([0, 0, 0, 1, 0, 0, 0, 0, 5 << 4, 2, 0x20, 0]);
    segment.extend([0; 4]);
    segment.extend(PAYLOAD);
    let sum = checksum(&[pseudo(to, TCP, segment.len()), segment.clone()].concat());
    segment[16..18].copy_from_slice(&sum);
    segment
}

/// A fragment's place in its datagram, in bytes, and whether more follow.
#[derive(Clone, Copy, Default)]
pub(crate) struct Place {
    pub(crate) offset: u16,
    pub(crate) more: bool,
}

/// An IPv4 packet. A raw socket fills in length and checksum; others don't.
pub(crate) fn v4(to: Ipv4Addr, protocol: u8, options: &[u8], place: Place, data: &[u8]) -> Vec<u8> {
    let header = 20 + options.len();
    let words = u8::try_from(header / 4).unwrap_or(0);
    let fragment = (place.offset / 8) | (u16::from(place.more) << 13);
    let mut packet = vec![0x40 | words, 0];
    packet.extend(short(header + data.len()));
    packet.extend(IDENTIFICATION);
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0]);
    packet.extend(SOURCE.octets());
    packet.extend(to.octets());
    packet.extend(options);
    let sum = checksum(&packet);
    packet[10..12].copy_from_slice(&sum);
    packet.extend(data);
    packet
}

/// A whole UDP packet.
pub(crate) fn whole(to: SocketAddrV4) -> Vec<u8> {
    v4(*to.ip(), UDP, &[], Place::default(), &udp(to.into()))
}

/// An IPv6 packet.
pub(crate) fn v6(to: Ipv6Addr, next: u8, data: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(short(data.len()));
    packet.extend([next, 64]);
    packet.extend(SOURCE6.octets());
    packet.extend(to.octets());
    packet.extend(data);
    packet
}

/// A whole UDP packet.
pub(crate) fn whole6(to: SocketAddrV6) -> Vec<u8> {
    v6(*to.ip(), UDP, &udp(to.into()))
}

/// A fragment header (RFC 8200 4.5).
pub(crate) fn fragment_header(next: u8, place: Place) -> Vec<u8> {
    let [high, low] = (place.offset | u16::from(place.more)).to_be_bytes();
    let [first, second] = IDENTIFICATION;
    vec![next, 0, high, low, 0, 0, first, second]
}

/// Destination options that say nothing (RFC 8200 4.6).
pub(crate) fn padding(next: u8) -> [u8; 8] {
    [next, 0, 1, 4, 0, 0, 0, 0]
}
