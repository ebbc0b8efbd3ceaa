// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The agent, the real `stile-pam`, the real libpam, and modules that behave and that don't.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what fails here fails the test, with its place"
)]

mod host;
mod modules;
mod passwords;
