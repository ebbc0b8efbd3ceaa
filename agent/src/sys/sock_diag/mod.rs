// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Lists and destroys TCP and UDP sockets of the calling thread's network namespace, whoever
//! owns them (`sock_diag(7)`, `NETLINK_SOCK_DIAG`).
//!
//! A destroyed socket fails with `ECONNABORTED` at once, and its peer gets a reset: that is
//! how a denied hold ends and how a connection ends with its grant. Sockets of another
//! namespace: [`super::netns::run_inside`]. Needs `CAP_NET_ADMIN`.

#[cfg(any(test, feature = "fuzzing"))]
mod fuzz;
mod netlink;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

use nix::errno::Errno;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use self::fuzz::fuzz;
use self::netlink::Connection;
use crate::ids::{SocketCookie, Uid};

/// An address family, as sock_diag tells sockets apart. A socket of [`Family::V6`] may have
/// mapped IPv4 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `AF_INET`
    V4,
    /// `AF_INET6`
    V6,
}

/// A transport protocol whose sockets can be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Also what runs over it (MPTCP).
    Tcp,
    /// Its sockets are ESTABLISHED while they are connected.
    Udp,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        })
    }
}

/// Which sockets are listed.
#[derive(Clone, Copy, Debug)]
pub struct Listing<'a> {
    /// Of this family.
    pub family: Family,
    /// Of this protocol.
    pub transport: Transport,
    /// In one of these states.
    pub states: TcpStates,
    /// Each with its value in this socket storage.
    pub storage: Option<BorrowedFd<'a>>,
}

impl Listing<'_> {
    /// All TCP sockets of a family that can still move a byte.
    #[must_use]
    pub fn live_tcp(family: Family) -> Self {
        Self {
            family,
            transport: Transport::Tcp,
            states: TcpStates::LIVE,
            storage: None,
        }
    }
}

/// State of a TCP socket (`include/net/tcp_states.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of RFC 9293, 3.3.2")]
pub enum TcpState {
    Established = 1,
    SynSent = 2,
    SynReceived = 3,
    FinWait1 = 4,
    FinWait2 = 5,
    TimeWait = 6,
    Close = 7,
    CloseWait = 8,
    LastAck = 9,
    Listen = 10,
    Closing = 11,
    NewSynReceived = 12,
}

/// A set of [`TcpState`]s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpStates(u32);

impl TcpStates {
    /// Everything that can still move a byte, or is about to.
    pub const LIVE: Self = Self::of(&[
        TcpState::SynSent,
        TcpState::SynReceived,
        TcpState::Established,
        TcpState::FinWait1,
        TcpState::FinWait2,
        TcpState::CloseWait,
        TcpState::LastAck,
        TcpState::Closing,
    ]);

    /// The set of these.
    #[must_use]
    pub const fn of(states: &[TcpState]) -> Self {
        let mut mask = 0;
        let mut at = 0;
        while at < states.len() {
            mask |= 1 << states[at] as u32;
            at += 1;
        }
        Self(mask)
    }
}

/// A socket, as the kernel described it at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpSocket {
    /// Its own end. Mapped IPv4 addresses stay mapped.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// Its state.
    pub state: TcpState,
    /// Who owns it.
    pub uid: Uid,
    /// Inode of its descriptors; 0 if it has none any more.
    pub inode: u32,
    /// The kernel's name of it.
    pub cookie: SocketCookie,
    /// Its protocol.
    pub transport: Transport,
    /// The id of the cgroup in which it was made, where the kernel tells it.
    pub cgroup: Option<u64>,
    /// Its value in the storage that was asked for, if it has one.
    pub storage: Option<Vec<u8>>,
    /// The interface it is bound to; 0 for none. Part of its identity.
    interface: u32,
}

impl TcpSocket {
    /// The socket of a connect that is under way, as its SYN tells it.
    #[must_use]
    pub fn connecting(
        local: SocketAddr,
        remote: SocketAddr,
        cookie: SocketCookie,
        interface: u32,
    ) -> Self {
        let state = TcpState::SynSent;
        Self {
            local,
            remote,
            state,
            uid: Uid(0),
            inode: 0,
            cookie,
            transport: Transport::Tcp,
            cgroup: None,
            storage: None,
            interface,
        }
    }
}

