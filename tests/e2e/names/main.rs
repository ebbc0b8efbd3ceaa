// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Host names as endpoints: what they stand for is learned from real name servers (dnsmasq) and,
//! for wildcards, from systemd-resolved; it is followed, and it outlives both.

mod following;
mod resolved;
mod scene;
mod wildcards;
