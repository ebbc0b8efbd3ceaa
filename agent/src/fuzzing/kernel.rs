// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What comes from the gate: records, and the SYNs in them.

use std::net::IpAddr;

use stile_common::MAX_SYN;

use crate::kernel::{Record, decode};
use crate::sys::replay::SynPacket;

/// A record from a ring, and what the daemon does with it before it looks at anything else.
pub(super) fn record(data: &[u8]) {
    match decode(data) {
        Ok(Record::Syn { packet, .. }) => {
            assert!(packet.len() <= MAX_SYN);
            assert!(data.ends_with(&packet) || data.len() > packet.len());
            syn(&packet);
        }
        Ok(Record::Attempt(attempt)) => crate::classify::fuzz_attempt(&attempt),
        Ok(Record::Cut(_)) | Err(_) => {}
    }
}

/// A packet that may be sent once more as root.
pub(super) fn syn(data: &[u8]) {
    let Ok(packet) = SynPacket::parse(data) else {
        return;
    };
    let bytes = packet.bytes();
    assert_eq!(
        SynPacket::parse(bytes),
        Ok(packet.clone()),
        "it is not its own repetition"
    );
    assert_eq!(bytes.len(), data.len());
    let at = transport_of(bytes);
    let checksum = at + 16..at + 18;
    let elsewhere = |(index, _): &(usize, (&u8, &u8))| !checksum.contains(index);
    let mut pairs = bytes.iter().zip(data).enumerate().filter(elsewhere);
    assert!(
        pairs.all(|(_, (sent, captured))| sent == captured),
        "more than the checksum changed"
    );
    assert_eq!(bytes[at + 13] & 0x17, 0x02, "it is no SYN");
    assert!(packet.source().port() != 0 && packet.destination().port() != 0);
    assert_eq!(sum(&packet, &bytes[at..]), 0xffff, "its checksum is wrong");
}

/// Where TCP begins, in a packet whose headers are known to be sound.
fn transport_of(bytes: &[u8]) -> usize {
    if bytes[0] >> 4 == 4 {
        return usize::from(bytes[0] & 0x0f) * 4;
    }
    let (mut at, mut next) = (40, bytes[6]);
    while next != 6 {
        next = bytes[at];
        at += 8 + 8 * usize::from(bytes[at + 1]);
    }
    at
}

/// The sum of RFC 1071 over pseudo header and segment, carry by carry: all ones if the
/// checksum in it is right.
fn sum(packet: &SynPacket, segment: &[u8]) -> u16 {
    let mut bytes = Vec::new();
    for address in [packet.source().ip(), packet.destination().ip()] {
        match address {
            IpAddr::V4(address) => bytes.extend(address.octets()),
            IpAddr::V6(address) => bytes.extend(address.octets()),
        }
    }
    bytes.extend((segment.len() as u32).to_be_bytes());
    bytes.extend([0, 6]);
    bytes.extend(segment);
    bytes.resize(bytes.len().next_multiple_of(2), 0);
    bytes.chunks_exact(2).fold(0, |sum: u16, word| {
        let (next, carry) = sum.overflowing_add(u16::from_be_bytes([word[0], word[1]]));
        next + u16::from(carry)
    })
}
