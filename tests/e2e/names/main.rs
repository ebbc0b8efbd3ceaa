// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Host names as endpoints: what they stand for is learned from real name servers (dnsmasq) and,
//! for wildcards, from systemd-resolved; it is followed, and it outlives both.
#![expect(
    clippy::unwrap_used,
    reason = "what fails here fails the test, with its place"
)]

mod following;
mod resolved;
mod scene;
mod wildcards;
