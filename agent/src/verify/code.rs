// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a person types: a one-time code of a device, or a recovery code.

use super::proof::{Owner, Purpose, Verification, Verified};
use super::totp;
use crate::clock::Now;
use crate::ids::Uid;
use crate::ledger::{
    BootId, Device, Ledger, LedgerError, RecoveryOutcome, StepOutcome, Throttle, recovery_code,
};
use crate::policy::{Assurance, Factor};

/// Which factor a text would be a code of. What is no code at all counts as a wrong one-time code.
#[must_use]
pub fn factor_of(code: &str) -> Factor {
    match recovery_code(code) {
        Some(_) => Factor::Recovery,
        None => Factor::Totp,
    }
}

/// Checks a code that `uid` gave for a purpose. Spaces and dashes in it are passed over, as people
/// type `123 456`.
///
/// The exclusive borrow keeps another try from slipping in between the throttle and the
/// count. The answer is durable before it is given (promise S5).
///
/// # Errors
/// If the ledger fails; then nothing is proven (promise S4).
pub fn verify_code(
    ledger: &mut Ledger,
    uid: Uid,
    purpose: Purpose<'_>,
    code: &str,
    now: Now,
    boot: &BootId,
) -> Result<Verification, LedgerError> {
    let factor = factor_of(code);
    if let Some(refused) = refused(ledger, uid, &factor, now, boot)? {
        return Ok(refused);
    }
    let new = purpose.earns(uid, factor.clone(), Assurance::LOW, now, boot);
    if factor == Factor::Recovery {
        if !purpose.recovery {
            return Ok(Verification::NotEnrolled);
        }
        let code = recovery_code(code).unwrap_or_default();
        let outcome = ledger.consume_recovery(&code, &new, purpose.further)?;
        return Ok(match outcome {
            RecoveryOutcome::Consumed {
                earned: (id, further),
                left,
            } => Verification::Verified(Verified::new(id, further, new).by_recovery(left)),
            RecoveryOutcome::Wrong(failures) => wrong(failures.tries_left()),
            RecoveryOutcome::None => Verification::NotEnrolled,
        });
    }
    if !ledger.is_enrolled(uid)? {
        return Ok(Verification::NotEnrolled);
    }
    let Some(found) = totp::find(ledger, uid, code, now)? else {
        let failures = ledger.record_failure(uid, &factor, now.boot, boot)?;
        return Ok(wrong(failures.tries_left()));
    };
    let outcome = ledger.consume_step(&found.print, found.step, &new, purpose.further)?;
    Ok(match outcome {
        StepOutcome::Consumed {
            elevation: id,
            further,
        } => Verification::Verified(Verified::new(id, further, new)),
        StepOutcome::Replayed(failures) => Verification::Wrong {
            tries_left: failures.tries_left(),
            replayed: true,
        },
    })
}

/// Checks a code that `uid` gave to change their factors. It earns nothing else.
///
/// # Errors
/// If the ledger fails; then nothing is proven (promise S4).
pub fn verify_owner(
    ledger: &mut Ledger,
    uid: Uid,
    code: &str,
    now: Now,
    boot: &BootId,
) -> Result<Verification<Owner>, LedgerError> {
    let factor = factor_of(code);
    if let Some(refused) = refused(ledger, uid, &factor, now, boot)? {
        return Ok(refused);
    }
    if let Some(code) = recovery_code(code) {
        let outcome = ledger.spend_recovery(uid, &code, now, boot)?;
        return Ok(match outcome {
            RecoveryOutcome::Consumed { left, .. } => {
                Verification::Verified(Owner::new(uid, Some(left)))
            }
            RecoveryOutcome::Wrong(failures) => wrong(failures.tries_left()),
            RecoveryOutcome::None => Verification::NotEnrolled,
        });
    }
    if !ledger.is_enrolled(uid)? {
        return Ok(Verification::NotEnrolled);
    }
    let Some(found) = totp::find(ledger, uid, code, now)? else {
        let failures = ledger.record_failure(uid, &factor, now.boot, boot)?;
        return Ok(wrong(failures.tries_left()));
    };
    Ok(
        match ledger.spend_step(uid, &found.print, found.step, now, boot)? {
            Ok(()) => Verification::Verified(Owner::new(uid, None)),
            Err(failures) => Verification::Wrong {
                tries_left: failures.tries_left(),
                replayed: true,
            },
        },
    )
}

/// What a test of a device has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeTest {
    /// The device that made the code.
    pub device: Device,
    /// How many seconds its clock is ahead of this computer's, in whole steps; negative if it is
    /// behind.
    pub seconds_ahead: i64,
    /// True if a prompt would have taken the code.
    pub accepted: bool,
}

/// Tells which device made a code, and how far its clock is off: up to ten minutes for steps of
/// 30 seconds. The code is used up; one that a prompt would not have taken counts as a wrong one.
///
/// # Errors
/// If the ledger fails.
pub fn test_code(
    ledger: &mut Ledger,
    uid: Uid,
    code: &str,
    now: Now,
    boot: &BootId,
) -> Result<Verification<CodeTest>, LedgerError> {
    if let Some(refused) = refused(ledger, uid, &Factor::Totp, now, boot)? {
        return Ok(refused);
    }
    if !ledger.is_enrolled(uid)? {
        return Ok(Verification::NotEnrolled);
    }
    let Some(found) = totp::find_far(ledger, uid, code, now)? else {
        let failures = ledger.record_failure(uid, &Factor::Totp, now.boot, boot)?;
        return Ok(wrong(failures.tries_left()));
    };
    let accepted = found.is_near(now);
    if accepted {
        let spent = ledger.spend_step(uid, &found.print, found.step, now, boot)?;
        if let Err(failures) = spent {
            return Ok(Verification::Wrong {
                tries_left: failures.tries_left(),
                replayed: true,
            });
        }
    } else {
        // To a guesser it is worth no more than a wrong code.
        ledger.spend_far_step(uid, &found.print, found.step, now, boot)?;
    }
    let period = i64::try_from(found.device.parameters.period).unwrap_or(i64::MAX);
    Ok(Verification::Verified(CodeTest {
        seconds_ahead: found.steps_ahead(now).saturating_mul(period),
        device: found.device,
        accepted,
    }))
}

/// Why a code isn't looked at.
pub(super) fn refused<T>(
    ledger: &Ledger,
    uid: Uid,
    factor: &Factor,
    now: Now,
    boot: &BootId,
) -> Result<Option<Verification<T>>, LedgerError> {
    Ok(match ledger.throttle(uid, factor, now.boot, boot)? {
        Throttle::Open => None,
        Throttle::Wait(retry) => Some(Verification::Throttled { retry }),
        Throttle::Locked => Some(Verification::Locked),
    })
}

fn wrong<T>(tries_left: u32) -> Verification<T> {
    Verification::Wrong {
        tries_left,
        replayed: false,
    }
}
