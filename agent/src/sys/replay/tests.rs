// SPDX-License-Identifier: Apache-2.0 OR MIT

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::socket::{Backlog, bind, connect, listen, recv};
use proptest::prelude::*;

use super::*;

/// A SYN to be built, and to be broken.
#[derive(Clone, Debug)]
struct Syn {
    source: SocketAddr,
    destination: SocketAddr,
    /// IPv4 options, or IPv6 extension headers with the number of the first.
    between: (u8, Vec<u8>),
    options: Vec<u8>,
    data: Vec<u8>,
    flags: u8,
}

impl Syn {
    fn new(source: &str, destination: &str) -> Self {
        Self {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            between: (6, vec![]),
            options: vec![2, 4, 0x05, 0xb4],
            data: vec![],
            flags: 0x02,
        }
    }

    fn v4() -> Self {
        Self::new("192.0.2.1:40000", "192.0.2.2:5432")
    }

    fn v6() -> Self {
        Self::new("[2001:db8::1]:40000", "[2001:db8::2]:5432")
    }

    fn tcp(&self) -> Vec<u8> {
        let mut tcp = self.source.port().to_be_bytes().to_vec();
        tcp.extend(self.destination.port().to_be_bytes());
        tcp.extend([0x11, 0x22, 0x33, 0x44, 0, 0, 0, 0]);
        let words = u8::try_from(5 + self.options.len() / 4).unwrap();
        // The checksum is a wrong one.
        tcp.extend([words << 4, self.flags, 0xfa, 0xf0, 0xde, 0xad, 0, 0]);
        tcp.extend(&self.options);
        tcp.extend(&self.data);
        tcp
    }

    fn build(&self) -> Vec<u8> {
        let tcp = self.tcp();
        let (first, between) = &self.between;
        let rest = between.len() + tcp.len();
        let mut packet = match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let length = u16::try_from(20 + rest).unwrap().to_be_bytes();
                let words = u8::try_from(5 + between.len() / 4).unwrap();
                let mut head = vec![0x40 | words, 0, length[0], length[1], 0, 1, 0x40, 0];
                head.extend([64, *first, 0, 0]);
                head.extend(source.octets());
                head.extend(destination.octets());
                head
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let length = u16::try_from(rest).unwrap().to_be_bytes();
                let mut head = vec![0x60, 0, 0, 0, length[0], length[1], *first, 64];
                head.extend(source.octets());
                head.extend(destination.octets());
                head
            }
            _ => unreachable!("a packet has one family"),
        };
        packet.extend(between);
        packet.extend(tcp);
        packet
    }
}

/// RFC 1071: the words of a segment with its checksum, and of its pseudo header, sum up to
/// minus zero. Written another way than the code under test.
fn verifies(packet: &SynPacket, segment: &[u8]) -> bool {
    let mut words = Vec::new();
    for address in [packet.source().ip(), packet.destination().ip()] {
        match address {
            IpAddr::V4(address) => words.extend(address.octets()),
            IpAddr::V6(address) => words.extend(address.octets()),
        }
    }
    words.extend(u32::try_from(segment.len()).unwrap().to_be_bytes());
    words.extend([0, 6]);
    words.extend(segment);
    words.resize(words.len().next_multiple_of(2), 0);
    let mut sum = 0_u16;
    for word in words.chunks_exact(2) {
        let (next, carry) = sum.overflowing_add(u16::from_be_bytes([word[0], word[1]]));
        sum = next + u16::from(carry);
    }
    sum == 0xffff
}

#[test]
fn a_partial_checksum_is_completed_and_nothing_else_changes() {
    for syn in [Syn::v4(), Syn::v6()] {
        let built = syn.build();
        let packet = SynPacket::parse(&built).unwrap();
        assert_eq!(packet.source(), syn.source);
        assert_eq!(packet.destination(), syn.destination);
        let start = built.len() - syn.tcp().len();
        assert!(verifies(&packet, &packet.bytes()[start..]));
        let mut same = built.clone();
        same[start + 16..start + 18].copy_from_slice(&packet.bytes()[start + 16..start + 18]);
        assert_eq!(packet.bytes(), same);
    }
}

#[test]
fn data_of_fast_open_and_congestion_flags_may_stand_in_a_syn() {
    let mut syn = Syn::v4();
    syn.data = b"hello".to_vec();
    syn.flags |= 0xc0;
    SynPacket::parse(&syn.build()).unwrap();
}

#[test]
fn only_a_first_packet_is_replayed() {
    for flags in [0x00, 0x10, 0x12, 0x03, 0x06, 0x04] {
        let mut syn = Syn::v4();
        syn.flags = flags;
        assert_eq!(SynPacket::parse(&syn.build()), Err(SynError::NotSyn(flags)));
    }
}

