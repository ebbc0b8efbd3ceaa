// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What happens to connections: they wait for their user's proof, live as long as its grant,
//! and everything else is left alone.

#![expect(
    clippy::unwrap_used,
    reason = "these are tests; clippy sees that only of functions marked as such"
)]

mod audit;
mod grants;
mod holding;
mod psql;
mod refusing;
mod sessions;
mod sizes;
mod subjects;
mod unprotected;
