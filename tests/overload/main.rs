// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Promise S4 under load: what doesn't fit is refused, counted and written down, and when it
//! is over nothing of it stays.

#![expect(
    clippy::unwrap_used,
    reason = "what fails here fails the test, with its place"
)]

mod challenges;
mod crowds;
mod limits;
mod maps;
mod rings;
