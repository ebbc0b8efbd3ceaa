// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A conversation with the kernel's sock_diag.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::sockopt::ReceiveTimeout;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, connect, recv, send,
    setsockopt, socket,
};
use nix::sys::time::{TimeVal, TimeValLike};

use super::wire::{self, Framed, Message};
use super::{DiagError, Listing, TcpSocket};
use crate::sys::socket::netns_cookie_of;

/// The kernel never puts more into one datagram of a dump (`netlink_dump`, 32 KiB since
/// Linux 4.4 for a reader that offers it).
const DATAGRAM: usize = 32 * 1024;

/// How often a dump is begun anew because the tables changed under it.
const DUMP_TRIES: u32 = 5;

/// The kernel answers within the call; a longer silence is a fault and must not block the
/// daemon.
const PATIENCE_SECONDS: i64 = 2;

/// Answers to earlier requests that may still be read before ours; each try of a dump leaves
/// at most its own.
const STALE_DATAGRAMS: u32 = 4096;

/// A netlink socket of the network namespace in which it was opened.
pub(super) struct Connection {
    socket: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

/// How one try of a dump ended.
enum Dumped {
    Whole(Vec<TcpSocket>),
    Interrupted,
}

impl Connection {
    pub(super) fn open() -> Result<Self, DiagError> {
        let failed = |error: Errno| DiagError::Netlink {
            operation: "ask about",
            source: error.into(),
        };
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Datagram,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkSockDiag,
        )
        .map_err(failed)?;
        setsockopt(&socket, ReceiveTimeout, &TimeVal::seconds(PATIENCE_SECONDS)).map_err(failed)?;
        // Connected to the kernel (port 0), it takes messages from nobody else.
        connect(socket.as_raw_fd(), &NetlinkAddr::new(0, 0)).map_err(failed)?;
        Ok(Self {
            socket,
            sequence: 0,
            buffer: vec![0; DATAGRAM],
        })
    }

    /// The kernel's name of that namespace.
    pub(super) fn netns_cookie(&self) -> io::Result<u64> {
        netns_cookie_of(&self.socket)
    }

    /// The sockets that `keep` wants, at most `limit`.
    pub(super) fn dump(
        &mut self,
        listing: Listing<'_>,
        limit: usize,
        mut keep: impl FnMut(&TcpSocket) -> bool,
    ) -> Result<Vec<TcpSocket>, DiagError> {
        for _ in 0..DUMP_TRIES {
            match self.dump_once(listing, limit, &mut keep)? {
                Dumped::Whole(sockets) => return Ok(sockets),
                Dumped::Interrupted => {}
            }
        }
        Err(DiagError::Restless(DUMP_TRIES))
    }

    fn dump_once(
        &mut self,
        listing: Listing<'_>,
        limit: usize,
        keep: &mut impl FnMut(&TcpSocket) -> bool,
    ) -> Result<Dumped, DiagError> {
        let failed = |source| DiagError::Netlink {
            operation: "list",
            source,
        };
        let sequence = self.next_sequence();
        self.send(&wire::dump_request(listing, sequence))
            .map_err(|error| failed(error.into()))?;
        let mut sockets = Vec::new();
        let mut interrupted = false;
        loop {
            let length = self.receive().map_err(failed)?;
            for framed in messages(&self.buffer[..length]) {
                let framed = framed?;
                if framed.sequence != sequence {
                    continue;
                }
                interrupted |= framed.interrupted;
                match framed.message {
                    Message::Socket(mut socket) => {
                        socket.transport = listing.transport;
                        if !keep(&socket) {
                            continue;
                        }
                        if sockets.len() == limit {
                            return Err(DiagError::TooMany(limit));
                        }
                        sockets.push(socket);
                    }
                    Message::Noop => {}
                    Message::Done(0) if interrupted => return Ok(Dumped::Interrupted),
                    Message::Done(0) => return Ok(Dumped::Whole(sockets)),
                    Message::Error(libc::ENOENT) | Message::Done(libc::ENOENT) => {
                        return Err(DiagError::NoDiag(listing.transport));
                    }
                    Message::Error(error) | Message::Done(error) => {
                        return Err(failed(io::Error::from_raw_os_error(error)));
                    }
                }
            }
        }
    }

    /// Asks about one socket. `Ok(None)` is an acknowledgement without a description.
    pub(super) fn request(
        &mut self,
        kind: u16,
        socket: &TcpSocket,
    ) -> Result<Option<TcpSocket>, Errno> {
        let sequence = self.next_sequence();
        self.send(&wire::socket_request(kind, socket, sequence))?;
        let mut described = None;
        for _ in 0..STALE_DATAGRAMS {
            let length = self
                .receive()
                .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
            for framed in messages(&self.buffer[..length]) {
                let framed = framed.map_err(|_| Errno::EBADMSG)?;
                if framed.sequence != sequence {
                    continue;
                }
                match framed.message {
                    Message::Socket(socket) => described = Some(socket),
                    Message::Error(0) => return Ok(described),
                    Message::Error(error) => return Err(Errno::from_raw(error)),
                    Message::Done(_) | Message::Noop => {}
                }
            }
        }
        Err(Errno::ETIMEDOUT)
    }

    fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    fn send(&self, request: &[u8]) -> Result<(), Errno> {
        // A datagram goes whole or not at all.
        send(self.socket.as_raw_fd(), request, MsgFlags::empty()).map(drop)
    }

    /// Reads one datagram into the buffer and returns its length.
    fn receive(&mut self) -> io::Result<usize> {
        let length = loop {
            // MSG_TRUNC returns the true length, so that a cut datagram shows.
            match recv(
                self.socket.as_raw_fd(),
                &mut self.buffer,
                MsgFlags::MSG_TRUNC,
            ) {
                Err(Errno::EINTR) => {}
                other => break other?,
            }
        };
        if length == 0 || length > self.buffer.len() {
            return Err(io::Error::other("an answer does not fit its buffer"));
        }
        Ok(length)
    }
}

/// The messages of one datagram. It stops at the first that can't be read.
pub(super) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Result<Framed, DiagError>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        match wire::next_message(bytes) {
            Ok((framed, rest)) => {
                bytes = rest;
                Some(Ok(framed))
            }
            Err(reason) => {
                bytes = &[];
                Some(Err(DiagError::Answer(reason)))
            }
        }
    })
}
