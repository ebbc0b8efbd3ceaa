// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sockets whose packets have IPv4 options or IPv6 extension headers, source routes among
//! them: the packet then goes to the hop, and the destination is in the route.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use nix::libc;
use rustix::io::Errno;

use crate::sys::set;
use crate::tcp::tcp;
use crate::udp::udp;
use crate::{Done, connect_then_send, family, send_to};

/// Option numbers of IPv4 (RFC 791 3.1).
const END: u8 = 0;
const RECORD_ROUTE: u8 = 7;
pub(crate) const LOOSE: u8 = 131;
const STRICT: u8 = 137;
/// Where the first address of a route is: the smallest pointer.
const FIRST: u8 = 4;
/// `IPV6_HOPOPTS`, `IPV6_RTHDR` and `IPV6_DSTOPTS` of ipv6(7) and RFC 3542.
const HOP_OPTIONS: i32 = 54;
const ROUTING: i32 = 57;
const DESTINATION_OPTIONS: i32 = 59;
pub(crate) const SEGMENTS: u8 = 4;
/// The length of options which hold 8 bytes: one `PadN` (RFC 8200 4.2) behind the two bytes
/// that the kernel fills in.
const PADDING: [u8; 8] = [0, 0, 1, 4, 0, 0, 0, 0];

pub(crate) fn try_way(way: &str, addresses: &[SocketAddr]) -> Option<Done> {
    let (&to, hop) = match addresses {
        [to] => (to, None),
        [to, hop] => (to, Some(hop.ip())),
        _ => return None,
    };
    let (kind, what) = way.split_once('-')?;
    let prepared = |socket: Result<OwnedFd, Errno>| {
        let socket = socket?;
        prepare(&socket, what, hop)?;
        Ok::<_, Errno>(socket)
    };
    if !WHAT.contains(&what) {
        return None;
    }
    let done = match kind {
        "tcp" => prepared(tcp(to)).and_then(|socket| connect_then_send(&socket, to)),
        "connected" => prepared(udp(family(to))).and_then(|socket| connect_then_send(&socket, to)),
        "udp" => prepared(udp(family(to))).and_then(|socket| send_to(socket, to)),
        _ => return None,
    };
    Some(done)
}

const WHAT: [&str; 7] = [
    "lsrr",
    "ssrr",
    "record-route",
    "hop-options",
    "destination-options",
    "both-options",
    "segments",
];

fn prepare(socket: &OwnedFd, what: &str, hop: Option<IpAddr>) -> Done {
    let ip = |options: &[u8]| set(socket, libc::IPPROTO_IP, libc::IP_OPTIONS, options);
    let ipv6 = |name, header: &[u8]| set(socket, libc::IPPROTO_IPV6, name, header);
    match (what, hop) {
        ("lsrr", Some(IpAddr::V4(hop))) => ip(&route(LOOSE, &[hop.octets()])),
        ("ssrr", Some(IpAddr::V4(hop))) => ip(&route(STRICT, &[hop.octets()])),
        ("record-route", None) => ip(&route(RECORD_ROUTE, &[[0; 4]; 3])),
        ("hop-options", None) => ipv6(HOP_OPTIONS, &PADDING),
        ("destination-options", None) => ipv6(DESTINATION_OPTIONS, &PADDING),
        ("both-options", None) => {
            ipv6(HOP_OPTIONS, &PADDING)?;
            ipv6(DESTINATION_OPTIONS, &PADDING)
        }
        // The kernel puts the destination into the last segment, which is the first one here.
        ("segments", Some(IpAddr::V6(hop))) => {
            ipv6(ROUTING, &routing(SEGMENTS, &[[0; 16], hop.octets()]))
        }
        _ => Err(Errno::INVAL),
    }
}

/// An option that holds addresses, filled up to whole words.
pub(crate) fn route(kind: u8, hops: &[[u8; 4]]) -> Vec<u8> {
    let length = 3 + 4 * hops.len();
    let mut option = vec![kind, u8::try_from(length).unwrap_or(0), FIRST];
    option.extend(hops.as_flattened());
    option.resize(length.next_multiple_of(4), END);
    option
}

/// A routing header (RFC 8200 4.4) with room for these addresses. Its next header is for the
/// kernel, or whoever sends it, to fill in.
pub(crate) fn routing(kind: u8, addresses: &[[u8; 16]]) -> Vec<u8> {
    let count = u8::try_from(addresses.len()).unwrap_or(0);
    let left = if kind == SEGMENTS {
        count.saturating_sub(1)
    } else {
        count
    };
    let last = if kind == SEGMENTS { left } else { 0 };
    let mut header = vec![0, count * 2, kind, left, last, 0, 0, 0];
    header.extend(addresses.as_flattened());
    header
}
