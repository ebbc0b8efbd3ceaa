// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
//! What the gate remembers of a socket.

use crate::assert_layout;

/// Values of [`SocketState::verdict`].
pub mod verdict {
    /// The connect passed because its process isn't gated.
    pub const EXEMPT: u32 = 1;
    /// Parked: nothing leaves.
    pub const HELD: u32 = 2;
    /// Let through until `cut_ns`.
    pub const GRANTED: u32 = 3;
    /// Its grant has ended: nothing leaves.
    pub const CUT: u32 = 4;
    /// Says nothing about the socket's packets, each of which is judged on its own: datagrams
    /// of it were reported as passing under `grant`.
    pub const REPORTED: u32 = 5;
}

/// Value of the socket storage `SOCKETS`.
#[repr(C)]
#[cfg_attr(feature = "user", derive(zerocopy::FromBytes))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketState {
    /// One of [`verdict`].
    pub verdict: u32,
    /// The endpoint that it was judged for.
    pub endpoint: u32,
    /// Who was judged.
    pub subject: u32,
    /// [`crate::Config::epoch`] when it was judged; [`crate::Config::generation`] if `verdict`
    /// is EXEMPT or HELD.
    pub epoch: u32,
    /// When its packets stop, if `verdict` is GRANTED.
    pub cut_ns: u64,
    /// The grant, if `verdict` is GRANTED or CUT.
    pub grant: u64,
    /// The cgroup of the session that it was judged in, if `subject` is
    /// [`crate::UID_UNKNOWN`]: the daemon finds out whose it is.
    pub session: u64,
    /// 1 once the first SYN was captured, or the first datagram reported.
    pub captured: u32,
    /// Zero.
    pub reserved: u32,
}
assert_layout!(SocketState, 48, 8);
