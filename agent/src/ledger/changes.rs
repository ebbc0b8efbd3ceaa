// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Changes of factors that are made together, or not at all: also not if the caller finds out
//! meanwhile that they can't be recorded.

use redb::WriteTransaction;

use super::engine::Fault;
use super::{
    Device, Ledger, LedgerError, NewDevice, RecoveryDigests, TotpStep, devices, failures, recovery,
};
use crate::clock::WallTime;
use crate::ids::{DeviceId, Uid};

/// Changes under way. Nothing of them counts before [`Ledger::change`] has returned.
pub struct Changes<'ledger> {
    ledger: &'ledger Ledger,
    txn: &'ledger WriteTransaction,
}

impl Ledger {
    /// Makes changes in one transaction, which is on disk when this returns. If `body` fails,
    /// nothing has changed.
    ///
    /// # Errors
    /// Those of `body`, or if it can't be written.
    pub fn change<T, E: From<LedgerError>>(
        &self,
        body: impl FnOnce(&Changes<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let ledger = self;
        self.engine
            .write_unless("change factors", |txn| body(&Changes { ledger, txn }))
    }
}

impl Changes<'_> {
    /// As [`Ledger::enroll`].
    ///
    /// # Errors
    /// The same; so with all of these. Then `body` has to fail as well.
    pub fn enroll(
        &self,
        uid: Uid,
        device: &NewDevice,
        step: Option<TotpStep>,
        now: WallTime,
        alone: bool,
    ) -> Result<DeviceId, LedgerError> {
        let sealer = &self.ledger.sealer;
        self.done(
            "store a TOTP device",
            devices::enroll(self.txn, sealer, (uid, device), step, now, alone),
        )
    }

    /// The user's devices with the changes so far, oldest first.
    ///
    /// # Errors
    /// See [`Self::enroll`].
    pub fn devices(&self, uid: Uid) -> Result<Vec<Device>, LedgerError> {
        self.done("read TOTP devices", devices::of_user(self.txn, uid))
    }

    /// As [`Ledger::rename_device`].
    ///
    /// # Errors
    /// See [`Self::enroll`].
    pub fn rename_device(&self, uid: Uid, id: DeviceId, name: &str) -> Result<(), LedgerError> {
        let renamed = devices::rename(self.txn, uid, id, name);
        self.done("rename a TOTP device", renamed)
    }

    /// As [`Ledger::remove_device`].
    ///
    /// # Errors
    /// See [`Self::enroll`].
    pub fn remove_device(&self, uid: Uid, id: DeviceId) -> Result<bool, LedgerError> {
        let removed = devices::remove(self.txn, uid, id);
        self.done("remove a TOTP device", removed)
    }

    /// As [`Ledger::store_recovery`].
    ///
    /// # Errors
    /// See [`Self::enroll`].
    pub fn store_recovery(
        &self,
        uid: Uid,
        set: &RecoveryDigests,
        now: WallTime,
    ) -> Result<(), LedgerError> {
        let stored = recovery::store(self.txn, uid, set, now);
        self.done("store recovery codes", stored)
    }

    /// As [`Ledger::remove_recovery`].
    ///
    /// # Errors
    /// See [`Self::enroll`].
    pub fn remove_recovery(&self, uid: Uid) -> Result<bool, LedgerError> {
        let removed = recovery::remove(self.txn, uid);
        self.done("remove recovery codes", removed)
    }

    /// As [`Ledger::unlock`].
    ///
    /// # Errors
    /// See [`Self::enroll`].
    pub fn unlock(&self, uid: Uid) -> Result<bool, LedgerError> {
        self.done("unlock a user", failures::forget(self.txn, uid))
    }

    fn done<T>(&self, operation: &'static str, result: Result<T, Fault>) -> Result<T, LedgerError> {
        result.map_err(|fault| self.ledger.engine.remember(operation, fault))
    }
}
