// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Ways over UDP.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, ipproto};

use crate::{Done, connect_then_send, family, send_to, socket};

pub(crate) fn try_way(way: &str, addresses: &[SocketAddr]) -> Option<Done> {
    let done = match (way, addresses) {
        ("udp-connected", &[to]) => connected(family(to), to),
        ("udp-unconnected", &[to]) => unconnected(family(to), to),
        ("udp-connected-v4-on-v6", &[to]) => connected(AddressFamily::INET6, to),
        ("udp-unconnected-v4-on-v6", &[to]) => unconnected(AddressFamily::INET6, to),
        ("udp-reconnect", &[to, first]) => reconnect(to, first),
        ("udp-connected-elsewhere", &[to, first]) => elsewhere(to, first),
        _ => return None,
    };
    Some(done)
}

pub(crate) fn udp(family: AddressFamily) -> Result<OwnedFd, Errno> {
    socket(family, SocketType::DGRAM, Some(ipproto::UDP))
}

fn connected(family: AddressFamily, to: SocketAddr) -> Done {
    connect_then_send(&udp(family)?, to)
}

fn unconnected(family: AddressFamily, to: SocketAddr) -> Done {
    send_to(udp(family)?, to)
}

fn reconnect(to: SocketAddr, first: SocketAddr) -> Done {
    let socket = udp(family(to))?;
    connect_then_send(&socket, first)?;
    connect_then_send(&socket, to)
}

fn elsewhere(to: SocketAddr, first: SocketAddr) -> Done {
    let socket = udp(family(to))?;
    connect_then_send(&socket, first)?;
    send_to(socket, to)
}