#[test]
fn a_packet_with_a_wrong_length_is_refused() {
    for syn in [Syn::v4(), Syn::v6()] {
        let mut longer = syn.build();
        longer.push(0);
        assert!(matches!(
            SynPacket::parse(&longer),
            Err(SynError::Length { .. })
        ));
        for cut in 0..syn.build().len() {
            SynPacket::parse(&syn.build()[..cut]).unwrap_err();
        }
    }
}

#[test]
fn a_fragment_is_refused() {
    for (at, value) in [(6, 0x20), (7, 0x01)] {
        let mut packet = Syn::v4().build();
        packet[at] = value;
        assert_eq!(SynPacket::parse(&packet), Err(SynError::Fragment));
    }
    let mut syn = Syn::v6();
    syn.between = (44, vec![6, 0, 0, 1, 0, 0, 0, 0]);
    assert_eq!(SynPacket::parse(&syn.build()), Err(SynError::Fragment));
}

#[test]
fn a_source_route_is_refused_and_other_options_are_not() {
    let mut syn = Syn::v4();
    syn.between = (6, vec![1, 131, 7, 4, 192, 0, 2, 9]);
    assert_eq!(SynPacket::parse(&syn.build()), Err(SynError::SourceRoute));
    syn.between = (6, vec![134, 6, 0, 0, 0, 1, 1, 0]);
    SynPacket::parse(&syn.build()).unwrap();
    for broken in [[7, 0, 0, 0], [7, 5, 0, 0], [1, 1, 1, 7]] {
        syn.between = (6, broken.to_vec());
        assert_eq!(SynPacket::parse(&syn.build()), Err(SynError::Short));
    }

    let mut syn = Syn::v6();
    syn.between = (43, vec![6, 0, 4, 1, 0, 0, 0, 0]);
    assert_eq!(SynPacket::parse(&syn.build()), Err(SynError::SourceRoute));
    syn.between = (43, vec![6, 0, 4, 0, 0, 0, 0, 0]);
    SynPacket::parse(&syn.build()).unwrap();
}

#[test]
fn eight_extension_headers_are_walked_and_no_more() {
    let padding = |next| [next, 0, 1, 4, 0, 0, 0, 0];
    for (count, expected) in [(8, true), (9, false)] {
        let mut syn = Syn::v6();
        syn.between.0 = 60;
        for left in (0..count).rev() {
            syn.between
                .1
                .extend(padding(if left == 0 { 6 } else { 60 }));
        }
        assert_eq!(SynPacket::parse(&syn.build()).is_ok(), expected);
    }
    let mut signed = Syn::v6();
    signed.between = (51, vec![6, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(
        SynPacket::parse(&signed.build()),
        Err(SynError::Protocol(51))
    );
}

#[test]
fn other_protocols_and_versions_are_refused() {
    for mut syn in [Syn::v4(), Syn::v6()] {
        syn.between.0 = 17;
        assert_eq!(SynPacket::parse(&syn.build()), Err(SynError::Protocol(17)));
        let mut packet = syn.build();
        packet[0] = 0x50 | packet[0] & 0x0f;
        assert_eq!(SynPacket::parse(&packet), Err(SynError::Version));
    }
    assert_eq!(SynPacket::parse(&[]), Err(SynError::Short));
}

/// Every packet that this machine sends or receives while it is kept.
struct Capture(OwnedFd);

impl Capture {
    fn new() -> Self {
        let protocol = SockProtocol::EthAll;
        let flags = SockFlag::SOCK_NONBLOCK;
        Self(socket(AddressFamily::Packet, SockType::Datagram, flags, protocol).unwrap())
    }

    /// The SYNs between these two, of which loopback shows each one twice: going, coming.
    fn syns(&self, source: SocketAddr, destination: SocketAddr) -> Vec<Vec<u8>> {
        let mut syns = Vec::new();
        let mut buffer = [0; 2048];
        while let Ok(length) = recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            if let Ok(packet) = SynPacket::parse(&buffer[..length])
                && (packet.source(), packet.destination()) == (source, destination)
            {
                syns.push(buffer[..length].to_vec());
            }
        }
        syns
    }
}

#[test]
fn a_replayed_syn_connects_its_client_before_any_retransmission() {
    let replayer = Replayer::new().unwrap();
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let listener = full_listener(address.parse().unwrap());
        let destination = listener.local_addr().unwrap();
        let _fills_the_queue = TcpStream::connect(destination).unwrap();
        let capture = Capture::new();
        let family = match destination {
            SocketAddr::V4(_) => AddressFamily::Inet,
            SocketAddr::V6(_) => AddressFamily::Inet6,
        };
        let client = socket(family, SockType::Stream, SockFlag::SOCK_NONBLOCK, None).unwrap();
        let to = SockaddrStorage::from(destination);
        assert_eq!(connect(client.as_raw_fd(), &to), Err(Errno::EINPROGRESS));
        let client = TcpStream::from(client);
        let source = client.local_addr().unwrap();
        let syns = capture.syns(source, destination);
        assert_eq!(syns.len(), 2);

        let _makes_room = listener.accept().unwrap();
        replayer.send(&SynPacket::parse(&syns[0]).unwrap()).unwrap();
        let mut waited = [PollFd::new(client.as_fd(), PollFlags::POLLOUT)];
        assert_eq!(poll(&mut waited, 10_000_u16).unwrap(), 1);
        assert_eq!(client.peer_addr().unwrap(), destination);
        // One more SYN: ours, and none of the client's own.
        assert_eq!(capture.syns(source, destination).len(), 2);
    }
}

