// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The bytes of sock_diag (`linux/netlink.h`, `linux/inet_diag.h`, `linux/sock_diag.h`).
//! Addresses and ports are in network byte order, everything else in the host's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::AsRawFd as _;

use super::{Family, Listing, TcpSocket, TcpState, TcpStates, Transport};
use stile_common::protocol;

use crate::ids::{SocketCookie, Uid};

/// Message type: describe one socket, or with [`DUMP`] all.
pub(super) const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// Message type: destroy one socket.
pub(super) const SOCK_DESTROY: u16 = 21;

/// `NLM_F_REQUEST`
pub(super) const REQUEST: u16 = 0x1;
/// `NLM_F_ACK`
pub(super) const ACK: u16 = 0x4;
/// `NLM_F_DUMP_INTR`: the tables changed while they were dumped.
pub(super) const DUMP_INTR: u16 = 0x10;
/// `NLM_F_DUMP`
pub(super) const DUMP: u16 = 0x300;

const NLMSG_NOOP: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// Bytes of `struct nlmsghdr`.
const HEADER: usize = 16;
/// Bytes of `struct inet_diag_req_v2`.
const REQUEST_BODY: usize = 56;
/// Bytes of `struct inet_diag_msg`.
const SOCKET_BODY: usize = 72;

/// Attribute of a request: the socket storages that are wanted.
const REQ_SK_BPF_STORAGES: u16 = 2;
/// Attribute in it: the descriptor of such a map.
const STORAGE_REQ_MAP_FD: u16 = 1;
/// Attribute of a socket: its values in the storages that were asked for.
const SK_BPF_STORAGES: u16 = 20;
/// Attribute in it: one storage; and in that, the value.
const SK_BPF_STORAGE: u16 = 1;
const STORAGE_VALUE: u16 = 3;
/// Attribute of a socket: the id of the cgroup in which it was made.
const CGROUP_ID: u16 = 21;
/// `NLA_TYPE_MASK`: the rest are flags.
const TYPE_MASK: u16 = 0x3fff;
/// `NLA_F_NESTED`
const NESTED: u16 = 0x8000;
/// Any interface, any address, any cookie.
const ANY_ID: [u8; 48] = [0; 48];

/// One netlink message of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// A socket.
    Socket(TcpSocket),
    /// The request has failed with this errno; 0 acknowledges it.
    Error(i32),
    /// The dump is over, with this errno or 0.
    Done(i32),
    /// Nothing.
    Noop,
}

/// One message, and what the kernel said around it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Framed {
    pub(super) sequence: u32,
    pub(super) interrupted: bool,
    pub(super) message: Message,
}

impl Transport {
    fn number(self) -> u8 {
        match self {
            Self::Tcp => protocol::TCP,
            Self::Udp => protocol::UDP,
        }
    }
}

impl Family {
    fn number(self) -> u8 {
        // AF_INET and AF_INET6, which fit a byte on Linux.
        match self {
            Self::V4 => 2,
            Self::V6 => 10,
        }
    }
}

/// The request for all sockets of a listing.
pub(super) fn dump_request(listing: Listing<'_>, sequence: u32) -> Vec<u8> {
    let kind = (SOCK_DIAG_BY_FAMILY, REQUEST | DUMP);
    let mut bytes = pack(kind, sequence, listing, &ANY_ID);
    if let Some(map) = listing.storage {
        let descriptor = map.as_raw_fd().to_ne_bytes();
        let inner = attribute(STORAGE_REQ_MAP_FD, &descriptor);
        bytes.extend(attribute(REQ_SK_BPF_STORAGES | NESTED, &inner));
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        bytes[..4].copy_from_slice(&length.to_ne_bytes());
    }
    bytes
}

/// `struct nlattr` with what it holds, whose length must be a multiple of 4.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes
}

/// A request about one socket.
pub(super) fn socket_request(kind: u16, socket: &TcpSocket, sequence: u32) -> Vec<u8> {
    let family = match socket.local {
        SocketAddr::V4(_) => Family::V4,
        SocketAddr::V6(_) => Family::V6,
    };
    let listing = Listing {
        family,
        transport: socket.transport,
        states: TcpStates(u32::MAX),
        storage: None,
    };
    pack((kind, REQUEST | ACK), sequence, listing, &id_of(socket))
}

