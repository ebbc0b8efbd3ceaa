// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
//! What the gate promises, read straight: plain lists, the standard library's addresses, and
//! no code of the gate. Slow and obvious on purpose.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A uid that nobody has: whose session it is, isn't known.
pub(crate) const NOBODY_KNOWN: u32 = 0xffff_fffe;

/// The transport of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Udp,
    UdpLite,
    Sctp,
    Dccp,
    Icmp,
    Icmpv6,
    /// Behind headers that can't be read.
    Unreadable,
}

/// Ports of one protocol that belong to an endpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Service {
    pub(crate) endpoint: u32,
    pub(crate) first: u16,
    pub(crate) last: u16,
    /// None: every protocol that has ports.
    pub(crate) transport: Option<Transport>,
}

/// A protected network.
#[derive(Clone, Debug)]
pub(crate) struct Prefix {
    pub(crate) network: IpAddr,
    pub(crate) length: u8,
    /// In order: the first that fits counts. None where the daemon's tables contradict each
    /// other.
    pub(crate) services: Option<Vec<Service>>,
}

/// Whom a grant is given to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grantee {
    User(u32),
    Socket(u64),
}

/// A grant, live or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) to: Grantee,
    pub(crate) endpoint: u32,
    pub(crate) expires: u64,
    pub(crate) cut: u64,
    pub(crate) number: u64,
}

/// What the first attempt of somebody without a grant meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Welcome {
    Deny,
    Hold,
    Reject,
    /// Passes, and is told of.
    Observe,
}

/// Everything that a decision may depend on.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) prefixes: Vec<Prefix>,
    pub(crate) grants: Vec<Given>,
    /// Endpoint, subject (None: everybody else), what they meet.
    pub(crate) welcomes: Vec<(u32, Option<u32>, Welcome)>,
    /// A session's cgroup and its owner.
    pub(crate) sessions: Vec<(u64, u32)>,
    pub(crate) gated: Vec<(u32, u32)>,
    /// Depth and id of `user.slice`, if the host has one.
    pub(crate) user_slice: Option<(usize, u64)>,
    /// The whole policy only looks on.
    pub(crate) observes: bool,
    /// False until the daemon has said anything.
    pub(crate) configured: bool,
    pub(crate) now: u64,
}

/// Who connects.
#[derive(Clone, Debug)]
pub(crate) struct Actor {
    pub(crate) uid: u32,
    /// Its cgroup and all above it, from the root on.
    pub(crate) cgroups: Vec<u64>,
    pub(crate) socket: u64,
}

/// Where to, as the process spells it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) address: IpAddr,
    /// None where it can't be read.
    pub(crate) port: Option<u16>,
    pub(crate) transport: Transport,
}

/// What must happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Unprotected,
    Exempt {
        endpoint: u32,
    },
    Granted {
        subject: u32,
        grant: Given,
    },
    Asked {
        endpoint: u32,
        subject: u32,
        welcome: Welcome,
    },
    Contradiction,
}

impl World {
    pub(crate) fn judge(&self, actor: &Actor, target: &Target) -> Answer {
        let endpoint = match self.endpoint_of(target) {
            Ok(Some(endpoint)) => endpoint,
            Ok(None) => return Answer::Unprotected,
            Err(answer) => return answer,
        };
        if !self.configured {
            return Answer::Contradiction;
        }
        let Some(subject) = self.subject_of(actor) else {
            return Answer::Exempt { endpoint };
        };
        // A socket that connects has no grant of its own: that was for its connection before.
        if let Some(grant) = self.grant_of(subject, endpoint)
            && self.now < grant.expires
        {
            return Answer::Granted { subject, grant };
        }
        let mut welcome = self.welcome_of(subject, endpoint);
        if welcome == Welcome::Hold && target.transport != Transport::Tcp {
            welcome = Welcome::Reject;
        }
        Answer::Asked {
            endpoint,
            subject,
            welcome,
        }
    }

    /// Whether a packet of a socket that no hook has judged may pass.
    pub(crate) fn passes(&self, actor: &Actor, target: &Target) -> bool {
        match self.judge(actor, target) {
            Answer::Unprotected | Answer::Exempt { .. } => true,
            // What can't be read may be for another endpoint than the grant's.
            Answer::Granted { .. } => target.port.is_some(),
            Answer::Asked {
                welcome: Welcome::Observe,
                ..
            } if self.observes || target.port.is_some() => true,
            Answer::Asked { endpoint, .. } => {
                let own = |given: &&Given| {
                    given.to == Grantee::Socket(actor.socket) && given.endpoint == endpoint
                };
                let kept = self.grants.iter().find(own);
                target.port.is_some() && kept.is_some_and(|given| self.now < given.cut)
            }
            Answer::Contradiction => false,
        }
    }

