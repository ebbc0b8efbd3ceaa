// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Datagrams by every call that sends one, and of sockets with options.

use std::io::{IoSlice, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::libc;
use nix::sys::socket::{
    ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg, sendmsg,
};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, Protocol, SendFlags, SocketType};

use crate::sys::{self, set, set_int};
use crate::udp::udp;
use crate::{Done, PAYLOAD, connect_then_send, family, kept, send_to, socket};

/// `IPPROTO_UDPLITE` (RFC 3828).
const UDP_LITE: u32 = 136;
/// `SO_ZEROCOPY` and `MSG_ZEROCOPY` of the kernel's Documentation/networking/msg_zerocopy.rst.
const SO_ZEROCOPY: i32 = 60;
const ZEROCOPY: SendFlags = SendFlags::from_bits_retain(0x400_0000);
/// A source address of this host that nobody else uses.
const SOURCE: &str = "127.99.0.1:0";
/// An address that no interface has.
const FOREIGN: &str = "192.0.2.77:0";

pub(crate) fn try_way(way: &str, addresses: &[SocketAddr]) -> Option<Done> {
    let done = match (way, addresses) {
        ("udp-sendmsg", &[to]) => message(to, &[]),
        ("udp-pktinfo", &[to]) => with_packet_info(to),
        ("udp-gso", &[to]) => message(to, &[ControlMessage::UdpGsoSegments(&3)]),
        ("udp-gso-option", &[to]) => in_segments(to),
        ("udp-sendmmsg", &[to, other]) => many(to, other),
        ("udplite-connected", &[to]) => lite(to).and_then(|socket| connect_then_send(&socket, to)),
        ("udplite-unconnected", &[to]) => lite(to).and_then(|socket| send_to(socket, to)),
        ("udp-cork", &[to]) => corked(family(to), to),
        ("udp-cork-v4-on-v6", &[to]) => corked(AddressFamily::INET6, to),
        ("udp-more", &[to]) => in_pieces(family(to), to),
        ("udp-more-v4-on-v6", &[to]) => in_pieces(AddressFamily::INET6, to),
        ("udp-zerocopy", &[to]) => zero_copy(to),
        ("udp-unspec", &[to]) => without_a_family(to),
        ("udp-freebind", &[to]) => bound_to(to, libc::IP_FREEBIND, SOURCE),
        ("udp-transparent", &[to]) => bound_to(to, libc::IP_TRANSPARENT, FOREIGN),
        ("udp-mark", &[to]) => marked(to),
        ("udp-device", &[to]) => through_loopback(to),
        ("udp-write", &[to]) => written(to),
        ("udp-sendfile", &[to]) => from_a_file(to),
        _ => return None,
    };
    Some(done)
}

