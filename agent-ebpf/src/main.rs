// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The kernel program of stile.
//!
//! It sits on the connect hooks and on the packet hooks of the root cgroup. A connect to a
//! protected endpoint by a gated subject without a grant is parked: the socket stays in
//! SYN_SENT, its SYN is dropped at egress and handed to the daemon, which replays it when the
//! user has stepped up. What goes wrong is denied and counted.
//!
//! The decision is in `stile-gate`, which the tests run in user space.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

mod connect;
mod hold;
mod maps;
mod packets;
mod process;
mod report;

use aya_ebpf::macros::{cgroup_skb, cgroup_sock_addr};
use aya_ebpf::programs::{SkBuffContext, SockAddrContext};

use crate::connect::Family;

/// Lets the operation go on.
const ALLOW: i32 = 1;
/// Ends it with EPERM; drops the packet.
const REFUSE: i32 = 0;

/// TCP and UDP connect over IPv4.
#[cgroup_sock_addr(connect4)]
pub fn stile_connect4(context: SockAddrContext) -> i32 {
    connect::connect(&context, Family::V4)
}

/// TCP and UDP connect over IPv6, and over IPv4 from an IPv6 socket.
#[cgroup_sock_addr(connect6)]
pub fn stile_connect6(context: SockAddrContext) -> i32 {
    connect::connect(&context, Family::V6)
}

/// What `stile_connect4` goes on to while the daemon lives.
#[cgroup_sock_addr(connect4)]
pub fn stile_hold4(context: SockAddrContext) -> i32 {
    hold::ask(&context, Family::V4)
}

/// What `stile_connect6` goes on to while the daemon lives.
#[cgroup_sock_addr(connect6)]
pub fn stile_hold6(context: SockAddrContext) -> i32 {
    hold::ask(&context, Family::V6)
}

/// Every packet that leaves a socket.
#[cgroup_skb(egress)]
pub fn stile_egress(context: SkBuffContext) -> i32 {
    packets::egress(&context)
}

/// Every packet that arrives at a socket.
#[cgroup_skb(ingress)]
pub fn stile_ingress(context: SkBuffContext) -> i32 {
    packets::ingress(&context)
}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier accepts no program from which this can be reached.
    loop {}
}

/// Off the kernel this crate is compiled only to be checked.
#[cfg(not(target_arch = "bpf"))]
fn main() {}

/// Helpers that the program uses are reserved to GPL-compatible ones.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
