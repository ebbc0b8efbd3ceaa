// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The connect and sendmsg hooks: one question, and on the fast path nothing else.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::programs::SockAddrContext;
use stile_common::{GrantValue, SocketState, disposition, fault, first, protocol, verdict};
use stile_gate::{Address, Destination, Tables as _, Verdict, judge_connect};

use crate::maps::{ASK4, ASK6, HOLD4, HOLD6, KernelTables, SOCKETS, count};
use crate::process::Connecting;
use crate::{ALLOW, REFUSE, report};

/// Which hook it is.
#[derive(Clone, Copy)]
pub enum Hook {
    /// A connect to an IPv4 address.
    Connect4,
    /// A connect to an IPv6 address.
    Connect6,
    /// A datagram to an IPv4 address.
    Send4,
    /// A datagram to an IPv6 address.
    Send6,
}

/// Judges an attempt. What needs the daemon goes on in the program behind the hook's array.
#[inline(always)]
pub fn enter(context: &SockAddrContext, hook: Hook) -> i32 {
    let destination = destination(context, hook);
    let ask = match judge(context, &destination) {
        Judged::Done(answer) => return answer,
        Judged::Ask(ask) => ask,
    };
    // What is only observed passes, whatever becomes of the report.
    let observed = ask.first == first::OBSERVE;
    if observed && !is_worth_telling(context, &destination, &ask) {
        return ALLOW;
    }
    let next = match hook {
        Hook::Connect4 => &HOLD4,
        Hook::Connect6 => &HOLD6,
        Hook::Send4 => &ASK4,
        Hook::Send6 => &ASK6,
    };
    // SAFETY: nothing here needs to be dropped. If the daemon is gone the array is empty
    // and the call returns.
    unsafe { next.tail_call(context, 0) };
    if observed {
        count(fault::FLOW_LOST);
        return ALLOW;
    }
    count(fault::DAEMON_GONE);
    REFUSE
}

/// Lets the packets of a socket pass that is only observed. False for another datagram of a
/// socket of which the first was reported.
#[inline(always)]
fn is_worth_telling(context: &SockAddrContext, to: &Destination, ask: &Ask) -> bool {
    let Ask {
        endpoint, subject, ..
    } = *ask;
    if to.protocol != protocol::TCP {
        let state = SocketState {
            verdict: verdict::REPORTED,
            endpoint,
            subject,
            ..FRESH
        };
        return is_unreported(context, state);
    }
    let state = SocketState {
        verdict: verdict::EXEMPT,
        endpoint,
        epoch: generation(),
        ..FRESH
    };
    // Without a state its packets are judged one by one, and pass as well.
    let _ = remember(context, to, state);
    true
}

/// What came of a judgement.
pub enum Judged {
    /// All that there is to do is done; the program's answer.
    Done(i32),
    /// The daemon must be asked.
    Ask(Ask),
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

/// Judges an attempt, and acts on the verdict unless it needs the daemon.
///
/// The caller goes on with the answer itself, because a closure would not always be inlined: a
/// verifier older than 6.8 loses track of numbers that one function leaves on the stack for
/// another, and takes branches away that depend on them ("bpf: support non-r10 register spill/fill
/// to/from stack in precision tracking" mended it).
#[inline(always)]
pub fn judge(context: &SockAddrContext, destination: &Destination) -> Judged {
    let answer = match judge_connect(&KernelTables, &Connecting(context), destination) {
        Verdict::Unprotected => {
            forget(context, destination);
            ALLOW
        }
        Verdict::Exempt(endpoint) => {
            let state = SocketState {
                verdict: verdict::EXEMPT,
                endpoint,
                epoch: generation(),
                ..FRESH
            };
            remember(context, destination, state)
        }
        Verdict::Granted {
            endpoint,
            subject,
            grant,
        } => {
            let epoch = KernelTables.config().map_or(0, |config| config.epoch);
            let GrantValue { cut_ns, grant, .. } = grant;
            let is_tcp = destination.protocol == protocol::TCP;
            let state = SocketState {
                verdict: if is_tcp {
                    verdict::GRANTED
                } else {
                    verdict::REPORTED
                },
                endpoint,
                subject,
                epoch,
                cut_ns,
                grant,
                ..FRESH
            };
            let is_new = if is_tcp {
                if remember(context, destination, state) == REFUSE {
                    return Judged::Done(REFUSE);
                }
                true
            } else {
                is_unreported(context, state)
            };
            if is_new {
                let disposition = disposition::GRANTED;
                let outcome = report::Outcome {
                    disposition,
                    endpoint,
                    subject,
                    grant,
                };
                report::flow(context, destination, outcome);
            }
            ALLOW
        }
        Verdict::Ask {
            endpoint,
            subject,
            first,
        } => {
            return Judged::Ask(Ask {
                endpoint,
                subject,
                first,
            });
        }
        Verdict::Fault(fault) => {
            count(fault);
            REFUSE
        }
    };
    Judged::Done(answer)
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

/// True for the first datagram of a socket under a grant. Each is judged on its own, but one
/// record for all of them is enough.
#[inline(always)]
fn is_unreported(context: &SockAddrContext, mut state: SocketState) -> bool {
    // SAFETY: as in remember(). Two CPUs that write at once report twice.
    unsafe {
        let stored = SOCKETS.get_or_insert_ptr_mut(context, Some(&mut state));
        if stored.is_null() {
            return true;
        }
        if (*stored).captured == 1
            && (*stored).grant == state.grant
            && (*stored).endpoint == state.endpoint
        {
            return false;
        }
        *stored = state;
        (*stored).captured = 1;
    }
    true
}

/// By which reading of the policy a socket that isn't gated, or is held, was judged.
#[inline(always)]
pub fn generation() -> u32 {
    KernelTables.config().map_or(0, |config| config.generation)
}

/// Removes the verdict of an earlier connect of the same socket.
#[inline(always)]
pub fn forget(context: &SockAddrContext, to: &Destination) {
    if to.protocol == protocol::TCP {
        // SAFETY: as in remember().
        let _ = unsafe { SOCKETS.delete((*context.sock_addr).__bindgen_anon_1.sk) };
    }
}

/// Reads where the attempt goes. Each field is read on its own and once: the verifier knows
/// the context's fields by their offsets and sizes.
#[inline(always)]
pub fn destination(context: &SockAddrContext, hook: Hook) -> Destination {
    let raw = context.as_ptr().cast::<aya_ebpf::bindings::bpf_sock_addr>();
    // SAFETY: the context is valid while the hook runs.
    unsafe {
        let address = match hook {
            Hook::Connect4 | Hook::Send4 => {
                Address::from_v4((&raw const (*raw).user_ip4).read_volatile().to_ne_bytes())
            }
            Hook::Connect6 | Hook::Send6 => {
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