fn message(to: SocketAddr, control: &[ControlMessage<'_>]) -> Done {
    let socket = udp(family(to))?;
    let pieces = [IoSlice::new(PAYLOAD)];
    let address = SockaddrStorage::from(to);
    let flags = MsgFlags::MSG_NOSIGNAL;
    sendmsg(socket.as_raw_fd(), &pieces, control, flags, Some(&address))
        .map_err(|error| Errno::from_raw_os_error(error as i32))?;
    kept(socket)
}

/// Names interface and source with the message (ip(7)). The first interface is `lo`.
fn with_packet_info(to: SocketAddr) -> Done {
    if to.is_ipv6() {
        let info = libc::in6_pktinfo {
            ipi6_addr: libc::in6_addr {
                s6_addr: std::net::Ipv6Addr::LOCALHOST.octets(),
            },
            ipi6_ifindex: 1,
        };
        return message(to, &[ControlMessage::Ipv6PacketInfo(&info)]);
    }
    let source = Ipv4Addr::new(127, 99, 0, 3);
    let info = libc::in_pktinfo {
        ipi_ifindex: 1,
        ipi_spec_dst: libc::in_addr {
            s_addr: u32::from_ne_bytes(source.octets()),
        },
        ipi_addr: libc::in_addr { s_addr: 0 },
    };
    message(to, &[ControlMessage::Ipv4PacketInfo(&info)])
}

/// Leaves it to the kernel to make datagrams of three bytes (`UDP_SEGMENT` of udp(7)).
fn in_segments(to: SocketAddr) -> Done {
    let socket = udp(family(to))?;
    set_int(&socket, libc::SOL_UDP, libc::UDP_SEGMENT, 3)?;
    send_to(socket, to)
}

/// One call for three datagrams, of which the second is for the address. What the kernel
/// leaves out is tried again.
fn many(to: SocketAddr, other: SocketAddr) -> Done {
    let socket = udp(family(to))?;
    let mut addresses = vec![Some(other), Some(to), Some(other)];
    let mut result = Ok(());
    while !addresses.is_empty() {
        let there: Vec<_> = addresses
            .iter()
            .map(|to| to.map(SockaddrStorage::from))
            .collect();
        let pieces = vec![[IoSlice::new(PAYLOAD)]; there.len()];
        let mut headers = MultiHeaders::preallocate(there.len(), None);
        let flags = MsgFlags::MSG_NOSIGNAL;
        let fd = socket.as_raw_fd();
        let sent = sendmmsg(fd, &mut headers, &pieces, &there, [], flags).map(Iterator::count);
        match sent {
            Ok(sent) => drop(addresses.drain(..sent)),
            Err(error) => {
                result = Err(Errno::from_raw_os_error(error as i32));
                addresses.remove(0);
            }
        }
    }
    result.and_then(|()| kept(socket))
}

fn lite(to: SocketAddr) -> Result<OwnedFd, Errno> {
    let protocol = std::num::NonZeroU32::new(UDP_LITE).map(Protocol::from_raw);
    socket(family(to), SocketType::DGRAM, protocol)
}

/// One datagram of two writes, sent when the cork is pulled (udp(7)).
fn corked(family: AddressFamily, to: SocketAddr) -> Done {
    let socket = udp(family)?;
    set_int(&socket, libc::SOL_UDP, libc::UDP_CORK, 1)?;
    for half in halves() {
        net::sendto(&socket, half, SendFlags::NOSIGNAL, &to)?;
    }
    set_int(&socket, libc::SOL_UDP, libc::UDP_CORK, 0)?;
    kept(socket)
}

fn in_pieces(family: AddressFamily, to: SocketAddr) -> Done {
    let socket = udp(family)?;
    let [first, rest] = halves();
    net::sendto(&socket, first, SendFlags::NOSIGNAL | SendFlags::MORE, &to)?;
    net::sendto(&socket, rest, SendFlags::NOSIGNAL, &to)?;
    kept(socket)
}

fn halves() -> [&'static [u8]; 2] {
    let (first, rest) = PAYLOAD.split_at(PAYLOAD.len() / 2);
    [first, rest]
}

fn zero_copy(to: SocketAddr) -> Done {
    let socket = udp(family(to))?;
    set_int(&socket, libc::SOL_SOCKET, SO_ZEROCOPY, 1)?;
    net::sendto(&socket, PAYLOAD, SendFlags::NOSIGNAL | ZEROCOPY, &to)?;
    kept(socket)
}

/// An IPv4 address whose family says nothing: UDP takes it all the same (`udp_sendmsg` of the
/// kernel's net/ipv4/udp.c).
fn without_a_family(to: SocketAddr) -> Done {
    let socket = udp(family(to))?;
    let mut address = sys::address(to);
    if let Some(family) = address.get_mut(..2) {
        family.copy_from_slice(&(libc::AF_UNSPEC as u16).to_ne_bytes());
    }
    sys::send_to(&socket, PAYLOAD, libc::MSG_NOSIGNAL, &address)?;
    kept(socket)
}

fn bound_to(to: SocketAddr, option: i32, source: &str) -> Done {
    let socket = udp(family(to))?;
    set_int(&socket, libc::IPPROTO_IP, option, 1)?;
    let source: SocketAddr = source.parse().map_err(|_| Errno::INVAL)?;
    net::bind(&socket, &source)?;
    send_to(socket, to)
}

fn marked(to: SocketAddr) -> Done {
    let socket = udp(family(to))?;
    set_int(&socket, libc::SOL_SOCKET, libc::SO_MARK, 1)?;
    send_to(socket, to)
}

fn through_loopback(to: SocketAddr) -> Done {
    let socket = udp(family(to))?;
    set(&socket, libc::SOL_SOCKET, libc::SO_BINDTODEVICE, b"lo")?;
    send_to(socket, to)
}

fn written(to: SocketAddr) -> Done {
    let socket = udp(family(to))?;
    net::connect(&socket, &to)?;
    rustix::io::write(&socket, PAYLOAD)?;
    kept(socket)
}

fn from_a_file(to: SocketAddr) -> Done {
    let socket = udp(family(to))?;
    net::connect(&socket, &to)?;
    let mut file = tempfile::tempfile().map_err(|_| Errno::IO)?;
    file.write_all(PAYLOAD).map_err(|_| Errno::IO)?;
    let mut offset = 0;
    let file = file.as_fd();
    rustix::fs::sendfile(&socket, file, Some(&mut offset), PAYLOAD.len())?;
    kept(socket)
}
