// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The factors of people: several devices, hardware tokens, recovery codes, wrong answers, and how
//! their secrets are kept (S5, S7).

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what fails here fails the test, with its place"
)]

mod clocks;
mod devices;
mod disks;
mod emergencies;
mod importing;
mod keys;
mod ledgers;
mod locking;
mod malware;
mod memory;
mod migrating;
mod pam;
mod pam_failures;
mod races;
mod reasons;
mod recovery;
mod rotating;
mod scene;
mod secrets;
mod terminal;
mod tokens;