/// What became of a socket that was to be destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destroyed {
    /// It was destroyed now.
    Yes,
    /// There was nothing left to destroy.
    Gone,
}

/// Why sockets could not be listed or destroyed.
#[derive(Debug, thiserror::Error)]
pub enum DiagError {
    /// No netlink socket, or nothing goes through it.
    #[error("can't {operation} sockets over netlink: {source}")]
    Netlink {
        /// What was tried.
        operation: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel's answer makes no sense.
    #[error("the kernel's answer about sockets can't be read: {0}")]
    Answer(&'static str),
    /// The socket tables changed during every one of several listings.
    #[error("the sockets changed while they were listed, {0} times in a row")]
    Restless(u32),
    /// More matching sockets than the daemon keeps.
    #[error("more than {0} sockets match")]
    TooMany(usize),
    /// The kernel lacks the listing.
    #[error(
        "this kernel can't list {0} sockets; it needs CONFIG_INET_{0}_DIAG (modprobe tcp_diag, \
         udp_diag)"
    )]
    NoDiag(Transport),
    /// The kernel lacks SOCK_DESTROY.
    #[error("this kernel can't end connections; it needs CONFIG_INET_DIAG_DESTROY=y")]
    NoDestroy,
    /// The daemon may not.
    #[error("the daemon may not end connections; it needs CAP_NET_ADMIN")]
    NotPermitted,
}

/// Most sockets that [`list`] returns: about 100 MiB. More than that is past what one host
/// can serve with its 65,535 ports for each address.
const MAX_SOCKETS: usize = 1 << 20;

/// All sockets of a listing.
///
/// # Errors
/// If netlink fails or the tables never hold still; a partial list is never returned.
pub fn list(listing: Listing<'_>) -> Result<Vec<TcpSocket>, DiagError> {
    Connection::open()?.dump(listing, MAX_SOCKETS, |_| true)
}

/// Destroys this very socket, told by its addresses and its cookie.
///
/// # Errors
/// If the kernel can't or won't.
pub fn destroy(socket: &TcpSocket) -> Result<Destroyed, DiagError> {
    destroy_over(&mut Connection::open()?, socket)
}

/// A conversation with the kernel about the sockets of the network namespace in which it was
/// opened. Who keeps one needs no further descriptor to end connections.
pub struct SockDiag(Connection);

impl SockDiag {
    /// Opens one for the calling thread's network namespace.
    ///
    /// # Errors
    /// If no netlink socket can be had.
    pub fn open() -> Result<Self, DiagError> {
        Connection::open().map(Self)
    }

    /// The kernel's name of the network namespace whose sockets it tells (`SO_NETNS_COOKIE`).
    ///
    /// # Errors
    /// If the kernel is older than 5.14.
    pub fn netns_cookie(&self) -> io::Result<u64> {
        self.0.netns_cookie()
    }

    /// The cookies of all sockets that are in their connect, in either family.
    ///
    /// # Errors
    /// As [`list`].
    pub fn connecting(&mut self) -> Result<HashSet<SocketCookie>, DiagError> {
        let connecting = TcpStates::of(&[TcpState::SynSent]);
        let mut cookies = HashSet::new();
        for family in [Family::V4, Family::V6] {
            let listing = Listing {
                states: connecting,
                ..Listing::live_tcp(family)
            };
            let sockets = self.0.dump(listing, MAX_SOCKETS, |_| true)?;
            cookies.extend(sockets.iter().map(|socket| socket.cookie));
        }
        Ok(cookies)
    }

    /// Destroys each of these very sockets, as [`destroy`] does. Returns those that it could
    /// not destroy, and why.
    pub fn destroy_each(&mut self, sockets: &[TcpSocket]) -> Vec<(SocketCookie, DiagError)> {
        let failed = sockets.iter().filter_map(|socket| {
            let error = destroy_over(&mut self.0, socket).err()?;
            Some((socket.cookie, error))
        });
        failed.collect()
    }

