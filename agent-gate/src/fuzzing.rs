// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
//! What a fuzzer is let loose on: packets. The target in `fuzz/` calls it, and the test below
//! runs the committed corpus through it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use stile_common::{PORT_UNKNOWN, protocol};

use crate::{Address, Direction, parse};

/// What a plain reader makes of a packet.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    address: [u8; 16],
    protocol: u8,
    port: u32,
}

/// Reads any bytes as a packet, and compares with a reader that holds the whole packet and
/// cuts it into slices.
///
/// # Panics
/// If the gate's reader panics, or reads something else.
pub fn packet(data: &[u8]) {
    let load = |offset: u32| data.get(offset as usize..)?.first_chunk().copied();
    let gate = parse(load, Direction::Leaving).map(|parsed| Read {
        address: Address::octets(&parsed.destination.address),
        protocol: parsed.destination.protocol,
        port: parsed.destination.port,
    });
    assert_eq!(gate, read(data));
    let _ = parse(load, Direction::Arriving);
}

fn read(packet: &[u8]) -> Option<Read> {
    match packet.first()? >> 4 {
        4 => read_v4(packet),
        6 => read_v6(packet),
        _ => None,
    }
}

fn read_v4(packet: &[u8]) -> Option<Read> {
    let header: &[u8; 20] = packet.first_chunk()?;
    let to: [u8; 4] = *header.last_chunk()?;
    let offset = u16::from_be_bytes([header[6], header[7]]) & 0x1fff;
    let transport = packet
        .get(4 * usize::from(header[0] & 15)..)
        .unwrap_or_default();
    Some(Read {
        address: recorded(IpAddr::V4(Ipv4Addr::from(to))),
        protocol: header[9],
        port: if offset == 0 {
            port(transport)
        } else {
            PORT_UNKNOWN
        },
    })
}

fn read_v6(packet: &[u8]) -> Option<Read> {
    let header: &[u8; 40] = packet.first_chunk()?;
    let to: [u8; 16] = *header.last_chunk()?;
    let (protocol, port) =
        behind(header[6], &packet[40..], 5).unwrap_or((protocol::UNKNOWN, PORT_UNKNOWN));
    Some(Read {
        address: recorded(IpAddr::V6(Ipv6Addr::from(to))),
        protocol,
        port,
    })
}

/// Protocol and port behind at most `headers` extension headers (RFC 8200 4, RFC 4302).
fn behind(kind: u8, rest: &[u8], headers: u32) -> Option<(u8, u32)> {
    let head: &[u8; 4] = rest.first_chunk()?;
    let length = match kind {
        0 | 43 | 60 => 8 + 8 * usize::from(head[1]),
        51 => 8 + 4 * usize::from(head[1]),
        44 if u16::from_be_bytes([head[2], head[3]]) >> 3 == 0 => 8,
        44 => return None,
        transport => return Some((transport, port(rest))),
    };
    let headers = headers.checked_sub(1)?;
    behind(head[0], rest.get(length..)?, headers)
}

fn port(transport: &[u8]) -> u32 {
    transport.get(2..4).map_or(PORT_UNKNOWN, |port| {
        u32::from(port[0]) << 8 | u32::from(port[1])
    })
}

/// The address as records carry it: a zero address is this host.
fn recorded(to: IpAddr) -> [u8; 16] {
    match to.to_canonical() {
        IpAddr::V4(to) if to.is_unspecified() => Ipv4Addr::LOCALHOST.to_ipv6_mapped().octets(),
        IpAddr::V4(to) => to.to_ipv6_mapped().octets(),
        IpAddr::V6(to) if to.is_unspecified() => Ipv6Addr::LOCALHOST.octets(),
        IpAddr::V6(to) => to.octets(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn the_committed_corpus_breaks_no_promise() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/packet");
        let seeds: Vec<_> = std::fs::read_dir(corpus).unwrap().collect();
        assert!(seeds.len() >= 4, "a corpus of {} packets", seeds.len());
        for seed in seeds {
            let path = seed.unwrap().path();
            let data = std::fs::read(&path).unwrap();
            let result = std::panic::catch_unwind(|| packet(&data));
            assert!(result.is_ok(), "{} breaks it", path.display());
        }
    }
}
