// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Addresses of the tests' own network.

use std::process::Command;

/// Gives the loopback device one more IPv6 address, for good.
#[track_caller]
pub(crate) fn add_address(address: &str) {
    let arguments = ["-6", "address", "replace", address, "dev", "lo", "nodad"];
    let status = Command::new("ip").args(arguments).status();
    assert!(status.expect("iproute2 is there").success(), "{address}");
}
