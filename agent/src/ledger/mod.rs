// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The elevation ledger: who proved what, how and when; which codes are used up; how often
//! someone failed. It decides what is accepted once and never again (promise S5), so every
//! change is on disk before its outcome is told, and any fault means "no" (promise S4).
//!
//! It lies in one redb file, `ledger.redb`: copy-on-write with checksums, two-phase commits,
//! and an error state that only reopening ends. Records are keyed by numeric uid: names can
//! change hands.

mod codes;
mod elevations;
mod engine;
mod error;
mod failures;
mod ids;
mod make;
pub(crate) mod private;
mod secret;
mod tables;

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

pub use codes::{StepOutcome, TotpStep};
pub use elevations::{NewElevation, StoredElevation};
pub use error::LedgerError;
pub use failures::{FIRST_WAIT, FREE_TRIES, Failures, LOCK_AFTER, LONGEST_WAIT, Throttle};
pub use private::PrivateError;
pub use secret::TotpSecret;

use engine::Engine;

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
    /// Grant ids that are reserved on disk and not handed out yet.
    reserved: Mutex<Range<u64>>,
}

impl Ledger {
    /// Opens the ledger in the state directory `dir`, and makes both if they are missing.
    ///
    /// # Errors
    /// If the directory or the file belongs to somebody else or lets anybody else in, another
    /// process has it open, it can't be read, or a newer stile wrote it.
    pub fn open(dir: &Path) -> Result<Self, LedgerError> {
        private::prepare_dir(dir)?;
        Ok(Self {
            engine: make::open_or_make(dir)?,
            reserved: Mutex::new(0..0),
        })
    }
}

#[cfg(test)]
mod tests;
