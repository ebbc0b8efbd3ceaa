// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sends a captured SYN once more, so that an approved connect goes on at once instead of at
//! its next retransmission.
//!
//! A replay is an acceleration, never a need: what can't be replayed (a source route, an IPsec
//! header) is released all the same, and the
//! client's own retransmission does the rest.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage,
    sendmsg, socket,
};

use super::socket::cookie_of;
use crate::ids::SocketCookie;

mod syn;
#[cfg(test)]
mod tests;

pub use syn::{SynError, SynPacket};

/// Two raw sockets, one for each family, of the network namespace in which they were made.
#[derive(Debug)]
pub struct Replayer {
    v4: OwnedFd,
    v6: OwnedFd,
    cookies: [SocketCookie; 2],
}

/// Why a SYN could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// No raw socket.
    #[error("can't open a raw socket: {0}; the daemon needs CAP_NET_RAW")]
    Open(io::Error),
    /// The kernel refused to send.
    #[error("can't replay the SYN to {destination}: {source}")]
    Send {
        /// Where it should have gone.
        destination: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
}

impl Replayer {
    /// Opens the raw sockets in the calling thread's network namespace.
    ///
    /// # Errors
    /// If the daemon may not.
    pub fn new() -> Result<Self, ReplayError> {
        let v4 = open(AddressFamily::Inet)?;
        let v6 = open(AddressFamily::Inet6)?;
        let cookies = [
            cookie_of(&v4).map_err(ReplayError::Open)?,
            cookie_of(&v6).map_err(ReplayError::Open)?,
        ];
        Ok(Self { v4, v6, cookies })
    }

    /// The names of both sockets. The gate has to let them through.
    #[must_use]
    pub fn cookies(&self) -> [SocketCookie; 2] {
        self.cookies
    }

    /// Both sockets.
    pub fn sockets(&self) -> [&OwnedFd; 2] {
        [&self.v4, &self.v6]
    }

    /// Sends the SYN. Never blocks.
    ///
    /// # Errors
    /// If there is no route, or no room. The client's retransmission follows anyway.
    pub fn send(&self, packet: &SynPacket) -> Result<(), ReplayError> {
        let failed = |source| ReplayError::Send {
            destination: packet.destination(),
            source,
        };
        // A raw socket has no ports: one that is given is a protocol, or an error.
        let mut to = packet.destination();
        to.set_port(0);
        let socket = match to {
            SocketAddr::V4(_) => &self.v4,
            SocketAddr::V6(_) => &self.v6,
        };
        // A socket that is bound to an interface speaks through that one, whatever the routes say.
        let index = packet.interface();
        let (v4, v6) = (v4_through(index), v6_through(index));
        let through = match to {
            _ if index == 0 => None,
            SocketAddr::V4(_) => Some(ControlMessage::Ipv4PacketInfo(&v4)),
            SocketAddr::V6(_) => Some(ControlMessage::Ipv6PacketInfo(&v6)),
        };
        let sent = sendmsg(
            socket.as_raw_fd(),
            &[IoSlice::new(packet.bytes())],
            through.as_slice(),
            MsgFlags::MSG_DONTWAIT,
            Some(&SockaddrStorage::from(to)),
        )
        .map_err(|error: Errno| failed(error.into()))?;
        if sent != packet.bytes().len() {
            return Err(failed(io::ErrorKind::WriteZero.into()));
        }
        Ok(())
    }
}

/// `IP_PKTINFO` of ip(7): through this interface, and nothing else.
fn v4_through(interface: u32) -> libc::in_pktinfo {
    let none = libc::in_addr { s_addr: 0 };
    libc::in_pktinfo {
        ipi_ifindex: i32::try_from(interface).unwrap_or(0),
        ipi_spec_dst: none,
        ipi_addr: none,
    }
}

/// `IPV6_PKTINFO` of ipv6(7), likewise.
fn v6_through(interface: u32) -> libc::in6_pktinfo {
    libc::in6_pktinfo {
        ipi6_addr: libc::in6_addr { s6_addr: [0; 16] },
        ipi6_ifindex: interface,
    }
}

fn open(family: AddressFamily) -> Result<OwnedFd, ReplayError> {
    // IPPROTO_RAW implies that we bring the IP header, in either family: IP_HDRINCL (raw(7))
    // and IPV6_HDRINCL (inet6_create in net/ipv6/af_inet6.c). It receives nothing.
    socket(
        family,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        SockProtocol::Raw,
    )
    .map_err(|error| ReplayError::Open(error.into()))
}
