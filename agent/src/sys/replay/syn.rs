// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a replayed packet must be: one whole TCP SYN, and nothing else.
//!
//! The packet comes from our own program in the kernel, yet it is what a raw socket will put
//! on the wire as root, so it is checked like a stranger's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use stile_common::protocol;

/// Shortest IPv4 header (RFC 791, 3.1), in bytes.
const V4_HEADER: usize = 20;
/// The IPv6 header (RFC 8200, 3), in bytes.
const V6_HEADER: usize = 40;
/// Shortest TCP header (RFC 9293, 3.1), in bytes.
const TCP_HEADER: usize = 20;
/// Offset of the checksum in the TCP header.
const CHECKSUM: usize = 16;
/// Most IPv6 extension headers that are walked. RFC 8200, 4.1 knows seven kinds, and one of
/// them twice.
const MAX_EXTENSIONS: usize = 8;

/// TCP flags (RFC 9293, 3.1).
mod flag {
    pub(super) const FIN: u8 = 0x01;
    pub(super) const SYN: u8 = 0x02;
    pub(super) const RST: u8 = 0x04;
    pub(super) const ACK: u8 = 0x10;
}

/// A whole TCP SYN in an IP packet, with a right TCP checksum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SynPacket {
    bytes: Vec<u8>,
    source: SocketAddr,
    destination: SocketAddr,
    interface: u32,
}

/// Why bytes are no replayable SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SynError {
    /// Neither IPv4 nor IPv6.
    #[error("the packet's IP version is neither 4 nor 6")]
    Version,
    /// It ends too early, or a length in it is impossible.
    #[error("the packet is cut short")]
    Short,
    /// Its own length isn't the number of bytes.
    #[error("the packet says it has {said} bytes and has {has}")]
    Length {
        /// What the header says.
        said: usize,
        /// How many there are.
        has: usize,
    },
    /// A part of a packet.
    #[error("the packet is a fragment")]
    Fragment,
    /// Its header doesn't name its last destination.
    #[error("the packet is source-routed")]
    SourceRoute,
    /// Another protocol, or an extension header that is not understood.
    #[error("protocol {0} where TCP was expected")]
    Protocol(u8),
    /// Too many extension headers.
    #[error("the packet has more than {MAX_EXTENSIONS} extension headers")]
    Extensions,
    /// Not the first packet of a connection.
    #[error("the packet's TCP flags are {0:#04x}, which is no SYN")]
    NotSyn(u8),
    /// Port 0.
    #[error("the packet has no port")]
    Port,
}

/// What the IP header says: both addresses, and where TCP begins.
struct Network {
    source: IpAddr,
    destination: IpAddr,
    segment: usize,
}

impl SynPacket {
    /// Checks the packet and fills its TCP checksum, which may be partial where the network
    /// card would have completed it. The IPv4 header checksum is the kernel's affair.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(packet: &[u8]) -> Result<Self, SynError> {
        let network = match packet.first().ok_or(SynError::Short)? >> 4 {
            4 => read_v4(packet)?,
            6 => read_v6(packet)?,
            _ => return Err(SynError::Version),
        };
        let mut bytes = packet.to_vec();
        // The last extension header may claim more bytes than there are.
        let segment = bytes.get_mut(network.segment..).ok_or(SynError::Short)?;
        let (source_port, destination_port) = read_tcp(segment)?;
        segment[CHECKSUM..CHECKSUM + 2].fill(0);
        let sum = checksum(network.source, network.destination, segment);
        segment[CHECKSUM..CHECKSUM + 2].copy_from_slice(&sum.to_be_bytes());
        Ok(Self {
            bytes,
            source: SocketAddr::new(network.source, source_port),
            destination: SocketAddr::new(network.destination, destination_port),
            interface: 0,
        })
    }

    /// The SYN of a socket that is bound to this interface; 0 for none, as it is before.
    #[must_use]
    pub fn bound_to(self, interface: u32) -> Self {
        Self { interface, ..self }
    }

    /// The interface that its socket is bound to, or 0.
    #[must_use]
    pub fn interface(&self) -> u32 {
        self.interface
    }

    /// Who connects.
    #[must_use]
    pub fn source(&self) -> SocketAddr {
        self.source
    }

    /// Where to. The scope of a link-local address is not in the packet, and is 0.
    #[must_use]
    pub fn destination(&self) -> SocketAddr {
        self.destination
    }

    /// The packet, IP header included.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

fn read_v4(packet: &[u8]) -> Result<Network, SynError> {
    let header: &[u8; V4_HEADER] = packet.first_chunk().ok_or(SynError::Short)?;
    check_length(be16(header, 2), packet)?;
    let length = usize::from(header[0] & 0x0f) * 4;
    let options = packet.get(V4_HEADER..length).ok_or(SynError::Short)?;
    // More fragments, or an offset.
    if be16(header, 6) & 0x3fff != 0 {
        return Err(SynError::Fragment);
    }
    if header[9] != protocol::TCP {
        return Err(SynError::Protocol(header[9]));
    }
    refuse_source_route(options)?;
    Ok(Network {
        source: Ipv4Addr::new(header[12], header[13], header[14], header[15]).into(),
        destination: Ipv4Addr::new(header[16], header[17], header[18], header[19]).into(),
        segment: length,
    })
}