/// A listener that drops SYNs as soon as one connection waits for it.
fn full_listener(address: SocketAddr) -> TcpListener {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let listener = socket(family, SockType::Stream, SockFlag::empty(), None).unwrap();
    bind(listener.as_raw_fd(), &SockaddrStorage::from(address)).unwrap();
    listen(&listener, Backlog::new(0).unwrap()).unwrap();
    TcpListener::from(listener)
}

#[test]
fn both_raw_sockets_have_names_that_the_gate_can_exempt() {
    let replayer = Replayer::new().unwrap();
    let [v4, v6] = replayer.cookies();
    assert_ne!(v4, v6);
    assert_eq!(cookie_of(&replayer.v4).unwrap(), v4);
    assert_eq!(cookie_of(&replayer.v6).unwrap(), v6);
}

fn ends() -> impl Strategy<Value = (SocketAddr, SocketAddr)> {
    let ports = (1..=u16::MAX, 1..=u16::MAX);
    let v4 = (any::<Ipv4Addr>(), any::<Ipv4Addr>())
        .prop_map(|(source, destination)| (IpAddr::V4(source), IpAddr::V4(destination)));
    let v6 = (any::<Ipv6Addr>(), any::<Ipv6Addr>())
        .prop_map(|(source, destination)| (IpAddr::V6(source), IpAddr::V6(destination)));
    (prop_oneof![v4, v6], ports).prop_map(|((source, destination), (from, to))| {
        (
            SocketAddr::new(source, from),
            SocketAddr::new(destination, to),
        )
    })
}

proptest! {
    #[test]
    fn no_packet_makes_the_parser_panic(
        first in prop_oneof![Just(0x45_u8), Just(0x60), any::<u8>()],
        mut bytes in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        if let Some(byte) = bytes.first_mut() {
            *byte = first;
        }
        let _ = SynPacket::parse(&bytes);
    }

    #[test]
    fn no_damage_to_a_syn_makes_the_parser_panic(
        v6 in any::<bool>(),
        damage in prop::collection::vec((0_usize..64, any::<u8>()), 1..4),
    ) {
        let mut packet = if v6 { Syn::v6() } else { Syn::v4() }.build();
        for (at, value) in damage {
            let at = at % packet.len();
            packet[at] = value;
        }
        let _ = SynPacket::parse(&packet);
    }

    #[test]
    fn every_parsed_syn_verifies_and_parses_to_itself(
        (source, destination) in ends(),
        words in 0_usize..=10,
        data in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let mut syn = Syn::v4();
        (syn.source, syn.destination) = (source, destination);
        syn.options = vec![1; words * 4];
        syn.data = data;
        let built = syn.build();
        let packet = SynPacket::parse(&built).unwrap();
        prop_assert_eq!(packet.source(), source);
        prop_assert_eq!(packet.destination(), destination);
        let start = built.len() - syn.tcp().len();
        prop_assert!(verifies(&packet, &packet.bytes()[start..]));
        prop_assert_eq!(SynPacket::parse(packet.bytes()).unwrap(), packet);
    }
}

#[test]
fn an_extension_header_that_reaches_past_the_end_is_refused() {
    let mut syn = Syn::v6();
    // Destination options of 64 bytes, where the packet has fewer, and then TCP.
    syn.between = (60, vec![6, 7, 1, 4, 0, 0, 0, 0]);
    assert_eq!(SynPacket::parse(&syn.build()), Err(SynError::Short));
}
