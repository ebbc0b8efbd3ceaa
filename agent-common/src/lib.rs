// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
//! The binary interface between stile's kernel program and its daemon: what lies in the
//! maps and what travels through the rings, and nothing else.
//!
//! Every type is `repr(C)`, of fixed width, without hidden padding; each layout is asserted
//! at compile time. No `bool`, `enum` or `Option` crosses: an enumeration crosses as an
//! integer with named constants. Ports are in host byte order, addresses in network byte
//! order. Times are nanoseconds of `CLOCK_BOOTTIME`, so that a suspended machine does not
//! stretch a grant.
#![no_std]

mod config;
mod filter;
mod grant;
mod port;
mod record;
mod socket;
#[cfg(feature = "user")]
mod user;

pub use config::{Config, FirstKey, MAX_UID_RANGES, UID_ANY, UID_UNKNOWN, UidRange, first};
pub use filter::{
    FILTER_WORDS, FilterBits, LEVELS, MAX_NAT64, Search, filter_v4, filter_v6, level_of, search,
};
pub use grant::{BUDGET_OF_SESSION, Budget, ENDPOINT_ANY, GrantKey, GrantValue, scope};
pub use port::{MAX_CLASS_PORTS, PORT_UNKNOWN, PortClass, PortRange, protocol};
pub use record::{
    Attempt, Cut, MAX_SYN, SHORT_SYN, Syn, SynHeader, disposition, fault, record_kind,
};
pub use socket::{SocketState, verdict};

/// Version of everything in this crate. A daemon adopts pinned maps of its own version only.
pub const ABI_VERSION: u32 = 3;

/// Asserts size and alignment of a shared type at compile time.
macro_rules! assert_layout {
    ($type:ty, $size:expr, $align:expr) => {
        const _: () = assert!(size_of::<$type>() == $size);
        const _: () = assert!(align_of::<$type>() == $align);
    };
}
pub(crate) use assert_layout;
