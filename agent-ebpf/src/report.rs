// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! What the daemon is told.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::generated::{
    bpf_get_current_cgroup_id, bpf_get_current_comm, bpf_get_netns_cookie,
};
use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_get_current_uid_gid};
use aya_ebpf::programs::SockAddrContext;
use stile_common::{Attempt, Cut, fault, record_kind};
use stile_gate::{Destination, Process as _, Tables as _};

use crate::maps::{ATTEMPTS, FLOWS, FLOWS_SIZE, KernelTables, count};
use crate::process::Connecting;

/// `BPF_RB_NO_WAKEUP`: waking the reader costs about thirty times the rest of the hook.
const NO_WAKEUP: u64 = 1;
/// `BPF_RB_FORCE_WAKEUP`.
const FORCE_WAKEUP: u64 = 2;
/// `BPF_RB_AVAIL_DATA`: how many bytes of a ring are unread.
pub const UNREAD_BYTES: u64 = 0;

/// What the gate decided.
pub struct Outcome {
    /// One of [`stile_common::disposition`].
    pub disposition: u8,
    /// The endpoint.
    pub endpoint: u32,
    /// Who was judged.
    pub subject: u32,
    /// By which grant, or 0.
    pub grant: u64,
}

/// Writes the record of an attempt where it is to lie: the kernel's stack is small.
///
/// # Safety
/// `record` must have room for an [`Attempt`]; afterwards it holds one.
#[inline(always)]
pub unsafe fn write(
    record: *mut Attempt,
    context: &SockAddrContext,
    to: &Destination,
    outcome: Outcome,
) {
    let ids = bpf_get_current_pid_tgid();
    let owner = bpf_get_current_uid_gid();
    // SAFETY: the caller has room; every field is written, and the type has no padding. The
    // helpers read the program's own context, and write within the record.
    unsafe {
        (&raw mut (*record).kind).write(record_kind::ATTEMPT);
        (&raw mut (*record).protocol).write(to.protocol);
        (&raw mut (*record).disposition).write(outcome.disposition);
        (&raw mut (*record).port).write(to.port as u16);
        (&raw mut (*record).cookie).write(Connecting(context).cookie());
        (&raw mut (*record).boot_ns).write(KernelTables.now());
        (&raw mut (*record).cgroup).write(bpf_get_current_cgroup_id());
        (&raw mut (*record).netns).write(bpf_get_netns_cookie(context.as_ptr()));
        (&raw mut (*record).grant).write(outcome.grant);
        (&raw mut (*record).pid).write((ids >> 32) as u32);
        (&raw mut (*record).tid).write(ids as u32);
        (&raw mut (*record).uid).write(owner as u32);
        (&raw mut (*record).gid).write((owner >> 32) as u32);
        (&raw mut (*record).subject).write(outcome.subject);
        (&raw mut (*record).endpoint).write(outcome.endpoint);
        (&raw mut (*record).address).write(to.address.octets());
        // It fails only without a task, and then leaves zeroes (bpf_get_current_comm in the
        // kernel's kernel/bpf/helpers.c).
        bpf_get_current_comm((&raw mut (*record).comm).cast(), COMM_LEN);
    }
}

/// `TASK_COMM_LEN`.
const COMM_LEN: u32 = 16;

/// Reports an attempt that needs the daemon, and wakes it.
#[inline(always)]
pub fn to_daemon(attempt: &Attempt) -> Result<(), i32> {
    ATTEMPTS.output::<Attempt>(attempt, 0)
}

/// Reports a connection that a grant let through. A loss is counted, and shown in the log.
#[inline(always)]
pub fn flow(context: &SockAddrContext, to: &Destination, outcome: Outcome) {
    let Some(mut entry) = FLOWS.reserve::<Attempt>(0) else {
        count(fault::FLOW_LOST);
        return;
    };
    // SAFETY: the entry has room for a record.
    unsafe { write(entry.as_mut_ptr(), context, to, outcome) };
    // Only who passes the middle wakes the daemon, which otherwise comes by itself now and then.
    // Several CPUs that write at once may step over one place, but hardly over so many.
    let unread = FLOWS.query(UNREAD_BYTES);
    let middle = FLOWS_SIZE / 2..FLOWS_SIZE / 2 + FLOWS_SIZE / 128;
    entry.submit(if middle.contains(&unread) {
        FORCE_WAKEUP
    } else {
        NO_WAKEUP
    });
}

/// Reports a connection whose grant has ended. If it is lost the daemon finds the connection
/// when it looks for those of the grant.
#[inline(always)]
pub fn cut(cut: &Cut) {
    let _ = ATTEMPTS.output::<Cut>(cut, 0);
}
