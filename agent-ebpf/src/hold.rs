// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! What happens to an attempt without a grant, while the daemon lives.

use core::mem::MaybeUninit;

use aya_ebpf::helpers::generated::bpf_setsockopt;
use aya_ebpf::programs::SockAddrContext;
use stile_common::{
    Attempt, Budget, Config, SocketState, UID_UNKNOWN, disposition, fault, first, verdict,
};
use stile_gate::{Destination, Tables as _, budget_of, key_of_socket, session_of, spend};

use crate::connect::{Ask, FRESH, Hook, Judged, destination, forget, generation, judge, remember};
use crate::maps::{ATTEMPTS, ATTEMPTS_SIZE, BUDGETS, GRANTS, HELD, KernelTables, UNREAD, count};
use crate::process::Connecting;
use crate::report::UNREAD_BYTES;
use crate::{ALLOW, REFUSE, report};

/// `BPF_ANY`.
const ANY: u64 = 0;
/// `IPPROTO_TCP` as an option level, and `TCP_SYNCNT` (tcp(7)).
const SOL_TCP: i32 = 6;
const TCP_SYNCNT: i32 = 7;

/// Holds, rejects or denies. The attempt is judged anew: what the first program found can't be
/// handed over, and a grant may have come in between.
#[inline(always)]
pub fn ask(context: &SockAddrContext, hook: Hook) -> i32 {
    let destination = destination(context, hook);
    let ask = match judge(context, &destination) {
        Judged::Done(answer) => return answer,
        Judged::Ask(ask) => ask,
    };
    let answer = match ask.first {
        first::OBSERVE => ALLOW,
        _ => REFUSE,
    };
    if let Err(fault) = admit(context, &ask) {
        count(match ask.first {
            first::OBSERVE => fault::FLOW_LOST,
            _ => fault,
        });
        return answer;
    }
    let disposition = match ask.first {
        first::HOLD => disposition::HELD,
        first::REJECT => disposition::REJECTED,
        first::OBSERVE => disposition::OBSERVED,
        _ => disposition::DENIED,
    };
    let outcome = report::Outcome {
        disposition,
        endpoint: ask.endpoint,
        subject: ask.subject,
        grant: 0,
    };
    let mut record = MaybeUninit::<Attempt>::uninit();
    // SAFETY: there is room for a record, and it is whole afterwards.
    let attempt = unsafe {
        report::write(record.as_mut_ptr(), context, &destination, outcome);
        record.assume_init_ref()
    };
    // A datagram is never held (judge_connect), and its program has nothing to hold with.
    if disposition == disposition::HELD && matches!(hook, Hook::Connect4 | Hook::Connect6) {
        return hold(context, &destination, attempt);
    }
    if report::to_daemon(attempt).is_err() {
        count(match ask.first {
            first::OBSERVE => fault::FLOW_LOST,
            _ => fault::RING_FULL,
        });
    }
    answer
}

/// Parks the socket, if it can be remembered and reported.
#[inline(always)]
fn hold(context: &SockAddrContext, destination: &Destination, attempt: &Attempt) -> i32 {
    let session = match attempt.subject {
        UID_UNKNOWN => session_of(&KernelTables, &Connecting(context)),
        _ => 0,
    };
    let state = SocketState {
        verdict: verdict::HELD,
        endpoint: attempt.endpoint,
        subject: attempt.subject,
        epoch: generation(),
        session,
        ..FRESH
    };
    if remember(context, destination, state) == REFUSE {
        return REFUSE;
    }
    // What an earlier connection of this very socket was given is not for this one.
    let earlier = key_of_socket(attempt.cookie, attempt.endpoint);
    let _ = GRANTS.remove(earlier);
    if KernelTables.grant(&earlier).is_some() {
        forget(context, destination);
        count(fault::INCONSISTENT);
        return REFUSE;
    }
    if let Err(fault) = write_down(attempt) {
        forget(context, destination);
        count(fault);
        return REFUSE;
    }
    prolong(context);
    ALLOW
}

/// Notes the attempt for the daemon and for the one after it.
#[inline(always)]
fn write_down(attempt: &Attempt) -> Result<(), u32> {
    if HELD.insert(attempt.cookie, attempt, ANY).is_err() {
        return Err(fault::HELD_FULL);
    }
    if report::to_daemon(attempt).is_err() {
        let _ = HELD.remove(attempt.cookie);
        return Err(fault::RING_FULL);
    }
    Ok(())
}

/// Lets an attempt go to the daemon: if that reads what it is told, and if the subject has not
/// told it too much already.
#[inline(always)]
fn admit(context: &SockAddrContext, ask: &Ask) -> Result<(), u32> {
    let (Some(unread), Some(config)) = (UNREAD.get_ptr_mut(0), KernelTables.config()) else {
        return Err(fault::INCONSISTENT);
    };
    let now = KernelTables.now();
    // SAFETY: the element lives as long as the map; it is one aligned word, which the daemon
    // sets to 0 and the gate to a time.
    let since = unsafe { unread.read_volatile() };
    if since != 0 && now > since && now - since > config.patience_ns {
        return Err(fault::DAEMON_SILENT);
    }
    if !has_budget(context, config, ask.subject, now) {
        return Err(fault::THROTTLED);
    }
    if since == 0 {
        // SAFETY: as above. Whichever of two gates writes, the time is right.
        unsafe { unread.write_volatile(now) };
    }
    Ok(())
}

/// Takes the attempt out of its subject's budget. Two CPUs that write at once may take one for
/// two.
#[inline(always)]
fn has_budget(context: &SockAddrContext, config: &Config, subject: u32, now: u64) -> bool {
    let busy = ATTEMPTS.query(UNREAD_BYTES) > ATTEMPTS_SIZE / 2;
    let key = budget_of(&KernelTables, &Connecting(context), subject);
    let Some(budget) = BUDGETS.get_ptr_mut(key) else {
        let first = Budget {
            due_ns: now + config.attempt_ns,
            refused: 0,
        };
        return BUDGETS.insert(key, first, ANY).is_ok();
    };
    // SAFETY: the kernel keeps the element until the program ends; both fields are aligned
    // words.
    unsafe {
        match spend(config, (*budget).due_ns, now, busy) {
            Some(due) => {
                (*budget).due_ns = due;
                true
            }
            None => {
                (*budget).refused += 1;
                false
            }
        }
    }
}

/// Gives a held socket as many SYN retransmissions as the longest hold needs. It goes on with
/// its own number if the kernel won't: the hold may then end early.
#[inline(always)]
fn prolong(context: &SockAddrContext) {
    let Some(config) = KernelTables.config() else {
        return;
    };
    if config.syn_count == 0 {
        return;
    }
    let mut count = config.syn_count as i32;
    // SAFETY: the context is the program's own, the option value is an int on the stack.
    unsafe {
        bpf_setsockopt(
            context.sock_addr.cast(),
            SOL_TCP,
            TCP_SYNCNT,
            (&raw mut count).cast(),
            size_of::<i32>() as i32,
        );
    }
}
