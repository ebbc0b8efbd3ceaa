// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The kernel program of stile.
//!
//! It sits on the connect, the sendmsg and the packet hooks of the root cgroup. A connect to a
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
use stile_gate::Direction;

use crate::connect::Hook;

/// Lets the operation go on.
const ALLOW: i32 = 1;
/// Ends it with EPERM; drops the packet.
const REFUSE: i32 = 0;

/// TCP and UDP connect over IPv4.
#[cgroup_sock_addr(connect4)]
pub fn stile_connect4(context: SockAddrContext) -> i32 {
    connect::enter(&context, Hook::Connect4)
}

/// TCP and UDP connect over IPv6, and over IPv4 from an IPv6 socket.
#[cgroup_sock_addr(connect6)]
pub fn stile_connect6(context: SockAddrContext) -> i32 {
    connect::enter(&context, Hook::Connect6)
}

/// UDP to an IPv4 address that is given with the datagram.
#[cgroup_sock_addr(sendmsg4)]
pub fn stile_sendmsg4(context: SockAddrContext) -> i32 {
    connect::enter(&context, Hook::Send4)
}

/// UDP to an IPv6 address that is given with the datagram.
#[cgroup_sock_addr(sendmsg6)]
pub fn stile_sendmsg6(context: SockAddrContext) -> i32 {
    connect::enter(&context, Hook::Send6)
}

/// What `stile_connect4` goes on to while the daemon lives.
#[cgroup_sock_addr(connect4)]
pub fn stile_hold4(context: SockAddrContext) -> i32 {
    hold::ask(&context, Hook::Connect4)
}

/// What `stile_connect6` goes on to while the daemon lives.
#[cgroup_sock_addr(connect6)]
pub fn stile_hold6(context: SockAddrContext) -> i32 {
    hold::ask(&context, Hook::Connect6)
}

/// What `stile_sendmsg4` goes on to while the daemon lives.
#[cgroup_sock_addr(sendmsg4)]
pub fn stile_ask4(context: SockAddrContext) -> i32 {
    hold::ask(&context, Hook::Send4)
}

/// What `stile_sendmsg6` goes on to while the daemon lives.
#[cgroup_sock_addr(sendmsg6)]
pub fn stile_ask6(context: SockAddrContext) -> i32 {
    hold::ask(&context, Hook::Send6)
}

/// Every packet that leaves a socket.
#[cgroup_skb(egress)]
pub fn stile_egress(context: SkBuffContext) -> i32 {
    packets::judge(&context, Direction::Leaving)
}

/// Every packet that arrives at a socket.
#[cgroup_skb(ingress)]
pub fn stile_ingress(context: SkBuffContext) -> i32 {
    packets::judge(&context, Direction::Arriving)
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
