// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
//! The decision itself, cheapest question first.

use stile_common::{
    BUDGET_OF_SESSION, Config, ENDPOINT_ANY, FirstKey, GrantKey, GrantValue, MAX_CLASS_PORTS,
    MAX_UID_RANGES, PORT_UNKNOWN, PortClass, PortRange, UID_ANY, UID_UNKNOWN, fault, first,
    protocol, scope,
};

use crate::destination::Destination;
use crate::packet::Parsed;
use crate::search::class_of;

/// The maps that the daemon fills.
pub trait Tables {
    /// A word of the filter of IPv4.
    fn filter_v4(&self, word: u32) -> Option<u64>;
    /// A word of the filter of IPv6.
    fn filter_v6(&self, word: u32) -> Option<u64>;
    /// The class of a single IPv4 address.
    fn host_v4(&self, octets: [u8; 4]) -> Option<u32>;
    /// The class of a single IPv6 address.
    fn host_v6(&self, octets: [u8; 16]) -> Option<u32>;
    /// The class of the longest IPv4 network that covers the address.
    fn net_v4(&self, octets: [u8; 4]) -> Option<u32>;
    /// The class of the longest IPv6 network that covers the address.
    fn net_v6(&self, octets: [u8; 16]) -> Option<u32>;
    /// A port class.
    fn class(&self, class: u32) -> Option<&PortClass>;
    /// What happens at a first attempt; one of [`first`].
    fn first(&self, key: &FirstKey) -> Option<u32>;
    /// A grant, live or not.
    fn grant(&self, key: &GrantKey) -> Option<GrantValue>;
    /// Whose session a cgroup `user-UID.slice` is.
    fn slice_owner(&self, cgroup: u64) -> Option<u32>;
    /// The gate's settings.
    fn config(&self) -> Option<&Config>;
    /// Nanoseconds of `CLOCK_BOOTTIME`.
    fn now(&self) -> u64;
}

/// What the kernel knows of the process (or the socket) that acts.
pub trait Process {
    /// Its uid.
    fn uid(&self) -> u32;
    /// The id of its cgroup's ancestor at a level below the root; 0 if it isn't that deep.
    fn ancestor(&self, level: u32) -> u64;
    /// The socket's cookie.
    fn cookie(&self) -> u64;
}

/// What happens to an attempt. Each refusal says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// Not the gate's business.
    Unprotected,
    /// Protected, but the process isn't gated.
    Exempt(u32),
    /// A live grant lets it pass.
    Granted {
        /// The endpoint.
        endpoint: u32,
        /// Who.
        subject: u32,
        /// By what, until when.
        grant: GrantValue,
    },
    /// No grant: hold, reject or deny, as `first` says.
    Ask {
        /// The endpoint.
        endpoint: u32,
        /// Who.
        subject: u32,
        /// One of [`first`].
        first: u32,
    },
    /// The maps contradict each other: deny and count; one of [`fault`].
    Fault(u32),
}

/// Judges an attempt to reach something new. The grant of a socket doesn't count: it was given
/// to a connection that waited, and is over when its socket connects again.
#[inline(always)]
pub fn judge_connect(
    tables: &impl Tables,
    process: &impl Process,
    destination: &Destination,
) -> Verdict {
    let endpoint = match endpoint_of(tables, destination) {
        Ok(0) => return Verdict::Unprotected,
        Ok(endpoint) => endpoint,
        Err(fault) => return Verdict::Fault(fault),
    };
    let Some(config) = tables.config() else {
        return Verdict::Fault(fault::INCONSISTENT);
    };
    let Some(subject) = subject_of(tables, config, process) else {
        return Verdict::Exempt(endpoint);
    };
    if let Some(grant) = grant_of_user(tables, subject, endpoint)
        && tables.now() < grant.expires_ns
    {
        return Verdict::Granted {
            endpoint,
            subject,
            grant,
        };
    }
    let first = if config.observes == 0 {
        first_of(tables, endpoint, subject)
    } else {
        first::OBSERVE
    };
    // Only TCP has a handshake that can be parked.
    let first = if first == first::HOLD && destination.protocol != protocol::TCP {
        first::REJECT
    } else {
        first
    };
    Verdict::Ask {
        endpoint,
        subject,
        first,
    }
}

