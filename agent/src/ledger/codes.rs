// SPDX-License-Identifier: Apache-2.0 OR MIT
//! TOTP secrets and used-up codes. A code is accepted once, ever (promise S5, RFC 6238 5.2).

use redb::{ReadableTable, ReadableTableMetadata, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::engine::{Fault, damaged, decode, encode};
use super::secret::TotpRecord;
use super::tables::{STEPS, TOTP};
use super::{Failures, Ledger, LedgerError, NewElevation, TotpSecret, elevations, failures};
use crate::clock::WallTime;
use crate::decide::Bound;
use crate::ids::{ElevationId, Uid};

/// A time step of RFC 6238: seconds since 1970, divided by 30.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TotpStep(pub u64);

/// What became of a right code.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum StepOutcome {
    /// It was fresh, is used up now, and these elevations are stored.
    Consumed {
        /// The elevation.
        elevation: ElevationId,
        /// Those for further connections.
        further: Vec<ElevationId>,
    },
    /// It, or a later one, was used before. Counted as a failure.
    Replayed(Failures),
}

impl Ledger {
    /// The user's secret.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn totp_secret(&self, uid: Uid) -> Result<Option<TotpSecret>, LedgerError> {
        self.engine.read("read a TOTP secret", |txn| {
            let Some(stored) = txn.open_table(TOTP)?.get(uid.0)? else {
                return Ok(None);
            };
            let record: TotpRecord = decode(|| object(uid), stored.value())?;
            let secret = record
                .secret()
                .map_err(|cause| damaged(|| object(uid), &cause))?;
            Ok(Some(secret))
        })
    }

    /// True if the user has a secret.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn is_enrolled(&self, uid: Uid) -> Result<bool, LedgerError> {
        self.engine.read("look for a TOTP secret", |txn| {
            Ok(txn.open_table(TOTP)?.get(uid.0)?.is_some())
        })
    }

    /// How many users have a secret.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn enrolled_count(&self) -> Result<u64, LedgerError> {
        self.engine.read("count TOTP secrets", |txn| {
            Ok(txn.open_table(TOTP)?.len()?)
        })
    }

    /// The last step that the user has used up.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn last_step(&self, uid: Uid) -> Result<Option<TotpStep>, LedgerError> {
        self.engine.read("read the last used step", |txn| {
            let last = txn.open_table(STEPS)?.get(uid.0)?;
            Ok(last.map(|step| TotpStep(step.value())))
        })
    }

    /// Stores a new secret in the place of an older one. `step` is that of the code that
    /// confirmed it, which is used up herewith. Failures stay counted, and no step that was
    /// used becomes fresh again.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn enroll(
        &self,
        uid: Uid,
        secret: &TotpSecret,
        step: TotpStep,
        now: WallTime,
    ) -> Result<(), LedgerError> {
        self.engine.write("store a TOTP secret", |txn| {
            let bytes = encode(|| object(uid), &TotpRecord::new(secret, now))?;
            txn.open_table(TOTP)?.insert(uid.0, bytes.as_slice())?;
            use_up(txn, uid, step)?;
            Ok(())
        })
    }

    /// Uses a step up, resets the failures and stores the elevation that it earns, and the same
    /// for `further` of the user's connections; or counts a failure if it isn't fresh. All of that in one transaction.
    ///
    /// # Errors
    /// If it can't be written. Then the caller must take the code for wrong, although the
    /// step may turn out to be used up.
    pub fn consume_step(
        &self,
        step: TotpStep,
        new: &NewElevation,
        further: &[Bound],
    ) -> Result<StepOutcome, LedgerError> {
        self.engine.write("use a code up", |txn| {
            if !use_up(txn, new.uid, step)? {
                let failures = failures::add(txn, new.uid, new.proven.boot, &new.boot)?;
                return Ok(StepOutcome::Replayed(failures));
            }
            failures::reset(txn, new.uid)?;
            let elevation = elevations::insert(txn, new)?;
            let further = further.iter().map(|bound| {
                let bound = bound.clone();
                let new = NewElevation {
                    bound,
                    ..new.clone()
                };
                elevations::insert(txn, &new)
            });
            let further = further.collect::<Result<_, _>>()?;
            Ok(StepOutcome::Consumed { elevation, further })
        })
    }
}

/// Records the step as used. False, and nothing changed, if it or a later one already is.
fn use_up(txn: &WriteTransaction, uid: Uid, step: TotpStep) -> Result<bool, Fault> {
    let mut table = txn.open_table(STEPS)?;
    let last = table.get(uid.0)?.map(|stored| stored.value());
    if last.is_some_and(|last| step.0 <= last) {
        return Ok(false);
    }
    table.insert(uid.0, step.0)?;
    Ok(true)
}

fn object(uid: Uid) -> String {
    format!("the TOTP secret of uid {uid}")
}
