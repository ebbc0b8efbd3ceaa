// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
//! What the gate reports through its rings, and what it counts.

use crate::assert_layout;

/// Longest SYN that is captured in a short record, in bytes, IP header included. A plain
/// SYN over IPv4 has 60, one of MPTCP over IPv6 has 92.
pub const SHORT_SYN: usize = 112;

/// Longest SYN that is captured at all, in bytes, IP header included. A longer one (TCP Fast Open with data) is not captured: its retransmission,
/// which carries no data, is.
pub const MAX_SYN: usize = 512;

/// First word of every record.
pub mod record_kind {
    /// An [`super::Attempt`].
    pub const ATTEMPT: u32 = 1;
    /// A [`super::Syn`].
    pub const SYN: u32 = 2;
    /// A [`super::Cut`].
    pub const CUT: u32 = 3;
}

/// What the gate did with an attempt.
pub mod disposition {
    /// Passed under a live grant.
    pub const GRANTED: u8 = 1;
    /// The socket is parked.
    pub const HELD: u8 = 2;
    /// Refused with EPERM; a challenge may let a later attempt through.
    pub const REJECTED: u8 = 3;
    /// Refused with EPERM; no rule lets the subject through.
    pub const DENIED: u8 = 4;
    /// Passed, whatever the policy says: it only observes.
    pub const OBSERVED: u8 = 5;
}

/// Indexes of the per-CPU map `FAULTS`: what went wrong in the gate, each one denied.
pub mod fault {
    /// The ring was full: the attempt could not be reported.
    pub const RING_FULL: u32 = 0;
    /// A socket's state could not be stored.
    pub const NO_STATE: u32 = 1;
    /// The daemon isn't there.
    pub const DAEMON_GONE: u32 = 2;
    /// The daemon left earlier attempts unread for longer than its patience.
    pub const DAEMON_SILENT: u32 = 3;
    /// A map lacked what another one promised.
    pub const INCONSISTENT: u32 = 4;
    /// The held attempt could not be written down.
    pub const HELD_FULL: u32 = 5;
    /// A packet to a protected endpoint of a socket that passed no connect hook.
    pub const UNSEEN_SOCKET: u32 = 6;
    /// A packet to a protected address that could not be parsed.
    pub const UNPARSED: u32 = 7;
    /// Not a denial: a connect under a live grant that could not be reported.
    pub const FLOW_LOST: u32 = 8;
    /// Not a denial: a SYN that could not be captured; its retransmission will be sent.
    pub const SYN_LOST: u32 = 9;
    /// The subject made more attempts than it may.
    pub const THROTTLED: u32 = 10;
    /// How many kinds there are.
    pub const COUNT: u32 = 11;
}

/// A connect to a protected endpoint, by a gated subject.
#[repr(C)]
#[cfg_attr(feature = "user", derive(zerocopy::FromBytes))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// [`record_kind::ATTEMPT`].
    pub kind: u32,
    /// One of [`crate::protocol`].
    pub protocol: u8,
    /// One of [`disposition`].
    pub disposition: u8,
    /// Destination port.
    pub port: u16,
    /// The kernel's name of the socket.
    pub cookie: u64,
    /// When.
    pub boot_ns: u64,
    /// The process's cgroup.
    pub cgroup: u64,
    /// The socket's network namespace, as `SO_NETNS_COOKIE` tells it.
    pub netns: u64,
    /// The grant that let it pass; 0 for any other disposition.
    pub grant: u64,
    /// Process id (thread group), in the initial pid namespace.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// The process's real uid.
    pub uid: u32,
    /// The process's real gid.
    pub gid: u32,
    /// Who is asked: the uid itself, or the owner of the session's slice, or
    /// [`crate::UID_UNKNOWN`].
    pub subject: u32,
    /// The endpoint.
    pub endpoint: u32,
    /// Destination address; IPv4 in its mapped form `::ffff:a.b.c.d`.
    pub address: [u8; 16],
    /// The thread's name; any byte may stand in it, the process chooses it.
    pub comm: [u8; 16],
}
assert_layout!(Attempt, 104, 8);

/// Head of a captured SYN.
#[repr(C)]
#[cfg_attr(feature = "user", derive(zerocopy::FromBytes))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SynHeader {
    /// [`record_kind::SYN`].
    pub kind: u32,
    /// How many bytes of the packet follow.
    pub len: u32,
    /// The socket.
    pub cookie: u64,
    /// The interface that the socket is bound to; 0 for none. It is part of its name.
    pub interface: u32,
    /// Zero.
    pub reserved: u32,
}
assert_layout!(SynHeader, 24, 8);

/// The first SYN of a held socket. `N` is [`SHORT_SYN`] or [`MAX_SYN`]; only the first
/// `header.len` bytes of `packet` count.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Syn<const N: usize> {
    /// What it is.
    pub header: SynHeader,
    /// The packet from its IP header on. Its TCP checksum may be partial.
    pub packet: [u8; N],
}
assert_layout!(Syn<SHORT_SYN>, 24 + SHORT_SYN, 8);
assert_layout!(Syn<MAX_SYN>, 24 + MAX_SYN, 8);

/// A connection that the gate cut because its grant has ended.
#[repr(C)]
#[cfg_attr(feature = "user", derive(zerocopy::FromBytes))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// [`record_kind::CUT`].
    pub kind: u32,
    /// The endpoint.
    pub endpoint: u32,
    /// The socket.
    pub cookie: u64,
    /// When.
    pub boot_ns: u64,
    /// The grant.
    pub grant: u64,
}
assert_layout!(Cut, 32, 8);