    /// Whether a connection that was let through may go on.
    pub(crate) fn goes_on(&self, subject: u32, socket: u64, endpoint: u32) -> bool {
        let grants = [
            self.grant_of(subject, endpoint),
            self.given_to(Grantee::Socket(socket), endpoint),
        ];
        grants.iter().flatten().any(|grant| self.now < grant.cut)
    }

    fn endpoint_of(&self, target: &Target) -> Result<Option<u32>, Answer> {
        if matches!(target.transport, Transport::Icmp | Transport::Icmpv6) {
            return Ok(None);
        }
        let Some(prefix) = self.prefix_of(plain(target.address)) else {
            return Ok(None);
        };
        let services = prefix.services.as_ref().ok_or(Answer::Contradiction)?;
        let serving = services.iter().find(|service| service.serves(target));
        Ok(serving.map(|service| service.endpoint))
    }

    /// The longest prefix that holds the address.
    pub(crate) fn prefix_of(&self, address: IpAddr) -> Option<&Prefix> {
        let mut best: Option<&Prefix> = None;
        for prefix in self.prefixes.iter().filter(|prefix| prefix.holds(address)) {
            if best.is_none_or(|best| prefix.length > best.length) {
                best = Some(prefix);
            }
        }
        best
    }

    /// Who is asked: the owner of the session that the process runs in, else the gated uid
    /// itself, else nobody.
    pub(crate) fn subject_of(&self, actor: &Actor) -> Option<u32> {
        if let Some((depth, id)) = self.user_slice
            && actor.cgroups.get(depth) == Some(&id)
        {
            let session = actor.cgroups.get(depth + 1);
            let owner = self
                .sessions
                .iter()
                .find(|(cgroup, _)| Some(cgroup) == session);
            return Some(owner.map_or(NOBODY_KNOWN, |(_, uid)| *uid));
        }
        let gated = |(first, last): &(u32, u32)| (*first..=*last).contains(&actor.uid);
        self.gated.iter().any(gated).then_some(actor.uid)
    }

    /// The user's grant. Nobody has the grant of somebody unknown.
    pub(crate) fn grant_of(&self, subject: u32, endpoint: u32) -> Option<Given> {
        if subject == NOBODY_KNOWN {
            return None;
        }
        self.given_to(Grantee::User(subject), endpoint)
    }

    pub(crate) fn given_to(&self, to: Grantee, endpoint: u32) -> Option<Given> {
        let fits = |given: &&Given| given.to == to && given.endpoint == endpoint;
        self.grants.iter().find(fits).copied()
    }

    fn welcome_of(&self, subject: u32, endpoint: u32) -> Welcome {
        if self.observes {
            return Welcome::Observe;
        }
        if subject == NOBODY_KNOWN {
            return Welcome::Hold;
        }
        let find = |who: Option<u32>| {
            let fits = |entry: &&(u32, Option<u32>, Welcome)| (entry.0, entry.1) == (endpoint, who);
            self.welcomes.iter().find(fits).map(|entry| entry.2)
        };
        find(Some(subject))
            .or_else(|| find(None))
            .unwrap_or(Welcome::Deny)
    }
}

impl Prefix {
    pub(crate) fn holds(&self, address: IpAddr) -> bool {
        let same = |ours: &[u8], theirs: &[u8]| {
            (0..usize::from(self.length)).all(|bit| {
                let mask = 0x80_u8 >> (bit % 8);
                ours[bit / 8] & mask == theirs[bit / 8] & mask
            })
        };
        match (self.network, address) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => same(&ours.octets(), &theirs.octets()),
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => same(&ours.octets(), &theirs.octets()),
            _ => false,
        }
    }
}

impl Service {
    /// What can't be read may be anything.
    pub(crate) fn serves(&self, target: &Target) -> bool {
        let transport = match target.transport {
            Transport::Unreadable => None,
            Transport::UdpLite => Some(Transport::Udp),
            other => Some(other),
        };
        let spoken = self.transport.is_none() || transport.is_none() || transport == self.transport;
        spoken
            && target
                .port
                .is_none_or(|port| self.first <= port && port <= self.last)
    }
}

/// The address that the kernel takes this one for.
pub(crate) fn plain(address: IpAddr) -> IpAddr {
    let plain = match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    };
    match plain {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        other => other,
    }
}