/// Walks IPv4 options (RFC 791, 3.1).
fn refuse_source_route(mut options: &[u8]) -> Result<(), SynError> {
    const END: u8 = 0;
    const NO_OPERATION: u8 = 1;
    const LOOSE_SOURCE_ROUTE: u8 = 131;
    const STRICT_SOURCE_ROUTE: u8 = 137;
    loop {
        options = match *options {
            [] | [END, ..] => return Ok(()),
            [NO_OPERATION, ref rest @ ..] => rest,
            [LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE, ..] => return Err(SynError::SourceRoute),
            // The length counts both its own byte and the kind's.
            [_, length, ..] if length >= 2 => {
                options.get(usize::from(length)..).ok_or(SynError::Short)?
            }
            _ => return Err(SynError::Short),
        };
    }
}

fn read_v6(packet: &[u8]) -> Result<Network, SynError> {
    let header: &[u8; V6_HEADER] = packet.first_chunk().ok_or(SynError::Short)?;
    check_length(be16(header, 4).saturating_add(V6_HEADER), packet)?;
    Ok(Network {
        source: v6_address(&header[8..24])?,
        destination: v6_address(&header[24..40])?,
        segment: skip_extensions(packet, header[6])?,
    })
}

/// Offset of the TCP header behind at most [`MAX_EXTENSIONS`] extension headers (RFC 8200, 4).
fn skip_extensions(packet: &[u8], mut next: u8) -> Result<usize, SynError> {
    const HOP_BY_HOP: u8 = 0;
    const ROUTING: u8 = 43;
    const FRAGMENT: u8 = 44;
    const DESTINATION: u8 = 60;
    let mut at = V6_HEADER;
    for _ in 0..=MAX_EXTENSIONS {
        if next == protocol::TCP {
            return Ok(at);
        }
        let head: &[u8; 4] = packet
            .get(at..)
            .and_then(<[u8]>::first_chunk)
            .ok_or(SynError::Short)?;
        match next {
            HOP_BY_HOP | DESTINATION => {}
            // Without segments left, the header names the last destination.
            ROUTING if head[3] == 0 => {}
            ROUTING => return Err(SynError::SourceRoute),
            FRAGMENT => return Err(SynError::Fragment),
            // Among them AH, whose signature a new checksum would break.
            other => return Err(SynError::Protocol(other)),
        }
        next = head[0];
        at += (usize::from(head[1]) + 1) * 8;
    }
    Err(SynError::Extensions)
}

/// Checks the TCP header (RFC 9293, 3.1) and returns the source and destination ports.
fn read_tcp(segment: &[u8]) -> Result<(u16, u16), SynError> {
    let header: &[u8; TCP_HEADER] = segment.first_chunk().ok_or(SynError::Short)?;
    let length = usize::from(header[12] >> 4) * 4;
    if length < TCP_HEADER || length > segment.len() {
        return Err(SynError::Short);
    }
    let flags = header[13];
    if flags & (flag::SYN | flag::ACK | flag::RST | flag::FIN) != flag::SYN {
        return Err(SynError::NotSyn(flags));
    }
    let source = u16::from_be_bytes([header[0], header[1]]);
    let destination = u16::from_be_bytes([header[2], header[3]]);
    if source == 0 || destination == 0 {
        return Err(SynError::Port);
    }
    Ok((source, destination))
}

/// The TCP checksum over the pseudo header and the segment (RFC 9293, 3.1; RFC 8200, 8.1),
/// in which the checksum field must be zero.
fn checksum(source: IpAddr, destination: IpAddr, segment: &[u8]) -> u16 {
    let mut sum = u64::from(protocol::TCP) + segment.len() as u64;
    for address in [source, destination] {
        sum += match address {
            IpAddr::V4(address) => sum_words(&address.octets()),
            IpAddr::V6(address) => sum_words(&address.octets()),
        };
    }
    sum += sum_words(segment);
    // At most 65,535 bytes were summed, so it folds within four rounds.
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

/// Sum of the big-endian words; an odd last byte is the high one of a word (RFC 1071, 1).
fn sum_words(bytes: &[u8]) -> u64 {
    bytes
        .chunks(2)
        .map(|word| u64::from(word[0]) << 8 | word.get(1).map_or(0, |low| u64::from(*low)))
        .sum()
}

fn check_length(said: usize, packet: &[u8]) -> Result<(), SynError> {
    let has = packet.len();
    if said == has {
        Ok(())
    } else {
        Err(SynError::Length { said, has })
    }
}

fn v6_address(octets: &[u8]) -> Result<IpAddr, SynError> {
    let octets: [u8; 16] = octets.try_into().map_err(|_| SynError::Short)?;
    Ok(Ipv6Addr::from(octets).into())
}

/// The 16-bit number at this place of a header.
fn be16<const N: usize>(header: &[u8; N], at: usize) -> usize {
    usize::from(u16::from_be_bytes([header[at], header[at + 1]]))
}
