// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
//! A [`World`] as the daemon would write it into the kernel's maps, and its questions and
//! answers in the gate's types.

use std::collections::HashMap;
use std::net::IpAddr;

use stile_common::{
    Config, FirstKey, GrantKey, GrantValue, MAX_CLASS_PORTS, MAX_UID_RANGES, PORT_UNKNOWN,
    PortClass, PortRange, Search, UID_ANY, UidRange, fault, filter_v6, first, level_of, protocol,
    scope, search,
};
use stile_gate::{Address, Destination, Process, Tables, Verdict};

use crate::world::{Actor, Answer, Given, Grantee, Service, Target, Transport, Welcome, World};

/// How the daemon has laid out what is protected. The answers must be the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// Single addresses lie in maps of their own.
    pub(crate) hosts: bool,
    /// A filter is asked first.
    pub(crate) filtered: bool,
}

impl Layout {
    /// Each of them.
    pub(crate) const ALL: [Self; 4] = [
        Self::of(false, false),
        Self::of(false, true),
        Self::of(true, false),
        Self::of(true, true),
    ];

    const fn of(hosts: bool, filtered: bool) -> Self {
        Self { hosts, filtered }
    }
}

/// The maps.
pub(crate) struct Maps {
    hosts_v4: HashMap<[u8; 4], u32>,
    hosts_v6: HashMap<[u8; 16], u32>,
    /// Words of the filter for IPv6. That for IPv4 is computed as it is asked.
    filter_v6: HashMap<u32, u64>,
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
    pub(crate) fn of(world: &World, layout: Layout) -> Self {
        let mut maps = Self {
            hosts_v4: HashMap::new(),
            hosts_v6: HashMap::new(),
            filter_v6: HashMap::new(),
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
            match (prefix.network, prefix.length) {
                (IpAddr::V4(v4), 32) if layout.hosts => maps.hosts_v4.insert(v4.octets(), class),
                (IpAddr::V6(v6), 128) if layout.hosts => maps.hosts_v6.insert(v6.octets(), class),
                (IpAddr::V4(v4), length) => maps.v4.insert((length, v4.to_bits()), class),
                (IpAddr::V6(v6), length) => maps.v6.insert((length, v6.to_bits()), class),
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
        let search = maps.lay_out(world, layout);
        if let Some(config) = &mut maps.config {
            config.search = search;
        }
        maps
    }

    /// Fills the filters, and says what the gate may leave out.
    fn lay_out(&mut self, world: &World, layout: Layout) -> Search {
        let mut search = Search::default();
        let mut is_filtered = layout.filtered;
        for prefix in &world.prefixes {
            let IpAddr::V6(v6) = prefix.network else {
                continue;
            };
            let Some(level) = level_of(prefix.length) else {
                is_filtered = false;
                continue;
            };
            let bits = filter_v6((v6.to_bits() >> 64) as u64, level);
            *self.filter_v6.entry(bits.word).or_default() |= bits.mask;
            search.v6_levels |= 1 << level;
        }
        let flags = |hosts: bool, nets: bool, filtered: bool| {
            let mut flags = if filtered { search::FILTERED } else { 0 };
            if !hosts && !nets {
                flags |= search::NOTHING;
            }
            if !hosts {
                flags |= search::NO_HOSTS;
            }
            if !nets {
                flags |= search::NO_NETS;
            }
            flags
        };
        let (hosts, nets) = (!self.hosts_v4.is_empty(), !self.v4.is_empty());
        search.v4 = flags(hosts, nets, layout.filtered);
        let (hosts, nets) = (!self.hosts_v6.is_empty(), !self.v6.is_empty());
        search.v6 = flags(hosts, nets, is_filtered);
        search
    }

    /// Whether anything in a network of 24 bits is protected.
    fn has_some_in(&self, network: u32) -> bool {
        let covers = |length: u8, prefix: u32| {
            let mask = u32::MAX
                .checked_shl(32 - u32::from(length.min(24)))
                .unwrap_or(0);
            (network << 8) & mask == prefix & mask
        };
        let nets = self
            .v4
            .keys()
            .any(|(length, prefix)| covers(*length, *prefix));
        let mut hosts = self.hosts_v4.keys().map(|host| u32::from_be_bytes(*host));
        nets || hosts.any(|host| covers(32, host))
    }
}

impl Tables for Maps {
    fn filter_v4(&self, word: u32) -> Option<u64> {
        let bits = (0..64).filter(|bit| self.has_some_in(word << 6 | bit));
        Some(bits.fold(0, |word, bit| word | 1 << bit))
    }
    fn filter_v6(&self, word: u32) -> Option<u64> {
        Some(self.filter_v6.get(&word).copied().unwrap_or(0))
    }
    fn host_v4(&self, octets: [u8; 4]) -> Option<u32> {
        self.hosts_v4.get(&octets).copied()
    }
    fn host_v6(&self, octets: [u8; 16]) -> Option<u32> {
        self.hosts_v6.get(&octets).copied()
    }
    fn net_v4(&self, octets: [u8; 4]) -> Option<u32> {
        let bits = u32::from_be_bytes(octets);
        (0..=32_u8).rev().find_map(|length| {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            self.v4.get(&(length, bits & mask)).copied()
        })
    }
    fn net_v6(&self, octets: [u8; 16]) -> Option<u32> {
        let bits = u128::from_be_bytes(octets);
        (0..=128_u8).rev().find_map(|length| {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            self.v6.get(&(length, bits & mask)).copied()
        })
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
        observes: u32::from(world.observes),
        search: Search::default(),
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
        Welcome::Observe => first::OBSERVE,
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
