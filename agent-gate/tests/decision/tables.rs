// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
//! A [`World`] as the daemon would write it into the kernel's maps, and its questions and
//! answers in the gate's types.

use std::collections::HashMap;
use std::net::IpAddr;

use stile_common::{
    Config, FirstKey, GrantKey, GrantValue, MAX_CLASS_PORTS, MAX_UID_RANGES, PORT_UNKNOWN,
    PortClass, PortRange, UID_ANY, UidRange, fault, first, protocol, scope,
};
use stile_gate::{Address, Destination, Process, Tables, Verdict};

use crate::world::{Actor, Answer, Given, Grantee, Service, Target, Transport, Welcome, World};

/// The maps.
pub(crate) struct Maps {
    /// Longest prefix match: length and the bits that count, to the number of a class.
    v4: HashMap<(u8, u32), u32>,
    v6: HashMap<(u8, u128), u32>,
    classes: HashMap<u32, PortClass>,
    first: HashMap<FirstKey, u32>,
    grants: HashMap<GrantKey, GrantValue>,
    slices: HashMap<u64, u32>,
    config: Option<Config>,
    now: u64,
}

impl Maps {
    pub(crate) fn of(world: &World) -> Self {
        let mut maps = Self {
            v4: HashMap::new(),
            v6: HashMap::new(),
            classes: HashMap::new(),
            first: HashMap::new(),
            grants: HashMap::new(),
            slices: world.sessions.iter().copied().collect(),
            config: world.configured.then(|| config(world)),
            now: world.now,
        };
        for (class, prefix) in (0_u32..).zip(&world.prefixes) {
            match prefix.network {
                IpAddr::V4(v4) => maps.v4.insert((prefix.length, v4.to_bits()), class),
                IpAddr::V6(v6) => maps.v6.insert((prefix.length, v6.to_bits()), class),
            };
            if let Some(services) = &prefix.services {
                maps.classes.insert(class, port_class(services));
            }
        }
        for (endpoint, uid, welcome) in &world.welcomes {
            let (endpoint, uid) = (*endpoint, uid.unwrap_or(UID_ANY));
            maps.first
                .insert(FirstKey { endpoint, uid }, number(*welcome));
        }
        for given in &world.grants {
            maps.grants.insert(key(given), value(given));
        }
        maps
    }
}

impl Tables for Maps {
    fn class_of(&self, address: &Address) -> Option<u32> {
        match address.v4() {
            Some(octets) => {
                let bits = u32::from_be_bytes(octets);
                (0..=32_u8).rev().find_map(|length| {
                    let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
                    self.v4.get(&(length, bits & mask)).copied()
                })
            }
            None => {
                let bits = u128::from_be_bytes(address.octets());
                (0..=128_u8).rev().find_map(|length| {
                    let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
                    self.v6.get(&(length, bits & mask)).copied()
                })
            }
        }
    }
    fn class(&self, class: u32) -> Option<&PortClass> {
        self.classes.get(&class)
    }
    fn first(&self, key: &FirstKey) -> Option<u32> {
        self.first.get(key).copied()
    }
    fn grant(&self, key: &GrantKey) -> Option<GrantValue> {
        self.grants.get(key).copied()
    }
    fn slice_owner(&self, cgroup: u64) -> Option<u32> {
        self.slices.get(&cgroup).copied()
    }
    fn config(&self) -> Option<&Config> {
        self.config.as_ref()
    }
    fn now(&self) -> u64 {
        self.now
    }
}

impl Process for Actor {
    fn uid(&self) -> u32 {
        self.uid
    }
    fn ancestor(&self, level: u32) -> u64 {
        self.cgroups.get(level as usize).copied().unwrap_or(0)
    }
    fn cookie(&self) -> u64 {
        self.socket
    }
}

fn config(world: &World) -> Config {
    let mut uids = [UidRange::default(); MAX_UID_RANGES];
    for (slot, (first, last)) in uids.iter_mut().zip(&world.gated) {
        (slot.first, slot.last) = (*first, *last);
    }
    let (level, user_slice) = world.user_slice.unwrap_or((1, 0));
    Config {
        user_slice,
        patience_ns: 0,
        attempt_ns: 0,
        ahead_ns: 0,
        ahead_busy_ns: 0,
        epoch: 1,
        generation: 1,
        user_slice_level: u32::try_from(level).unwrap(),
        syn_count: 0,
        uid_ranges: u32::try_from(world.gated.len()).unwrap(),
        reserved: 0,
        uids,
    }
}

fn port_class(services: &[Service]) -> PortClass {
    // What lies behind `len` must not count.
    let stale = PortRange {
        endpoint: 99,
        first: 0,
        last: u16::MAX,
        protocol: protocol::ANY,
        reserved: [0; 3],
    };
    let mut ranges = [stale; MAX_CLASS_PORTS];
    for (range, service) in ranges.iter_mut().zip(services) {
        *range = PortRange {
            endpoint: service.endpoint,
            first: service.first,
            last: service.last,
            protocol: service.transport.map_or(protocol::ANY, iana),
            reserved: [0; 3],
        };
    }
    PortClass {
        len: u32::try_from(services.len()).unwrap(),
        ranges,
    }
}

fn iana(transport: Transport) -> u8 {
    match transport {
        Transport::Tcp => 6,
        Transport::Udp => 17,
        Transport::UdpLite => 136,
        Transport::Sctp => 132,
        Transport::Dccp => 33,
        Transport::Icmp => 1,
        Transport::Icmpv6 => 58,
        Transport::Unreadable => protocol::UNKNOWN,
    }
}

fn number(welcome: Welcome) -> u32 {
    match welcome {
        Welcome::Deny => first::DENY,
        Welcome::Hold => first::HOLD,
        Welcome::Reject => first::REJECT,
    }
}

fn key(given: &Given) -> GrantKey {
    let (id, scope) = match given.to {
        Grantee::User(uid) => (u64::from(uid), scope::USER),
        Grantee::Socket(cookie) => (cookie, scope::SOCKET),
    };
    GrantKey {
        id,
        scope,
        endpoint: given.endpoint,
    }
}

fn value(given: &Given) -> GrantValue {
    GrantValue {
        expires_ns: given.expires,
        cut_ns: given.cut,
        grant: given.number,
    }
}

/// The destination as the hooks hand it over.
pub(crate) fn destination(target: &Target) -> Destination {
    let address = match target.address {
        IpAddr::V4(v4) => Address::from_v4(v4.octets()),
        IpAddr::V6(v6) => {
            let octets = v6.octets();
            Address::from_v6([0, 4, 8, 12].map(|at| {
                u32::from_ne_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]])
            }))
        }
    };
    Destination {
        address,
        port: target.port.map_or(PORT_UNKNOWN, u32::from),
        protocol: iana(target.transport),
    }
}

/// What the gate says to an answer of the world's.
pub(crate) fn verdict(answer: &Answer) -> Verdict {
    match answer {
        Answer::Unprotected => Verdict::Unprotected,
        Answer::Exempt { endpoint } => Verdict::Exempt(*endpoint),
        Answer::Granted { subject, grant } => Verdict::Granted {
            endpoint: grant.endpoint,
            subject: *subject,
            grant: value(grant),
        },
        Answer::Asked {
            endpoint,
            subject,
            welcome,
        } => Verdict::Ask {
            endpoint: *endpoint,
            subject: *subject,
            first: number(*welcome),
        },
        Answer::Contradiction => Verdict::Fault(fault::INCONSISTENT),
    }
}
