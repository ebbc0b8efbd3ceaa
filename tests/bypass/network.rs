// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The tests' own network: its addresses, and what goes over it.

use std::num::NonZeroU32;
use std::os::fd::OwnedFd;
use std::process::Command;

use rustix::net::{self, AddressFamily, Protocol, RecvFlags, SocketFlags, SocketType};

/// Gives the loopback device one more IPv6 address, for good.
#[track_caller]
pub(crate) fn add_address(address: &str) {
    let arguments = ["-6", "address", "replace", address, "dev", "lo", "nodad"];
    let status = Command::new("ip").args(arguments).status();
    assert!(status.expect("iproute2 is there").success(), "{address}");
}

/// `ETH_P_IPV6` of the kernel's include/uapi/linux/if_ether.h.
const ETHERNET_IPV6: u16 = 0x86dd;

/// Everything of IPv6 that goes over the network.
pub(crate) struct Wire(OwnedFd);

impl Wire {
    /// From now on.
    pub(crate) fn new() -> Self {
        let protocol = NonZeroU32::new(ETHERNET_IPV6.to_be().into()).map(Protocol::from_raw);
        let (family, kind) = (AddressFamily::PACKET, SocketType::DGRAM);
        let socket = net::socket_with(family, kind, SocketFlags::CLOEXEC, protocol);
        Self(socket.expect("root may"))
    }

    /// What has gone since the last time.
    pub(crate) fn packets(&self) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        let mut buffer = [0; 2048];
        while let Ok((length, _)) = net::recv(&self.0, &mut buffer, RecvFlags::DONTWAIT) {
            packets.push(buffer[..length].to_vec());
        }
        packets
    }
}
