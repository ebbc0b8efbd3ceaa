// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Time-based one-time codes (RFC 6238): SHA-1, 6 digits, 30 seconds, one step of skew. Most
//! authenticator apps know nothing else, and some silently ignore what asks for more.

use std::time::Duration;

use totp_rs::{Algorithm, Builder, Secret, Totp};
use zeroize::Zeroizing;

use crate::clock::{BootTime, Now};
use crate::decide::Bound;
use crate::ids::{ElevationId, Uid};
use crate::ledger::{
    BootId, Ledger, LedgerError, NewElevation, StepOutcome, Throttle, TotpSecret, TotpStep,
};
use crate::policy::{Assurance, Factor};

/// Longest text that is looked at as a code; six digits and any grouping fit well.
const MAX_CODE_TEXT: usize = 32;

/// Proof that a user passed a factor just now. Not `Clone`: one proof, one use.
///
/// Only [`verify_totp`] makes one, and only after the ledger recorded the code as used.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Verified {
    uid: Uid,
    realm: String,
    factor: Factor,
    elevation: ElevationId,
    further: Vec<ElevationId>,
    proven: Now,
    until: Option<BootTime>,
}

impl Verified {
    fn new(elevation: ElevationId, further: Vec<ElevationId>, stored: NewElevation) -> Self {
        Self {
            uid: stored.uid,
            realm: stored.realm,
            factor: stored.factor,
            elevation,
            further,
            proven: stored.proven,
            until: stored.until,
        }
    }

    /// Who proved it.
    #[must_use]
    pub fn uid(&self) -> Uid {
        self.uid
    }

    /// The realm it was proven for.
    #[must_use]
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// How.
    #[must_use]
    pub fn factor(&self) -> &Factor {
        &self.factor
    }

    /// Where the ledger keeps it.
    #[must_use]
    pub fn elevation(&self) -> ElevationId {
        self.elevation
    }

    /// Where the ledger keeps it for others of the user's connections.
    #[must_use]
    pub fn further(&self) -> &[ElevationId] {
        &self.further
    }

    /// When.
    #[must_use]
    pub fn proven(&self) -> Now {
        self.proven
    }

    /// When it ends, if sooner than rules let it.
    #[must_use]
    pub fn until(&self) -> Option<BootTime> {
        self.until
    }
}

/// What became of a code.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Verification {
    /// Right, and used up.
    Verified(Verified),
    /// Not right, or used before; counted.
    Wrong {
        /// Tries left before the next one has to wait.
        tries_left: u32,
        /// It was a right code of a step that is used up. For the audit log: the person who
        /// typed it is told only that it was wrong.
        replayed: bool,
    },
    /// Not looked at and not counted: too many wrong codes.
    Throttled {
        /// How long until the next try.
        retry: Duration,
    },
    /// Not looked at: an administrator has to unlock the user.
    Locked,
    /// The user has no secret.
    NotEnrolled,
}

/// What a proof is to count for.
#[derive(Clone, Copy, Debug)]
pub struct Purpose<'a> {
    /// In which realm.
    pub realm: &'a str,
    /// For which of the user's connections.
    pub bound: &'a Bound,
    /// And for which others, by the same code.
    pub further: &'a [Bound],
    /// When it ends, if sooner than rules let it.
    pub until: Option<BootTime>,
}

impl<'a> Purpose<'a> {
    /// For some of the user's connections, for as long as rules let it.
    #[must_use]
    pub fn new(realm: &'a str, bound: &'a Bound) -> Self {
        Self {
            realm,
            bound,
            further: &[],
            until: None,
        }
    }
}

/// Checks a one-time code that `uid` gave for a purpose. ASCII spaces and dashes in it are
/// passed over, as people type `123 456`.
///
/// The exclusive borrow keeps another try from slipping in between the throttle and the
/// count. The answer is durable before it is given (promise S5).
///
/// # Errors
/// If the ledger fails; then nothing is proven (promise S4).
pub fn verify_totp(
    ledger: &mut Ledger,
    uid: Uid,
    purpose: Purpose<'_>,
    code: &str,
    now: Now,
    boot: &BootId,
) -> Result<Verification, LedgerError> {
    match ledger.throttle(uid, now.boot, boot)? {
        Throttle::Open => {}
        Throttle::Wait(retry) => return Ok(Verification::Throttled { retry }),
        Throttle::Locked => return Ok(Verification::Locked),
    }
    let Some(secret) = ledger.totp_secret(uid)? else {
        return Ok(Verification::NotEnrolled);
    };
    let Some(step) = matching_step(uid, &secret, code, now)? else {
        let failures = ledger.record_failure(uid, now.boot, boot)?;
        return Ok(Verification::Wrong {
            tries_left: failures.tries_left(),
            replayed: false,
        });
    };
    let elevation = NewElevation {
        uid,
        realm: purpose.realm.to_owned(),
        bound: purpose.bound.clone(),
        factor: Factor::Totp,
        assurance: Assurance::LOW,
        proven: now,
        boot: boot.clone(),
        until: purpose.until,
    };
    Ok(
        match ledger.consume_step(step, &elevation, purpose.further)? {
            StepOutcome::Consumed {
                elevation: id,
                further,
            } => Verification::Verified(Verified::new(id, further, elevation)),
            StepOutcome::Replayed(failures) => Verification::Wrong {
                tries_left: failures.tries_left(),
                replayed: true,
            },
        },
    )
}

/// The step that the code belongs to: the current one, or the one before or after it.
pub(super) fn matching_step(
    uid: Uid,
    secret: &TotpSecret,
    code: &str,
    now: Now,
) -> Result<Option<TotpStep>, LedgerError> {
    if code.len() > MAX_CODE_TEXT {
        return Ok(None);
    }
    let digits = Zeroizing::new(code.replace([' ', '-'], ""));
    let totp = builder(secret)
        .build()
        .map_err(|cause| LedgerError::Record {
            object: format!("the TOTP secret of uid {uid}"),
            cause: cause.to_string(),
        })?;
    Ok(check(&totp, &digits, now))
}

fn check(totp: &Totp, digits: &str, now: Now) -> Option<TotpStep> {
    totp.check(digits, now.wall.seconds()).map(TotpStep)
}

/// The one set of parameters that is used; `build` refuses secrets below 128 bits.
pub(super) fn builder(secret: &TotpSecret) -> Builder {
    Builder::new()
        .with_algorithm(Algorithm::SHA1)
        .with_digits(6)
        .with_step_duration(30)
        .with_skew(1)
        .with_secret(Secret::from(secret.as_bytes()))
}
