// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Used-up codes. A code is accepted once, ever (promise S5, RFC 6238 5.2).

use redb::{ReadableTable, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::engine::Fault;
use super::tables::STEPS;
use super::{
    Failures, Ledger, LedgerError, NewElevation, SecretPrint, elevations, emergencies, failures,
};
use crate::clock::{BootTime, Now};
use crate::decide::Bound;
use crate::ids::{ElevationId, Uid};
use crate::ledger::BootId;
use crate::policy::Factor;

/// A time step of RFC 6238: seconds since 1970, divided by the period of the device.
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
    /// The last step of this secret that the user has used up.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn last_step(
        &self,
        uid: Uid,
        secret: &SecretPrint,
    ) -> Result<Option<TotpStep>, LedgerError> {
        self.engine.read("read the last used step", |txn| {
            let last = txn.open_table(STEPS)?.get((uid.0, secret.as_bytes()))?;
            Ok(last.map(|step| TotpStep(step.value())))
        })
    }

    /// Uses a step of a secret up, resets the failures and stores the elevation that it earns, and
    /// the same for `further` of the user's connections; or counts a failure if it isn't fresh.
    /// All of that in one transaction.
    ///
    /// # Errors
    /// If it can't be written. Then the caller must take the code for wrong, although the
    /// step may turn out to be used up.
    pub fn consume_step(
        &self,
        secret: &SecretPrint,
        step: TotpStep,
        new: &NewElevation,
        further: &[Bound],
    ) -> Result<StepOutcome, LedgerError> {
        self.engine.write("use a code up", |txn| {
            if !use_up(txn, new.uid, secret, step)? {
                let failures =
                    failures::add(txn, new.uid, &Factor::Totp, new.proven.boot, &new.boot)?;
                return Ok(StepOutcome::Replayed(failures));
            }
            let (elevation, further) = proven(txn, new, further)?;
            Ok(StepOutcome::Consumed { elevation, further })
        })
    }

    /// Uses a step up for nothing but itself: a test of the device. `Err` in the result counts a
    /// failure, for a step that isn't fresh.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn spend_step(
        &self,
        uid: Uid,
        secret: &SecretPrint,
        step: TotpStep,
        now: Now,
        boot: &BootId,
    ) -> Result<Result<(), Failures>, LedgerError> {
        self.engine.write("use a code up", |txn| {
            if use_up(txn, uid, secret, step)? {
                failures::reset(txn, uid, &Factor::Totp)?;
                return Ok(Ok(()));
            }
            failures::add(txn, uid, &Factor::Totp, now.boot, boot).map(Err)
        })
    }

    /// Counts a failure for a step that is too far from now to be taken, and uses it up as well: a
    /// code that was guessed ahead of its time shall be good for nothing when that comes.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn spend_far_step(
        &self,
        uid: Uid,
        secret: &SecretPrint,
        step: TotpStep,
        now: Now,
        boot: &BootId,
    ) -> Result<Failures, LedgerError> {
        self.engine.write("use a code up", |txn| {
            use_up(txn, uid, secret, step)?;
            failures::add(txn, uid, &Factor::Totp, now.boot, boot)
        })
    }

    /// Stores what a factor earned that the ledger has no code of: PAM said yes.
    ///
    /// # Errors
    /// If it can't be written; then nothing is proven.
    pub fn record_proof(
        &self,
        new: &NewElevation,
        further: &[Bound],
    ) -> Result<(ElevationId, Vec<ElevationId>), LedgerError> {
        self.engine
            .write("store a proof", |txn| proven(txn, new, further))
    }

    /// Counts a failure of the user at a factor.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn record_failure(
        &self,
        uid: Uid,
        factor: &Factor,
        now: BootTime,
        boot: &BootId,
    ) -> Result<Failures, LedgerError> {
        self.engine.write("count a failure", |txn| {
            failures::add(txn, uid, factor, now, boot)
        })
    }
}

/// What a right answer does besides being used up.
pub(super) fn proven(
    txn: &WriteTransaction,
    new: &NewElevation,
    further: &[Bound],
) -> Result<(ElevationId, Vec<ElevationId>), Fault> {
    failures::forgive(txn, new.uid, &new.factor, new.assurance)?;
    emergencies::note(txn, new)?;
    let elevation = elevations::insert(txn, new)?;
    let further = further.iter().map(|bound| {
        let bound = bound.clone();
        let new = NewElevation {
            bound,
            ..new.clone()
        };
        elevations::insert(txn, &new)
    });
    Ok((elevation, further.collect::<Result<_, _>>()?))
}

/// Records the step as used. False, and nothing changed, if it or a later one already is.
pub(super) fn use_up(
    txn: &WriteTransaction,
    uid: Uid,
    secret: &SecretPrint,
    step: TotpStep,
) -> Result<bool, Fault> {
    let mut table = txn.open_table(STEPS)?;
    let key = (uid.0, secret.as_bytes());
    let last = table.get(key)?.map(|stored| stored.value());
    if last.is_some_and(|last| step.0 <= last) {
        return Ok(false);
    }
    table.insert(key, step.0)?;
    Ok(true)
}