fn pack((kind, flags): (u16, u16), sequence: u32, listing: Listing<'_>, id: &[u8; 48]) -> Vec<u8> {
    const LENGTH: u32 = (HEADER + REQUEST_BODY) as u32;
    let mut bytes = Vec::with_capacity(HEADER + REQUEST_BODY);
    bytes.extend(LENGTH.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend([0; 4]); // the port: the kernel fills it
    let transport = listing.transport.number();
    bytes.extend([listing.family.number(), transport, 0, 0]); // no extensions
    bytes.extend(listing.states.0.to_ne_bytes());
    bytes.extend(id);
    bytes
}

/// `struct inet_diag_sockid`
fn id_of(socket: &TcpSocket) -> [u8; 48] {
    let mut id = ANY_ID;
    id[0..2].copy_from_slice(&socket.local.port().to_be_bytes());
    id[2..4].copy_from_slice(&socket.remote.port().to_be_bytes());
    put_address(&mut id[4..20], socket.local.ip());
    put_address(&mut id[20..36], socket.remote.ip());
    id[36..40].copy_from_slice(&socket.interface.to_ne_bytes());
    // Two words, the low one first, whatever the byte order (sock_diag_save_cookie).
    let cookie = socket.cookie.0;
    id[40..44].copy_from_slice(&(cookie as u32).to_ne_bytes());
    id[44..48].copy_from_slice(&((cookie >> 32) as u32).to_ne_bytes());
    id
}

fn put_address(field: &mut [u8], address: IpAddr) {
    match address {
        IpAddr::V4(address) => field[..4].copy_from_slice(&address.octets()),
        IpAddr::V6(address) => field[..16].copy_from_slice(&address.octets()),
    }
}

/// Splits the first message off an answer: the message, and the rest.
///
/// # Errors
/// What is wrong with it.
pub(super) fn next_message(bytes: &[u8]) -> Result<(Framed, &[u8]), &'static str> {
    let (header, _) = bytes
        .split_first_chunk::<HEADER>()
        .ok_or("a message ends within its header")?;
    let length = word(header, 0).ok_or("no length")? as usize;
    let body = bytes
        .get(HEADER..length)
        .ok_or("a message is longer than what arrived")?;
    let kind = u16::from_ne_bytes([header[4], header[5]]);
    let flags = u16::from_ne_bytes([header[6], header[7]]);
    let message = match kind {
        NLMSG_NOOP => Message::Noop,
        NLMSG_ERROR => Message::Error(errno(body).ok_or("an error without a number")?),
        // Kernels before 4.5 end a dump without a number.
        NLMSG_DONE => Message::Done(errno(body).unwrap_or(0)),
        SOCK_DIAG_BY_FAMILY => Message::Socket(read_socket(body)?),
        _ => return Err("a message of unknown type"),
    };
    let framed = Framed {
        sequence: word(header, 8).ok_or("no sequence number")?,
        interrupted: flags & DUMP_INTR != 0,
        message,
    };
    // Messages start at multiples of 4 (NLMSG_ALIGN).
    let rest = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Ok((framed, rest))
}

/// The positive errno in the first word, which holds it negated.
fn errno(body: &[u8]) -> Option<i32> {
    let negated = i32::from_ne_bytes(body.get(..4)?.try_into().ok()?);
    negated.checked_neg()
}

/// `struct inet_diag_msg` and the attributes behind it that are understood. It doesn't say
/// which transport it has: that is the one that was asked for.
fn read_socket(bytes: &[u8]) -> Result<TcpSocket, &'static str> {
    let (body, rest) = bytes
        .split_first_chunk::<SOCKET_BODY>()
        .ok_or("a socket is cut short")?;
    let cgroup = find_attribute(rest, CGROUP_ID).and_then(|id| id.first_chunk());
    let storage = find_attribute(rest, SK_BPF_STORAGES)
        .and_then(|storages| find_attribute(storages, SK_BPF_STORAGE))
        .and_then(|storage| find_attribute(storage, STORAGE_VALUE));
    let word = |at| word(body, at).ok_or("a socket is cut short");
    let [family, state, ..] = *body;
    let interface = word(4 + 36)?;
    let cookie = u64::from(word(4 + 40)?) | u64::from(word(4 + 44)?) << 32;
    Ok(TcpSocket {
        local: read_end(family, body, 4, 8, interface)?,
        remote: read_end(family, body, 6, 24, interface)?,
        state: TcpState::from_number(state).ok_or("a socket is in an unknown state")?,
        uid: Uid(word(64)?),
        inode: word(68)?,
        cookie: SocketCookie(cookie),
        transport: Transport::Tcp,
        cgroup: cgroup.map(|id| u64::from_ne_bytes(*id)),
        storage: storage.map(<[u8]>::to_vec),
        interface,
    })
}

/// The value of the first attribute of this kind.
fn find_attribute(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let (header, _) = bytes.split_first_chunk::<4>()?;
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]) & TYPE_MASK;
        let value = bytes.get(4..length)?;
        if kind == wanted {
            return Some(value);
        }
        // Attributes start at multiples of 4 (NLA_ALIGN).
        bytes = bytes.get(length.next_multiple_of(4)..)?;
    }
}

/// One end of a socket, whose port and address stand at these offsets.
fn read_end(
    family: u8,
    body: &[u8; SOCKET_BODY],
    port: usize,
    address: usize,
    interface: u32,
) -> Result<SocketAddr, &'static str> {
    let port = u16::from_be_bytes([body[port], body[port + 1]]);
    let octets: &[u8; 16] = body[address..]
        .first_chunk()
        .ok_or("an address is cut short")?;
    if family == Family::V4.number() {
        let address = Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]);
        return Ok(SocketAddr::from((address, port)));
    }
    if family != Family::V6.number() {
        return Err("a socket is of an unknown family");
    }
    let address = Ipv6Addr::from(*octets);
    let scope = if address.is_unicast_link_local() {
        interface
    } else {
        0
    };
    Ok(SocketAddrV6::new(address, port, 0, scope).into())
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_ne_bytes(word))
}

impl TcpState {
    fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Established,
            2 => Self::SynSent,
            3 => Self::SynReceived,
            4 => Self::FinWait1,
            5 => Self::FinWait2,
            6 => Self::TimeWait,
            7 => Self::Close,
            8 => Self::CloseWait,
            9 => Self::LastAck,
            10 => Self::Listen,
            11 => Self::Closing,
            12 => Self::NewSynReceived,
            _ => return None,
        })
    }
}
