// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What PAM said, brought to the ledger.

use super::code::refused;
use super::pam::PamPassed;
use super::proof::{Purpose, Verification, Verified};
use crate::clock::Now;
use crate::ids::Uid;
use crate::ledger::{BootId, Ledger, LedgerError};
use crate::policy::{Assurance, Factor};

/// Who was asked, by what, and how much that is worth.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    /// The user.
    pub uid: Uid,
    /// What the user is called now.
    pub user: &'a str,
    /// The factor.
    pub factor: &'a Factor,
    /// How much it is worth.
    pub assurance: Assurance,
}

/// Takes PAM's yes for a purpose. It is worth nothing if it speaks of somebody else, of another
/// service, or if the user may not try this factor now.
///
/// # Errors
/// If the ledger fails; then nothing is proven (promise S4).
pub fn accept_pam(
    ledger: &mut Ledger,
    answered: Answered<'_>,
    purpose: Purpose<'_>,
    passed: PamPassed,
    now: Now,
    boot: &BootId,
) -> Result<Verification, LedgerError> {
    let Answered {
        uid,
        user,
        factor,
        assurance,
    } = answered;
    if let Some(refused) = refused(ledger, uid, factor, now, boot)? {
        return Ok(refused);
    }
    let is_of =
        matches!(factor, Factor::Pam(service) if service.as_str() == passed.service().name());
    if !is_of || passed.user() != user {
        return Ok(Verification::NotEnrolled);
    }
    let new = purpose.earns(uid, factor.clone(), assurance, now, boot);
    let (elevation, further) = ledger.record_proof(&new, purpose.further)?;
    Ok(Verification::Verified(Verified::new(
        elevation, further, new,
    )))
}

/// Counts PAM's no.
///
/// # Errors
/// If the ledger fails.
pub fn fail_pam(
    ledger: &mut Ledger,
    uid: Uid,
    factor: &Factor,
    now: Now,
    boot: &BootId,
) -> Result<Verification, LedgerError> {
    if let Some(refused) = refused(ledger, uid, factor, now, boot)? {
        return Ok(refused);
    }
    let failures = ledger.record_failure(uid, factor, now.boot, boot)?;
    Ok(Verification::Wrong {
        tries_left: failures.tries_left(),
        replayed: false,
    })
}
