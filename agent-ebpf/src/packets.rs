// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The packet hooks: park SYNs, end what has expired, stop what went round the connect hooks.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::{__sk_buff, bpf_sock};
use aya_ebpf::check_bounds_signed;
use aya_ebpf::helpers::generated::{bpf_sk_fullsock, bpf_sk_storage_get, bpf_skb_load_bytes};
use aya_ebpf::programs::SkBuffContext;
use stile_common::{
    Cut, ENDPOINT_ANY, MAX_SYN, SHORT_SYN, SocketState, Syn, SynHeader, UID_UNKNOWN, fault,
    protocol, record_kind, verdict,
};
use stile_gate::{
    Direction, Packet, Process as _, Tables as _, class_of, glance, is_anything_protected,
    judge_packet, kept_grant, live_grant, parse,
};

use crate::connect::generation;
use crate::maps::{ATTEMPTS, KernelTables, SOCKETS, count};
use crate::process::Sending;
use crate::{ALLOW, REFUSE, report};

/// Judges a packet that leaves a socket, or one that arrives at it: what a server sends after
/// the end of a grant is not for the client, even if nobody is there to end the connection.
#[inline(always)]
pub fn judge(context: &SkBuffContext, direction: Direction) -> i32 {
    let skb = context.as_ptr().cast::<__sk_buff>();
    let Some(sk) = socket_of(skb) else {
        return ALLOW;
    };
    let state = state_of(sk);
    if let Some(state) = &state
        && state.verdict == verdict::EXEMPT
        && state.endpoint == ENDPOINT_ANY
    {
        return ALLOW;
    }
    // A verdict counts for the packets of a TCP socket only: no other is bound to one
    // destination.
    let mut state = state.filter(|_| is_tcp(sk));
    if let Some(state) = &mut state {
        // One that wasn't gated, or is held, by an earlier policy is judged again by its packet.
        let is_stale = state.epoch != generation();
        match state.verdict {
            verdict::GRANTED => return granted(skb, state),
            verdict::HELD if !is_stale => return held(skb, sk, state, direction),
            verdict::EXEMPT if !is_stale => return ALLOW,
            verdict::HELD | verdict::EXEMPT => {}
            _ => return REFUSE,
        }
    }
    match (unseen(skb, direction), state) {
        // The policy may protect or gate something else than when the socket was connected.
        (Packet::Free, Some(state)) => {
            state.verdict = verdict::EXEMPT;
            state.epoch = generation();
            ALLOW
        }
        (_, Some(state)) if state.verdict == verdict::HELD => held(skb, sk, state, direction),
        (Packet::Free | Packet::Granted, _) => ALLOW,
        (Packet::Drop(fault), _) => {
            count(fault);
            REFUSE
        }
    }
}

/// The socket of a packet. One without a full structure (a handshake of a listener, a
/// connection in TIME_WAIT) carries no data of a client.
#[inline(always)]
fn socket_of(skb: *mut __sk_buff) -> Option<*mut bpf_sock> {
    // SAFETY: the context is valid while the hook runs; the helper is called with a pointer
    // that was checked, and answers null for a socket that isn't full.
    unsafe {
        let sk = (&raw const (*skb).__bindgen_anon_2.sk).read_volatile();
        if sk.is_null() {
            return None;
        }
        let sk = bpf_sk_fullsock(sk);
        (!sk.is_null()).then_some(sk)
    }
}

/// Passes until the grant cuts; after a revocation or a reload asks for the grant again.
#[inline(always)]
fn granted(skb: *mut __sk_buff, state: &mut SocketState) -> i32 {
    let Some(config) = KernelTables.config() else {
        return REFUSE;
    };
    let now = KernelTables.now();
    if now < state.cut_ns && state.epoch == config.epoch {
        return ALLOW;
    }
    let cookie = Sending(skb).cookie();
    if let Some(grant) = kept_grant(&KernelTables, cookie, state.subject, state.endpoint) {
        state.cut_ns = grant.cut_ns;
        state.grant = grant.grant;
        state.epoch = config.epoch;
        return ALLOW;
    }
    state.verdict = verdict::CUT;
    report::cut(&Cut {
        kind: record_kind::CUT,
        endpoint: state.endpoint,
        cookie,
        boot_ns: now,
        grant: state.grant,
    });
    REFUSE
}

/// Goes on if a grant has come, else stays parked and hands out its first SYN.
#[inline(always)]
fn held(
    skb: *mut __sk_buff,
    sk: *mut bpf_sock,
    state: &mut SocketState,
    direction: Direction,
) -> i32 {
    if release(skb, state) {
        return ALLOW;
    }
    if state.captured == 0 && direction == Direction::Leaving {
        if capture(skb, sk) {
            state.captured = 1;
        } else {
            count(fault::SYN_LOST);
        }
    }
    REFUSE
}

