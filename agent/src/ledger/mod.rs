// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The elevation ledger: who proved what, how and when; which codes are used up; how often
//! someone failed. It decides what is accepted once and never again (promise S5), so every
//! change is on disk before its outcome is told, and any fault means "no" (promise S4).
//!
//! It lies in one redb file, `ledger.redb`: copy-on-write with checksums, two-phase commits,
//! and an error state that only reopening ends. Records are keyed by numeric uid: names can
//! change hands.

mod changes;
mod codes;
mod devices;
mod elevations;
mod emergencies;
mod engine;
mod error;
mod failures;
mod ids;
mod inspect;
mod keys;
mod make;
mod migrate;
pub(crate) mod private;
mod recovery;
mod seal;
mod sealing;
mod secret;
mod tables;

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

pub use changes::Changes;
pub use codes::{StepOutcome, TotpStep};
pub use devices::{Device, MAX_DEVICES, NewDevice};
pub use elevations::{NewElevation, StoredElevation};
pub use emergencies::StoredEmergency;
pub use error::LedgerError;
pub use failures::{
    FIRST_WAIT, FREE_TRIES, Failures, LOCK_AFTER, LONGEST_WAIT, MOST_FAILURES, Throttle,
};
pub use inspect::{
    ExportedDevice, ExportedElevation, ExportedFailures, ExportedRecovery, LedgerExport,
};
pub use keys::{CREDENTIAL, KEY_FILE, KeyPlaces, KeySource, PREVIOUS_CREDENTIAL};
pub use private::PrivateError;
pub use recovery::{
    RECOVERY_CODES, RECOVERY_LENGTH, RecoveryDigests, RecoveryOutcome, RecoverySet, recovery_code,
};
pub use secret::{SecretPrint, TotpAlgorithm, TotpParameters, TotpSecret};

use engine::Engine;
use seal::Sealer;

/// The ledger's file below the state directory.
pub const FILE_NAME: &str = "ledger.redb";

/// The random id of a boot ([`crate::clock::boot_id`]). Boot times of two boots can't be
/// compared, so each is stored with the boot that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootId(String);

impl From<String> for BootId {
    fn from(id: String) -> Self {
        Self(id)
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The open ledger. One process has it at a time.
///
/// Every method fails for good after an error of the disk or the engine; what is on disk is
/// then known only after a new [`Ledger::open`].
#[derive(Debug)]
pub struct Ledger {
    engine: Engine,
    sealer: Sealer,
    key_source: KeySource,
    places: KeyPlaces,
    /// After how many consecutive failures a user is locked out.
    lock_after: u32,
    /// Grant ids that are reserved on disk and not handed out yet.
    reserved: Mutex<Range<u64>>,
}

impl Ledger {
    /// Opens the ledger in the state directory `dir`, and makes both if they are missing. Its
    /// secrets are sealed with a key that lies beside it.
    ///
    /// # Errors
    /// As those of [`Self::open_with`].
    pub fn open(dir: &Path) -> Result<Self, LedgerError> {
        Self::open_with(&KeyPlaces {
            credentials: None,
            state: dir.to_owned(),
        })
    }

    /// Opens the ledger in a state directory, and makes both if they are missing. One of an older
    /// schema is brought up to date.
    ///
    /// # Errors
    /// If the directory or the file belongs to somebody else or lets anybody else in, another
    /// process has it open, it can't be read, a newer stile wrote it, or the key that opens its
    /// secrets is missing or another one.
    pub fn open_with(places: &KeyPlaces) -> Result<Self, LedgerError> {
        private::prepare_dir(&places.state)?;
        let (engine, opened) = make::open_or_make(places)?;
        Ok(Self {
            engine,
            sealer: opened.sealer,
            key_source: opened.source,
            places: places.clone(),
            lock_after: LOCK_AFTER,
            reserved: Mutex::new(0..0),
        })
    }

    /// Says after how many consecutive failures at one factor a user is locked out; never more
    /// than [`MOST_FAILURES`].
    pub fn lock_after(&mut self, failures: u32) {
        self.lock_after = failures.clamp(1, MOST_FAILURES);
    }
}

#[cfg(test)]
mod tests;
