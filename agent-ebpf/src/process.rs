// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Who acts, as the decision asks for it.

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::bpf_get_current_uid_gid;
use aya_ebpf::helpers::generated::{
    bpf_get_current_ancestor_cgroup_id, bpf_get_socket_cookie, bpf_get_socket_uid,
    bpf_skb_ancestor_cgroup_id,
};
use aya_ebpf::programs::SockAddrContext;
use stile_gate::Process;

/// The process that connects.
pub struct Connecting<'a>(pub &'a SockAddrContext);

impl Process for Connecting<'_> {
    #[inline(always)]
    fn uid(&self) -> u32 {
        bpf_get_current_uid_gid() as u32
    }

    #[inline(always)]
    fn ancestor(&self, level: u32) -> u64 {
        // SAFETY: the helper has no preconditions; an impossible level answers 0.
        unsafe { bpf_get_current_ancestor_cgroup_id(level as i32) }
    }

    #[inline(always)]
    fn cookie(&self) -> u64 {
        // SAFETY: the context is the program's own.
        unsafe { bpf_get_socket_cookie(self.0.sock_addr.cast()) }
    }
}

/// The socket that sends: its creator's uid, the cgroup in which it was created.
pub struct Sending(pub *mut __sk_buff);

impl Process for Sending {
    #[inline(always)]
    fn uid(&self) -> u32 {
        // SAFETY: the context is the program's own.
        unsafe { bpf_get_socket_uid(self.0) }
    }

    #[inline(always)]
    fn ancestor(&self, level: u32) -> u64 {
        // SAFETY: the context is the program's own; an impossible level answers 0.
        unsafe { bpf_skb_ancestor_cgroup_id(self.0, level as i32) }
    }

    #[inline(always)]
    fn cookie(&self) -> u64 {
        // SAFETY: the context is the program's own.
        unsafe { bpf_get_socket_cookie(self.0.cast()) }
    }
}
