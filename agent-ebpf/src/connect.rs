// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The connect hooks: one question, and on the fast path nothing else.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::programs::SockAddrContext;
use stile_common::{GrantValue, SocketState, disposition, fault, protocol, verdict};
use stile_gate::{Address, Destination, Tables as _, Verdict, judge_connect};

use crate::maps::{HOLD4, HOLD6, KernelTables, SOCKETS, count};
use crate::process::Connecting;
use crate::{ALLOW, REFUSE, report};

/// Which hook it is.
#[derive(Clone, Copy)]
pub enum Family {
    /// An IPv4 address was given.
    V4,
    /// An IPv6 address was given.
    V6,
}

/// Judges a connect. What needs the daemon goes on in the hold program.
#[inline(always)]
pub fn connect(context: &SockAddrContext, family: Family) -> i32 {
    judge(context, family, |_, _| {
        let next = match family {
            Family::V4 => &HOLD4,
            Family::V6 => &HOLD6,
        };
        // SAFETY: nothing here needs to be dropped. If the daemon is gone the array is empty
        // and the call returns.
        unsafe { next.tail_call(context, 0) };
        count(fault::DAEMON_GONE);
        REFUSE
    })
}

/// A subject without a grant.
pub struct Ask {
    /// The endpoint.
    pub endpoint: u32,
    /// Who.
    pub subject: u32,
    /// One of [`stile_common::first`].
    pub first: u32,
}

/// Judges a connect, acts on the verdict, and leaves what needs the daemon to `ask`.
#[inline(always)]
pub fn judge(
    context: &SockAddrContext,
    family: Family,
    ask: impl FnOnce(&Destination, Ask) -> i32,
) -> i32 {
    let destination = destination(context, family);
    match judge_connect(&KernelTables, &Connecting(context), &destination) {
        Verdict::Unprotected => {
            forget(context, &destination);
            ALLOW
        }
        Verdict::Exempt(endpoint) => {
            let state = SocketState {
                verdict: verdict::EXEMPT,
                endpoint,
                ..FRESH
            };
            remember(context, &destination, state)
        }
        Verdict::Granted {
            endpoint,
            subject,
            grant,
        } => {
            let epoch = KernelTables.config().map_or(0, |config| config.epoch);
            let GrantValue { cut_ns, grant, .. } = grant;
            let verdict = verdict::GRANTED;
            let state = SocketState {
                verdict,
                endpoint,
                subject,
                epoch,
                cut_ns,
                grant,
                ..FRESH
            };
            let stored = remember(context, &destination, state);
            if stored == ALLOW {
                let disposition = disposition::GRANTED;
                let outcome = report::Outcome {
                    disposition,
                    endpoint,
                    subject,
                    grant,
                };
                report::flow(context, &destination, outcome);
            }
            stored
        }
        Verdict::Ask {
            endpoint,
            subject,
            first,
        } => ask(
            &destination,
            Ask {
                endpoint,
                subject,
                first,
            },
        ),
        Verdict::Fault(fault) => {
            count(fault);
            REFUSE
        }
    }
}

/// The state of a socket of which nothing is known.
pub const FRESH: SocketState = SocketState {
    verdict: 0,
    endpoint: 0,
    subject: 0,
    epoch: 0,
    cut_ns: 0,
    grant: 0,
    session: 0,
    captured: 0,
    reserved: 0,
};

/// Writes a verdict to the socket. Only TCP sockets are bound to one destination; every
/// packet of another socket is judged on its own.
#[inline(always)]
pub fn remember(context: &SockAddrContext, to: &Destination, mut state: SocketState) -> i32 {
    if to.protocol != protocol::TCP {
        return ALLOW;
    }
    // SAFETY: the socket is the context's own and lives while the hook runs; the pointer is
    // checked before it is used.
    let stored = unsafe { SOCKETS.get_or_insert_ptr_mut(context, Some(&mut state)) };
    if stored.is_null() {
        count(fault::NO_STATE);
        return REFUSE;
    }
    // SAFETY: not null, and the kernel keeps it until the program ends. A socket that
    // connects again has an older verdict there, which this one replaces.
    unsafe { *stored = state };
    ALLOW
}

/// Removes the verdict of an earlier connect of the same socket.
#[inline(always)]
pub fn forget(context: &SockAddrContext, to: &Destination) {
    if to.protocol == protocol::TCP {
        // SAFETY: as in remember().
        let _ = unsafe { SOCKETS.delete((*context.sock_addr).__bindgen_anon_1.sk) };
    }
}

/// Reads where the connect goes. Each field is read on its own and once: the verifier knows
/// the context's fields by their offsets and sizes.
#[inline(always)]
pub fn destination(context: &SockAddrContext, family: Family) -> Destination {
    let raw = context.as_ptr().cast::<aya_ebpf::bindings::bpf_sock_addr>();
    // SAFETY: the context is valid while the hook runs.
    unsafe {
        let address = match family {
            Family::V4 => {
                Address::from_v4((&raw const (*raw).user_ip4).read_volatile().to_ne_bytes())
            }
            Family::V6 => {
                let words = (&raw const (*raw).user_ip6).cast::<u32>();
                Address::from_v6([
                    words.read_volatile(),
                    words.add(1).read_volatile(),
                    words.add(2).read_volatile(),
                    words.add(3).read_volatile(),
                ])
            }
        };
        let port = (&raw const (*raw).user_port).read_volatile() as u16;
        let protocol = (&raw const (*raw).protocol).read_volatile() as u8;
        Destination {
            address,
            port: u32::from(u16::from_be(port)),
            protocol,
        }
    }
}
