// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
//! The decision of stile's kernel gate: a function of the destination, the process and the
//! maps, and of nothing else.
//!
//! The kernel program calls it with the kernel's maps behind [`Tables`] and [`Process`]; the
//! tests call it in user space with tables of their own. It has no loop without a bound, no
//! allocation and no panic, because the verifier accepts neither.
#![no_std]

mod destination;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod judge;
mod packet;
mod search;

pub use destination::{Address, Destination};
pub use judge::{
    Packet, Process, Tables, Verdict, budget_of, endpoint_of, judge_connect, judge_packet,
    judge_unseen, kept_grant, key_of_socket, live_grant, session_of, spend,
};
pub use packet::{Direction, Parsed, glance, parse};
pub use search::{class_of, is_anything_protected};

#[cfg(any(test, feature = "fuzzing"))]
extern crate std;
#[cfg(test)]
mod tests;