/// What happens to a packet of a socket that passed no connect hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Packet {
    /// It is none of the gate's business, or its process isn't gated.
    Free,
    /// It passes under a grant.
    Granted,
    /// It may not pass; one of [`fault`].
    Drop(u32),
}

/// Judges a packet of a socket that no connect hook has seen, and of every socket that isn't
/// bound to one destination: raw sockets, unconnected UDP, sockets older than the agent. One
/// with a source route is nobody's who is gated: where it ends can't be told.
#[inline(always)]
pub fn judge_packet(tables: &impl Tables, socket: &impl Process, parsed: &Parsed) -> Packet {
    if parsed.routed && parsed.destination.has_ports() {
        return match tables.config() {
            Some(config)
                if config.observes != 0 || subject_of(tables, config, socket).is_none() =>
            {
                Packet::Free
            }
            _ => Packet::Drop(fault::UNPARSED),
        };
    }
    judge_unseen(tables, socket, &parsed.destination)
}

/// Judges such a packet by its destination.
#[inline(always)]
pub fn judge_unseen(
    tables: &impl Tables,
    socket: &impl Process,
    destination: &Destination,
) -> Packet {
    match judge_connect(tables, socket, destination) {
        // A grant is for one endpoint, and what can't be read may go to another one there.
        Verdict::Granted { .. } if destination.port == PORT_UNKNOWN => {
            Packet::Drop(fault::UNPARSED)
        }
        Verdict::Unprotected | Verdict::Exempt(_) => Packet::Free,
        Verdict::Granted { .. } => Packet::Granted,
        // What can't be read may go to another endpoint there, which is not only observed;
        // unless all are.
        Verdict::Ask {
            first: first::OBSERVE,
            ..
        } if destination.port != PORT_UNKNOWN || observes(tables) => Packet::Free,
        Verdict::Ask { .. } if destination.port == PORT_UNKNOWN => Packet::Drop(fault::UNPARSED),
        // A connection that was let through by itself, or is older and was left alone.
        Verdict::Ask { endpoint, .. } if is_kept(tables, socket.cookie(), endpoint) => {
            Packet::Granted
        }
        Verdict::Ask { .. } => Packet::Drop(fault::UNSEEN_SOCKET),
        Verdict::Fault(fault) => Packet::Drop(fault),
    }
}

/// True if the whole policy only observes.
#[inline(always)]
fn observes(tables: &impl Tables) -> bool {
    tables.config().is_some_and(|config| config.observes != 0)
}

/// True if the daemon has let this one socket through, or be.
#[inline(always)]
fn is_kept(tables: &impl Tables, cookie: u64, endpoint: u32) -> bool {
    let grant = tables.grant(&key_of_socket(cookie, endpoint));
    grant.is_some_and(|grant| tables.now() < grant.cut_ns)
}

/// The key of a grant of one socket.
#[inline(always)]
#[must_use]
pub fn key_of_socket(cookie: u64, endpoint: u32) -> GrantKey {
    GrantKey {
        id: cookie,
        scope: scope::SOCKET,
        endpoint,
    }
}

/// The endpoint that a destination belongs to; 0 if none.
///
/// # Errors
/// [`fault::INCONSISTENT`] if the prefix names a class that isn't there.
#[inline(always)]
pub fn endpoint_of(tables: &impl Tables, destination: &Destination) -> Result<u32, u32> {
    if !destination.has_ports() {
        return Ok(0);
    }
    let Some(class) = class_of(tables, &destination.address) else {
        return Ok(0);
    };
    let Some(class) = tables.class(class) else {
        return Err(fault::INCONSISTENT);
    };
    for (index, range) in class.ranges.iter().enumerate().take(MAX_CLASS_PORTS) {
        if index as u32 >= class.len {
            break;
        }
        if covers(range, destination) {
            return Ok(range.endpoint);
        }
    }
    Ok(0)
}

#[inline(always)]
fn covers(range: &PortRange, destination: &Destination) -> bool {
    let spoken = match destination.protocol {
        protocol::UDP_LITE => protocol::UDP,
        other => other,
    };
    let any = range.protocol == protocol::ANY || destination.protocol == protocol::UNKNOWN;
    if !any && range.protocol != spoken {
        return false;
    }
    destination.port == PORT_UNKNOWN
        || (destination.port >= u32::from(range.first) && destination.port <= u32::from(range.last))
}

