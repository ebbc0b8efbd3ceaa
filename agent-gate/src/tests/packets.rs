// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
//! Packets of sockets that no hook has judged.

use super::*;

/// Bytes of a packet behind the four-byte loads that the kernel offers.
fn load(packet: &[u8]) -> impl Fn(u32) -> Option<[u8; 4]> + '_ {
    move |offset| packet.get(offset as usize..)?.first_chunk().copied()
}

#[test]
fn a_later_fragment_has_no_port_and_matches_every_one() {
    let mut packet = [0_u8; 28];
    packet[0] = 0x45;
    packet[7] = 1;
    packet[9] = protocol::TCP;
    packet[16..20].copy_from_slice(&[10, 1, 2, 3]);
    let parsed = parse(load(&packet), Direction::Leaving).expect("an IPv4 packet");
    assert_eq!(parsed.destination.port, PORT_UNKNOWN);
    let dropped = judge_unseen(&one_database(), &outside(ALICE), &parsed.destination);
    assert_eq!(dropped, Packet::Drop(fault::UNPARSED));
}

#[test]
fn extension_headers_are_followed_to_the_port() {
    let mut packet = [0_u8; 64];
    packet[0] = 0x60;
    packet[6] = 60;
    packet[24..40].copy_from_slice(&[0x20; 16]);
    packet[40..42].copy_from_slice(&[protocol::TCP, 1]);
    packet[58..60].copy_from_slice(&5432_u16.to_be_bytes());
    let parsed = parse(load(&packet), Direction::Leaving).expect("an IPv6 packet");
    assert_eq!(
        (parsed.destination.port, parsed.destination.protocol),
        (5432, protocol::TCP)
    );
}

#[test]
fn a_source_route_is_refused_to_everybody_who_is_gated() {
    for padding in [0, 1, 3, 30] {
        let mut packet = Vec::from([0_u8; 20]);
        packet.extend(std::iter::repeat_n(1, padding));
        packet.extend([131, 7, 4, 10, 1, 2, 3]);
        packet.resize(packet.len().next_multiple_of(4), 0);
        packet[0] = 0x40 | (packet.len() / 4) as u8;
        packet[9] = protocol::UDP;
        packet[16..20].copy_from_slice(&[192, 0, 2, 1]);
        packet.extend([0; 8]);
        let parsed = parse(load(&packet), Direction::Leaving).expect("an IPv4 packet");
        assert!(parsed.routed, "after {padding} bytes");
        let judged = |who| judge_packet(&one_database(), &who, &parsed);
        assert_eq!(judged(outside(ALICE)), Packet::Drop(fault::UNPARSED));
        assert_eq!(judged(outside(0)), Packet::Free);
    }
}

#[test]
fn a_routing_header_with_segments_left_is_a_source_route() {
    for (left, next, routed) in [
        (1, protocol::UDP, true),
        (0, protocol::UDP, false),
        (1, 41, true),
    ] {
        let mut packet = [0_u8; 96];
        packet[0] = 0x60;
        packet[6] = 43;
        packet[24..40].copy_from_slice(&[0x20; 16]);
        packet[40..44].copy_from_slice(&[next, 2, 4, left]);
        let parsed = parse(load(&packet), Direction::Leaving).expect("an IPv6 packet");
        assert_eq!(parsed.routed, routed);
        // A tunnel's outer packet has no ports: what is inside was judged before.
        let refused = routed && next == protocol::UDP;
        let judged = judge_packet(&one_database(), &outside(ALICE), &parsed);
        assert_eq!(is_refused(judged), refused);
    }
}

#[test]
fn what_arrives_is_judged_by_where_it_comes_from() {
    let mut packet = [0_u8; 24];
    packet[0] = 0x45;
    packet[9] = protocol::TCP;
    packet[12..16].copy_from_slice(&[10, 1, 2, 3]);
    packet[16..20].copy_from_slice(&[192, 0, 2, 1]);
    packet[20..22].copy_from_slice(&5432_u16.to_be_bytes());
    let parsed = parse(load(&packet), Direction::Arriving).expect("an IPv4 packet");
    assert_eq!(parsed.destination, v4([10, 1, 2, 3], 5432));
}

#[test]
fn an_unreadable_packet_passes_under_no_grant() {
    let mut model = one_database();
    let key = GrantKey {
        id: u64::from(ALICE),
        scope: scope::USER,
        endpoint: DB,
    };
    model.grants.insert(
        key,
        GrantValue {
            expires_ns: 200,
            cut_ns: 200,
            grant: 1,
        },
    );
    let judged = |port| judge_unseen(&model, &outside(ALICE), &v4([10, 1, 2, 3], port));
    assert_eq!(judged(5432), Packet::Granted);
    assert_eq!(judged(PORT_UNKNOWN), Packet::Drop(fault::UNPARSED));
}

#[test]
fn a_connection_that_is_let_be_passes_and_opens_nothing() {
    let mut model = one_database();
    let key = GrantKey {
        id: 9,
        scope: scope::SOCKET,
        endpoint: DB,
    };
    model.grants.insert(
        key,
        GrantValue {
            expires_ns: 0,
            cut_ns: u64::MAX,
            grant: 1,
        },
    );
    let to = v4([10, 1, 2, 3], 5432);
    assert_eq!(judge_unseen(&model, &outside(ALICE), &to), Packet::Granted);
    assert_eq!(
        judge_connect(&model, &outside(ALICE), &to),
        ask(ALICE, first::HOLD)
    );
    let another = Someone {
        cookie: 10,
        ..outside(ALICE)
    };
    assert!(is_refused(judge_unseen(&model, &another, &to)));
}

proptest! {
    #[test]
    fn no_packet_makes_the_parser_panic(packet in prop::collection::vec(any::<u8>(), 0..128)) {
        for direction in [Direction::Leaving, Direction::Arriving] {
            let _ = parse(load(&packet), direction);
        }
    }
}
