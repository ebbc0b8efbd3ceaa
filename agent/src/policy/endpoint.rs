// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is protected.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Serialize, Serializer};
use stile_common::protocol;

use crate::ids::EndpointId;

/// Longest name of an endpoint or rule, in characters.
pub(super) const MAX_NAME: usize = 64;

/// Why a text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameRefused {
    /// Of an endpoint.
    #[error("1 to {MAX_NAME} characters of A-Z, a-z, 0-9, '.', '_' and '-'")]
    Endpoint,
    /// Of a rule.
    #[error(
        "1 to {MAX_NAME} letters, digits, ASCII punctuation and spaces, with no space at either end"
    )]
    Rule,
}

/// The name of an endpoint: 1 to 64 characters of `[A-Za-z0-9._-]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointName(Arc<str>);

impl EndpointName {
    /// Takes a text for a name.
    ///
    /// # Errors
    /// If it is too long or short, or holds other characters.
    pub fn new(text: &str) -> Result<Self, NameRefused> {
        let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if (1..=MAX_NAME).contains(&text.len()) && text.chars().all(sound) {
            Ok(Self(Arc::from(text)))
        } else {
            Err(NameRefused::Endpoint)
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EndpointName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for EndpointName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// Which transport protocols of an endpoint's ports are protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// TCP, and what runs over it (MPTCP).
    Tcp,
    /// UDP and UDP-Lite.
    Udp,
    /// Every protocol that has ports.
    Any,
}

impl Protocol {
    /// What stands for it in a [`stile_common::PortRange`].
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => protocol::TCP,
            Self::Udp => protocol::UDP,
            Self::Any => protocol::ANY,
        }
    }

    /// True if it takes in the protocol of this number (IANA).
    #[must_use]
    pub fn contains(self, number: u8) -> bool {
        match self {
            Self::Tcp => number == protocol::TCP,
            Self::Udp => matches!(number, protocol::UDP | protocol::UDP_LITE),
            Self::Any => matches!(
                number,
                protocol::TCP
                    | protocol::UDP
                    | protocol::UDP_LITE
                    | protocol::DCCP
                    | protocol::SCTP
            ),
        }
    }
}

/// What becomes of connections that are older than their protection: made before the agent
/// started, or before the policy named the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Existing {
    /// They are closed, unless their user has a grant.
    Close,
    /// They go on until their processes close them.
    Keep,
}

/// A closed range of ports, the first not above the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortSpan {
    /// Lowest port, not 0.
    pub first: u16,
    /// Highest port.
    pub last: u16,
}

impl PortSpan {
    /// Takes two ports for a range; `None` if they are in the wrong order or 0.
    #[must_use]
    pub fn new(first: u16, last: u16) -> Option<Self> {
        (first > 0 && first <= last).then_some(Self { first, last })
    }
}

/// The name of a host, in lower case and without the dot at its end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostName {
    /// This one.
    Exact(Arc<str>),
    /// Every name that ends so, as `.db.example.com` for `*.db.example.com`: the dot is part of it.
    Below(Arc<str>),
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Below(suffix) => write!(f, "*{suffix}"),
        }
    }
}

/// Protected addresses and ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its id in the kernel's maps.
    pub id: EndpointId,
    /// Its name; no other endpoint of the policy has it.
    pub name: EndpointName,
    /// Its networks, without host bits. An address is a network of one.
    pub hosts: Vec<IpNet>,
    /// Names of hosts, whose addresses are looked up.
    pub names: Vec<HostName>,
    /// What has been learned of those names: networks as in `hosts`.
    pub resolved: Vec<IpNet>,
    /// Its ports.
    pub ports: Vec<PortSpan>,
    /// Its protocols.
    pub protocol: Protocol,
    /// What becomes of connections that are there already.
    pub existing: Existing,
}

impl Endpoint {
    /// Its networks, those of its names included.
    pub fn networks(&self) -> impl Iterator<Item = &IpNet> {
        self.hosts.iter().chain(&self.resolved)
    }

    /// True if it has this port over this protocol, whatever the address.
    #[must_use]
    pub fn serves(&self, port: u16, number: u8) -> bool {
        let mut ports = self.ports.iter();
        self.protocol.contains(number)
            && ports.any(|ports| (ports.first..=ports.last).contains(&port))
    }

    /// True if a destination belongs to this endpoint, earlier endpoints aside; `number` is
    /// the protocol's (IANA).
    #[must_use]
    pub fn contains(&self, address: IpAddr, port: u16, number: u8) -> bool {
        let address = address.to_canonical();
        self.serves(port, number) && self.networks().any(|host| host.contains(&address))
    }
}
