// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The bytes of sock_diag (`linux/netlink.h`, `linux/inet_diag.h`, `linux/sock_diag.h`).
//! Addresses and ports are in network byte order, everything else in the host's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use super::{Family, TcpSocket, TcpState, TcpStates};
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

/// `IPPROTO_TCP`
const TCP: u8 = 6;
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

impl Family {
    fn number(self) -> u8 {
        // AF_INET and AF_INET6, which fit a byte on Linux.
        match self {
            Self::V4 => 2,
            Self::V6 => 10,
        }
    }
}

/// The request for all sockets of a family in these states.
pub(super) fn dump_request(family: Family, states: TcpStates, sequence: u32) -> Vec<u8> {
    pack(
        SOCK_DIAG_BY_FAMILY,
        REQUEST | DUMP,
        sequence,
        family,
        states,
        &ANY_ID,
    )
}

/// A request about one socket.
pub(super) fn socket_request(kind: u16, socket: &TcpSocket, sequence: u32) -> Vec<u8> {
    let family = match socket.local {
        SocketAddr::V4(_) => Family::V4,
        SocketAddr::V6(_) => Family::V6,
    };
    let all = TcpStates(u32::MAX);
    pack(kind, REQUEST | ACK, sequence, family, all, &id_of(socket))
}

fn pack(
    kind: u16,
    flags: u16,
    sequence: u32,
    family: Family,
    states: TcpStates,
    id: &[u8; 48],
) -> Vec<u8> {
    const LENGTH: u32 = (HEADER + REQUEST_BODY) as u32;
    let mut bytes = Vec::with_capacity(HEADER + REQUEST_BODY);
    bytes.extend(LENGTH.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend([0; 4]); // the port: the kernel fills it
    bytes.extend([family.number(), TCP, 0, 0]); // no extensions
    bytes.extend(states.0.to_ne_bytes());
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

/// `struct inet_diag_msg`; attributes behind it are left out.
fn read_socket(body: &[u8]) -> Result<TcpSocket, &'static str> {
    let body: &[u8; SOCKET_BODY] = body.first_chunk().ok_or("a socket is cut short")?;
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
        interface,
    })
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
