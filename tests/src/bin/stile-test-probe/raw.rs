// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Packets that are made by hand, sent by raw and by packet sockets.

use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::OwnedFd;

use nix::libc;
use rustix::io::Errno;
use rustix::net::{self, Protocol, SendFlags, SocketType, ipproto};

use crate::ip_options::{LOOSE, SEGMENTS, route, routing};
use crate::packet::{self, Place, TCP, UDP};
use crate::{Done, family, kept, socket, sys};

/// More extension headers than the gate follows.
const MANY: usize = 9;
/// What fits into a first fragment: the UDP header.
const PORTS: u16 = 8;
/// `IPV6_CHECKSUM` of RFC 3542 3.1, and where UDP has its own.
const CHECKSUM: i32 = 7;
const SUM_OF_UDP: i32 = 6;
/// `ETH_P_IPV6` of the kernel's include/uapi/linux/if_ether.h.
const ETHERNET_IPV6: u16 = 0x86dd;

pub(crate) fn try_way(way: &str, addresses: &[SocketAddr]) -> Option<Done> {
    let done = match (way, addresses) {
        ("raw-udp", &[SocketAddr::V4(to)]) => headers(to.into(), &[packet::whole(to)]),
        ("raw-udp", &[SocketAddr::V6(to)]) => headers(to.into(), &[packet::whole6(to)]),
        ("raw-syn", &[to]) => headers(to, &[whole(to, TCP, &packet::syn(to))]),
        ("raw-udp-body", &[to]) => body(to, ipproto::UDP, &packet::udp(to)),
        ("raw-syn-body", &[to]) => body(to, ipproto::TCP, &packet::syn(to)),
        ("raw-connected", &[to]) => connected(to),
        ("raw-fragments", &[to]) => headers(to, &fragments(to)),
        ("raw-options", &[SocketAddr::V4(to)]) => headers(to.into(), &[with_options(to, &[1; 4])]),
        ("raw-extensions", &[SocketAddr::V6(to)]) => headers(to.into(), &[extended(to, MANY)]),
        ("raw-extension", &[SocketAddr::V6(to)]) => headers(to.into(), &[extended(to, 1)]),
        ("raw-truncated", &[to]) => headers(to, &[whole(to, UDP, &packet::udp(to)[..2])]),
        ("raw-routed", &[to, hop]) => routed(to, hop),
        ("raw-elsewhere", &[SocketAddr::V4(to), other]) => headers(other, &[packet::whole(to)]),
        ("raw-elsewhere", &[SocketAddr::V6(to), other]) => headers(other, &[packet::whole6(to)]),
        ("packet", &[SocketAddr::V6(to)]) => by_packet_socket(SocketType::DGRAM, to),
        ("packet-ethernet", &[SocketAddr::V6(to)]) => by_packet_socket(SocketType::RAW, to),
        _ => return None,
    };
    Some(done)
}

fn whole(to: SocketAddr, protocol: u8, data: &[u8]) -> Vec<u8> {
    match to {
        SocketAddr::V4(to) => packet::v4(*to.ip(), protocol, &[], Place::default(), data),
        SocketAddr::V6(to) => packet::v6(*to.ip(), protocol, data),
    }
}

/// A raw socket's destination has no port.
fn without_port(to: SocketAddr) -> SocketAddr {
    SocketAddr::new(to.ip(), 0)
}

/// Sends packets with their IP headers.
fn headers(to: SocketAddr, packets: &[Vec<u8>]) -> Done {
    let socket = socket(family(to), SocketType::RAW, Some(ipproto::RAW))?;
    let mut done = Ok(());
    for packet in packets {
        let sent = net::sendto(&socket, packet, SendFlags::empty(), &without_port(to));
        done = done.and(sent.map(drop));
    }
    done.and_then(|()| kept(socket))
}

