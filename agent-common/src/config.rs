// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
//! What the daemon tells the gate: who is gated, and what happens at a first attempt.

use crate::assert_layout;
use crate::filter::Search;

/// Most ranges of gated uids that a [`Config`] holds.
pub const MAX_UID_RANGES: usize = 16;

/// The subject of a [`FirstKey`] that stands for everybody who has no entry of their own.
///
/// `(uid_t)-1` is never a real uid (`setresuid(2)`).
pub const UID_ANY: u32 = u32::MAX;

/// The subject of an attempt whose session the kernel doesn't know yet: a process below
/// `user.slice` whose `user-UID.slice` the daemon has not reported. No grant can match it.
pub const UID_UNKNOWN: u32 = u32::MAX - 1;

/// A closed range of uids. `first > last` matches nobody.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UidRange {
    /// Lowest uid of the range.
    pub first: u32,
    /// Highest uid of the range.
    pub last: u32,
}
assert_layout!(UidRange, 8, 4);

/// The gate's settings, one element of the map `CONFIG`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Id of the cgroup `user.slice`; 0 where there is none. Everything below it is gated.
    pub user_slice: u64,
    /// Longest time, in nanoseconds, that the daemon may leave an attempt unread before the
    /// gate takes it for dead and refuses at once.
    pub patience_ns: u64,
    /// What an attempt costs its subject, in nanoseconds: one over the rate that is admitted
    /// for ever.
    pub attempt_ns: u64,
    /// How far, in nanoseconds, a subject's attempts may run ahead of that rate.
    pub ahead_ns: u64,
    /// The same while the ring of attempts is more than half full, so that one subject can't
    /// take the place of all others.
    pub ahead_busy_ns: u64,
    /// Counts what makes sockets ask for their grant again: revocation, reload.
    pub epoch: u32,
    /// Counts what makes sockets that weren't gated be judged again: start, reload.
    pub generation: u32,
    /// Depth of `user.slice` below the root of the hierarchy (the root is 0).
    pub user_slice_level: u32,
    /// `TCP_SYNCNT` of a held socket; 0 leaves the socket's own.
    pub syn_count: u32,
    /// How many of `uids` count.
    pub uid_ranges: u32,
    /// Not 0: the whole policy only observes, and every first attempt is let through
    /// ([`first::OBSERVE`]).
    pub observes: u32,
    /// How an address is looked for.
    pub search: Search,
    /// Gated uids.
    pub uids: [UidRange; MAX_UID_RANGES],
}
assert_layout!(Config, 128 + 8 * MAX_UID_RANGES, 8);

/// Key of the map `FIRST`: what happens when this subject first reaches this endpoint.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FirstKey {
    /// The endpoint.
    pub endpoint: u32,
    /// The subject, or [`UID_ANY`].
    pub uid: u32,
}
assert_layout!(FirstKey, 8, 4);

/// Values of the map `FIRST`.
pub mod first {
    /// No rule lets this subject through: refuse at once. Also the answer where the map
    /// has no entry.
    pub const DENY: u32 = 0;
    /// Let the connect go on and park its SYN (TCP only; anything else is rejected).
    pub const HOLD: u32 = 1;
    /// Refuse now, ask, and let a later attempt through.
    pub const REJECT: u32 = 2;
    /// Let it through, whether the daemon lives or not, and tell the daemon.
    pub const OBSERVE: u32 = 3;
}