/// Lets a held socket go on if a grant has come. The daemon may have learned meanwhile whose
/// session it is.
#[inline(always)]
fn release(skb: *mut __sk_buff, state: &mut SocketState) -> bool {
    if state.subject == UID_UNKNOWN
        && let Some(owner) = KernelTables.slice_owner(state.session)
    {
        state.subject = owner;
    }
    let cookie = Sending(skb).cookie();
    let grant = live_grant(&KernelTables, cookie, state.subject, state.endpoint);
    let (Some(grant), Some(config)) = (grant, KernelTables.config()) else {
        return false;
    };
    state.cut_ns = grant.cut_ns;
    state.grant = grant.grant;
    state.epoch = config.epoch;
    state.verdict = verdict::GRANTED;
    true
}

/// Copies the packet to the daemon. A short record for the usual SYN keeps the ring roomy.
#[inline(always)]
fn capture(skb: *mut __sk_buff, sk: *mut bpf_sock) -> bool {
    // SAFETY: the context is valid while the hook runs.
    let len = unsafe { (&raw const (*skb).len).read_volatile() };
    // The compiler would make one comparison of two; the verifiers of 5.10 and 6.1 learn the lower
    // bound only from one of its own.
    if !check_bounds_signed(len, 1, MAX_SYN as u32) {
        return false;
    }
    if len as usize <= SHORT_SYN {
        capture_into::<SHORT_SYN>(skb, sk, len)
    } else {
        capture_into::<MAX_SYN>(skb, sk, len)
    }
}

#[inline(always)]
fn capture_into<const N: usize>(skb: *mut __sk_buff, sk: *mut bpf_sock, len: u32) -> bool {
    let Some(mut entry) = ATTEMPTS.reserve::<Syn<N>>(0) else {
        return false;
    };
    let syn = entry.as_mut_ptr();
    // SAFETY: the entry has room for a whole record, and len is at most N (see capture()).
    // What lies beyond len was never written; the reader looks at len bytes only.
    let copied = unsafe {
        (&raw mut (*syn).header).write(SynHeader {
            kind: record_kind::SYN,
            len,
            cookie: Sending(skb).cookie(),
            interface: (&raw const (*sk).bound_dev_if).read_volatile(),
            reserved: 0,
        });
        bpf_skb_load_bytes(skb.cast(), 0, (&raw mut (*syn).packet).cast(), len)
    };
    if copied == 0 {
        entry.submit(0);
        true
    } else {
        entry.discard(0);
        false
    }
}

/// Judges a packet of a socket that no connect hook has judged, or of one that isn't bound to
/// one destination.
#[inline(always)]
fn unseen(skb: *mut __sk_buff, direction: Direction) -> Packet {
    let load = |offset: u32| {
        let mut word = [0_u8; 4];
        // SAFETY: four bytes are copied into four.
        let copied = unsafe { bpf_skb_load_bytes(skb.cast(), offset, word.as_mut_ptr().cast(), 4) };
        (copied == 0).then_some(word)
    };
    // Most packets are none of the gate's business, and this tells so without copying them.
    if !is_anything_protected(&KernelTables) {
        return Packet::Free;
    }
    if let Some(address) = glance(|offset| peek(skb, offset), direction)
        && class_of(&KernelTables, &address).is_none()
    {
        return Packet::Free;
    }
    match parse(load, direction) {
        Some(parsed) => judge_packet(&KernelTables, &Sending(skb), &parsed),
        None => Packet::Free,
    }
}

/// Four bytes of a packet, where they lie in the first part of it.
#[inline(always)]
fn peek(skb: *mut __sk_buff, offset: u32) -> Option<[u8; 4]> {
    // SAFETY: the context is valid while the hook runs; the kernel makes pointers of these two
    // words, and its verifier sees to it that what is read lies between them.
    unsafe {
        let start = (&raw const (*skb).data).read_volatile() as usize;
        let end = (&raw const (*skb).data_end).read_volatile() as usize;
        let at = start + offset as usize;
        if at + 4 > end {
            return None;
        }
        Some((at as *const [u8; 4]).read())
    }
}

/// The verdict of a socket, if it has one.
#[inline(always)]
fn state_of<'a>(sk: *mut bpf_sock) -> Option<&'a mut SocketState> {
    // SAFETY: sk is a full socket; the kernel keeps the state until the program ends. Two CPUs
    // that send on one socket at once may both write it: each field is one aligned word, and
    // every order of the writes ends in one of the two answers.
    unsafe {
        let sockets = (&raw const SOCKETS).cast_mut().cast();
        let state = bpf_sk_storage_get(sockets, sk.cast(), core::ptr::null_mut(), 0);
        state.cast::<SocketState>().as_mut()
    }
}

#[inline(always)]
fn is_tcp(sk: *mut bpf_sock) -> bool {
    // SAFETY: sk is a full socket; the field is one word.
    unsafe { (&raw const (*sk).protocol).read_volatile() == u32::from(protocol::TCP) }
}
