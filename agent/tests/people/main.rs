// SPDX-License-Identifier: Apache-2.0 OR MIT
//! People and the agent, on a real bus and a real terminal: a dbus-daemon of our own, of type
//! "system", with the policy that we package, and the `stile` command on a pseudo-terminal.
//!
//! It needs root, to call as somebody else, and dbus-daemon, dbus-send and setpriv. Where one
//! of these is missing the tests fail.

#![expect(
    clippy::unwrap_used,
    reason = "these are tests; clippy sees that only of functions marked as such"
)]

mod bus;
mod command;
mod prompters;
mod support;