/// Who is asked: the owner of the session's slice, else a gated uid itself, else nobody.
#[inline(always)]
fn subject_of(tables: &impl Tables, config: &Config, process: &impl Process) -> Option<u32> {
    if config.user_slice != 0 && process.ancestor(config.user_slice_level) == config.user_slice {
        let session = session_at(config, process);
        return Some(tables.slice_owner(session).unwrap_or(UID_UNKNOWN));
    }
    let uid = process.uid();
    for (index, range) in config.uids.iter().enumerate().take(MAX_UID_RANGES) {
        if index as u32 >= config.uid_ranges {
            break;
        }
        if uid >= range.first && uid <= range.last {
            return Some(uid);
        }
    }
    None
}

/// The cgroup of the session that a process is in; 0 without settings.
#[inline(always)]
pub fn session_of(tables: &impl Tables, process: &impl Process) -> u64 {
    tables
        .config()
        .map_or(0, |config| session_at(config, process))
}

#[inline(always)]
fn session_at(config: &Config, process: &impl Process) -> u64 {
    process.ancestor(config.user_slice_level.wrapping_add(1))
}

/// Whose budget an attempt takes: the subject's, or the session's while nobody knows whose it
/// is.
#[inline(always)]
pub fn budget_of(tables: &impl Tables, process: &impl Process, subject: u32) -> u64 {
    if subject == UID_UNKNOWN {
        session_of(tables, process) | BUDGET_OF_SESSION
    } else {
        u64::from(subject)
    }
}

/// Takes one attempt out of a budget: its new [`stile_common::Budget::due_ns`], or `None` if it
/// has run as far ahead as it may. `busy` says that the daemon has much to read.
#[inline(always)]
pub fn spend(config: &Config, due_ns: u64, now: u64, busy: bool) -> Option<u64> {
    let ahead = if busy {
        config.ahead_busy_ns
    } else {
        config.ahead_ns
    };
    let start = if due_ns > now { due_ns } else { now };
    (start - now <= ahead).then(|| start.wrapping_add(config.attempt_ns))
}

/// The grant of a user, or else of the socket, for an endpoint, if it is good.
#[inline(always)]
fn grant_of(
    tables: &impl Tables,
    cookie: u64,
    subject: u32,
    endpoint: u32,
    is_good: impl Fn(&GrantValue) -> bool,
) -> Option<GrantValue> {
    if let Some(grant) = grant_of_user(tables, subject, endpoint)
        && is_good(&grant)
    {
        return Some(grant);
    }
    let grant = tables.grant(&key_of_socket(cookie, endpoint))?;
    is_good(&grant).then_some(grant)
}

/// Nobody has the grant of somebody unknown.
#[inline(always)]
fn grant_of_user(tables: &impl Tables, subject: u32, endpoint: u32) -> Option<GrantValue> {
    if subject == UID_UNKNOWN {
        return None;
    }
    tables.grant(&GrantKey {
        id: u64::from(subject),
        scope: scope::USER,
        endpoint,
    })
}

/// The grant that lets a new connection, or one that is held, through now.
#[inline(always)]
pub fn live_grant(
    tables: &impl Tables,
    cookie: u64,
    subject: u32,
    endpoint: u32,
) -> Option<GrantValue> {
    let now = tables.now();
    let is_live = |grant: &GrantValue| now < grant.expires_ns;
    grant_of(tables, cookie, subject, endpoint, is_live)
}

/// The grant that a connection which was let through goes on under: one that was not revoked
/// and does not cut yet.
#[inline(always)]
pub fn kept_grant(
    tables: &impl Tables,
    cookie: u64,
    subject: u32,
    endpoint: u32,
) -> Option<GrantValue> {
    let now = tables.now();
    let is_kept = |grant: &GrantValue| now < grant.cut_ns;
    grant_of(tables, cookie, subject, endpoint, is_kept)
}

#[inline(always)]
fn first_of(tables: &impl Tables, endpoint: u32, subject: u32) -> u32 {
    // Somebody unknown may turn out to be anybody: the daemon finds out and decides.
    if subject == UID_UNKNOWN {
        return first::HOLD;
    }
    tables
        .first(&FirstKey {
            endpoint,
            uid: subject,
        })
        .or_else(|| {
            tables.first(&FirstKey {
                endpoint,
                uid: UID_ANY,
            })
        })
        .unwrap_or(first::DENY)
}

const _: () = assert!(ENDPOINT_ANY == 0, "endpoint_of says 0 for none");
