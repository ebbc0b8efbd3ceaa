// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
//! What the daemon grants.

use crate::assert_layout;

/// The endpoint of a grant that is not bound to one. The daemon gives it to its own raw
/// sockets only, for as long as a replay takes.
pub const ENDPOINT_ANY: u32 = 0;

/// Values of [`GrantKey::scope`].
pub mod scope {
    /// `id` is a socket cookie.
    pub const SOCKET: u32 = 1;
    /// `id` is the subject's uid.
    pub const USER: u32 = 2;
}

/// Key of the map `GRANTS`: one subject, one endpoint.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GrantKey {
    /// Socket cookie or uid, as `scope` says.
    pub id: u64,
    /// One of [`scope`].
    pub scope: u32,
    /// The endpoint.
    pub endpoint: u32,
}
assert_layout!(GrantKey, 16, 8);

/// Value of the map `BUDGETS`: how much of the daemon's attention a subject has taken.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// When all of its attempts so far would have been made at the rate that is admitted for
    /// ever: the theoretical arrival time of the generic cell rate algorithm (ITU-T I.371).
    pub due_ns: u64,
    /// Attempts that were refused because it had no budget left.
    pub refused: u64,
}
assert_layout!(Budget, 16, 8);

/// The flag in a key of `BUDGETS` of a cgroup's id, where nobody knows yet whose session it is;
/// without it the key is a uid.
pub const BUDGET_OF_SESSION: u64 = 1 << 63;

/// Value of the map `GRANTS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrantValue {
    /// The grant lets new connections through before this time.
    pub expires_ns: u64,
    /// Connections that it let through are cut at this time; `u64::MAX` keeps them
    /// (`on_expiry = "keep"`).
    pub cut_ns: u64,
    /// The daemon's number of the grant.
    pub grant: u64,
}
assert_layout!(GrantValue, 24, 8);