    /// Destroys the sockets with these cookies, in either family, and returns the cookies of
    /// those that it destroyed. The others are in another namespace or were gone already.
    ///
    /// # Errors
    /// The first one that was met. Every socket that was found has been tried all the same.
    pub fn destroy_by_cookies(
        &mut self,
        cookies: &[SocketCookie],
    ) -> Result<Vec<SocketCookie>, DiagError> {
        if cookies.is_empty() {
            return Ok(Vec::new());
        }
        let wanted: HashSet<_> = cookies.iter().copied().collect();
        let mut destroyed = Vec::new();
        let mut failed = None;
        for family in [Family::V4, Family::V6] {
            let found = self
                .0
                .dump(Listing::live_tcp(family), MAX_SOCKETS, |socket| {
                    wanted.contains(&socket.cookie)
                });
            let found = found.unwrap_or_else(|error| {
                failed.get_or_insert(error);
                Vec::new()
            });
            for socket in found {
                match destroy_over(&mut self.0, &socket) {
                    Ok(Destroyed::Yes) => destroyed.push(socket.cookie),
                    Ok(Destroyed::Gone) => {}
                    Err(error) => {
                        failed.get_or_insert(error);
                    }
                }
            }
        }
        failed.map_or(Ok(destroyed), Err)
    }
}

/// Asks whether [`destroy`] works here, by destroying a socket that does not exist. For the
/// preflight.
///
/// # Errors
/// What is missing: [`DiagError::NoDiag`], [`DiagError::NoDestroy`] or
/// [`DiagError::NotPermitted`].
pub fn probe_destroy(transport: Transport) -> Result<(), DiagError> {
    let mut connection = Connection::open()?;
    // A kernel that can't list them says ENOENT too, so listing is asked first.
    let none = Listing {
        transport,
        states: TcpStates::of(&[]),
        ..Listing::live_tcp(Family::V4)
    };
    connection.dump(none, 0, |_| false)?;
    // It has no ports.
    let nowhere = TcpSocket {
        local: SocketAddr::from(([127, 0, 0, 1], 0)),
        remote: SocketAddr::from(([127, 0, 0, 1], 0)),
        state: TcpState::Close,
        uid: Uid(0),
        inode: 0,
        cookie: SocketCookie(0),
        transport,
        cgroup: None,
        storage: None,
        interface: 0,
    };
    match connection.request(wire::SOCK_DESTROY, &nowhere) {
        Err(Errno::ENOENT) => Ok(()),
        Err(error) => Err(refusal(error)),
        Ok(_) => Err(DiagError::Answer("a socket that can't exist was destroyed")),
    }
}

fn destroy_over(connection: &mut Connection, socket: &TcpSocket) -> Result<Destroyed, DiagError> {
    match connection.request(wire::SOCK_DESTROY, socket) {
        Ok(_) => Ok(Destroyed::Yes),
        Err(Errno::ENOENT) => Ok(Destroyed::Gone),
        // Older kernels (5.10) can't destroy a socket that has reached TIME_WAIT meanwhile,
        // which reads like a kernel that can't destroy any. No process has it any more.
        Err(Errno::EOPNOTSUPP) if is_over(connection, socket) => Ok(Destroyed::Gone),
        Err(error) => Err(refusal(error)),
    }
}

/// True if the socket no longer exists, or is only waiting for stray packets.
fn is_over(connection: &mut Connection, socket: &TcpSocket) -> bool {
    match connection.request(wire::SOCK_DIAG_BY_FAMILY, socket) {
        Ok(Some(found)) => found.state == TcpState::TimeWait,
        Err(error) => error == Errno::ENOENT,
        Ok(None) => false,
    }
}

fn refusal(error: Errno) -> DiagError {
    match error {
        Errno::EOPNOTSUPP | Errno::ENOPROTOOPT => DiagError::NoDestroy,
        Errno::EPERM | Errno::EACCES => DiagError::NotPermitted,
        error => DiagError::Netlink {
            operation: "destroy",
            source: error.into(),
        },
    }
}