/// A raw socket to which the kernel adds the IP header.
fn headless(to: SocketAddr, protocol: Protocol) -> Result<OwnedFd, Errno> {
    let socket = socket(family(to), SocketType::RAW, Some(protocol))?;
    if to.is_ipv4() {
        net::bind(&socket, &SocketAddr::from((packet::SOURCE, 0)))?;
    } else if protocol == ipproto::UDP {
        sys::set_int(&socket, libc::IPPROTO_IPV6, CHECKSUM, SUM_OF_UDP)?;
    }
    Ok(socket)
}

fn body(to: SocketAddr, protocol: Protocol, data: &[u8]) -> Done {
    let socket = headless(to, protocol)?;
    net::sendto(&socket, data, SendFlags::empty(), &without_port(to))?;
    kept(socket)
}

fn connected(to: SocketAddr) -> Done {
    let socket = headless(to, ipproto::UDP)?;
    net::connect(&socket, &without_port(to))?;
    net::send(&socket, &packet::udp(to), SendFlags::empty())?;
    kept(socket)
}

/// Two fragments of a datagram, the one without ports first.
fn fragments(to: SocketAddr) -> [Vec<u8>; 2] {
    let datagram = packet::udp(to);
    let (ports, rest) = datagram.split_at(usize::from(PORTS));
    let first = Place {
        offset: 0,
        more: true,
    };
    let later = Place {
        offset: PORTS,
        more: false,
    };
    [(later, rest), (first, ports)].map(|(place, data)| match to {
        SocketAddr::V4(to) => packet::v4(*to.ip(), UDP, &[], place, data),
        SocketAddr::V6(to) => {
            let header = packet::fragment_header(UDP, place);
            packet::v6(*to.ip(), packet::FRAGMENT, &[&header, data].concat())
        }
    })
}

fn with_options(to: SocketAddrV4, options: &[u8]) -> Vec<u8> {
    packet::v4(
        *to.ip(),
        UDP,
        options,
        Place::default(),
        &packet::udp(to.into()),
    )
}

fn extended(to: SocketAddrV6, count: usize) -> Vec<u8> {
    let mut data = Vec::new();
    for left in (0..count).rev() {
        let next = if left == 0 {
            UDP
        } else {
            packet::DESTINATION_OPTIONS
        };
        data.extend(packet::padding(next));
    }
    data.extend(packet::udp(to.into()));
    packet::v6(*to.ip(), packet::DESTINATION_OPTIONS, &data)
}

/// To a hop, with the destination in the route.
fn routed(to: SocketAddr, hop: SocketAddr) -> Done {
    let datagram = packet::udp(to);
    let packet = match (to, hop.ip()) {
        (SocketAddr::V4(to), IpAddr::V4(hop)) => {
            let options = route(LOOSE, &[to.ip().octets()]);
            packet::v4(hop, UDP, &options, Place::default(), &datagram)
        }
        (SocketAddr::V6(to), IpAddr::V6(hop)) => {
            let mut header = routing(SEGMENTS, &[to.ip().octets(), hop.octets()]);
            header[0] = UDP;
            packet::v6(hop, packet::ROUTING, &[header, datagram].concat())
        }
        _ => return Err(Errno::INVAL),
    };
    headers(hop, &[packet])
}

/// Hands a packet to the loopback device itself (packet(7)).
fn by_packet_socket(kind: SocketType, to: SocketAddrV6) -> Done {
    let socket = socket(net::AddressFamily::PACKET, kind, None)?;
    let mut frame = Vec::new();
    if kind == SocketType::RAW {
        frame.extend([0; 12]);
        frame.extend(ETHERNET_IPV6.to_be_bytes());
    }
    frame.extend(packet::whole6(to));
    // `struct sockaddr_ll`: the first interface is `lo`, whose addresses are zeroes.
    let mut address = (libc::AF_PACKET as u16).to_ne_bytes().to_vec();
    address.extend(ETHERNET_IPV6.to_be_bytes());
    address.extend(1_i32.to_ne_bytes());
    address.extend([0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0]);
    sys::send_to(&socket, &frame, 0, &address)?;
    kept(socket)
}
