// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A server of any protocol.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, Protocol, RecvFlags, SocketFlags, SocketType};

/// A socket that takes what comes. Over loopback everything has come when the sender's call
/// is over.
pub(crate) struct Sink(OwnedFd);

impl Sink {
    /// One at this address.
    ///
    /// # Errors
    /// If the kernel doesn't have the protocol.
    pub(crate) fn new(
        address: SocketAddr,
        kind: SocketType,
        protocol: Protocol,
    ) -> Result<Self, Errno> {
        let family = match address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let socket = net::socket_with(family, kind, SocketFlags::CLOEXEC, Some(protocol))?;
        // A raw socket has no port.
        let port = if kind == SocketType::RAW {
            0
        } else {
            address.port()
        };
        net::bind(&socket, &SocketAddr::new(address.ip(), port))?;
        Ok(Self(socket))
    }

    /// What has come since the last time.
    pub(crate) fn received(&self) -> Vec<Vec<u8>> {
        let mut received = Vec::new();
        let mut buffer = [0; 2048];
        while let Ok((length, _)) = net::recv(&self.0, &mut buffer, RecvFlags::DONTWAIT) {
            received.push(buffer[..length].to_vec());
        }
        received
    }

    /// Lets others connect.
    pub(crate) fn listen(&self) {
        net::listen(&self.0, 8).expect("it can listen");
    }

    /// True if somebody has connected since the last time.
    pub(crate) fn accepts(&self) -> bool {
        rustix::io::ioctl_fionbio(&self.0, true).expect("a socket");
        net::accept(&self.0).is_ok()
    }
}
