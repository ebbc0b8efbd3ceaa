// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The whole ledger, without its secrets: for a check, and to be written out.

use redb::{ReadableTable, ReadableTableMetadata};
use serde::{Deserialize, Serialize};

use super::elevations;
use super::keys::KeySource;
use super::tables::{DEVICES, ELEVATIONS, FAILURES, RECOVERY, SCHEMA, STEPS};
use super::{Ledger, LedgerError, StoredElevation, devices, failures, recovery};

/// Everything in the ledger but secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerExport {
    /// The schema.
    pub schema: u64,
    /// Where the key of the secrets comes from: `credential` or the path of a file.
    pub key: String,
    /// The devices.
    pub devices: Vec<ExportedDevice>,
    /// How many recovery codes each user has left.
    pub recovery: Vec<ExportedRecovery>,
    /// Consecutive failures.
    pub failures: Vec<ExportedFailures>,
    /// How many secrets have used codes.
    pub used_secrets: u64,
    /// The proofs, also those that are over.
    pub elevations: Vec<ExportedElevation>,
}

/// A device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportedDevice {
    /// Whose.
    pub uid: u32,
    /// Its id.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// `sha1`, `sha256` or `sha512`.
    pub algorithm: String,
    /// Digits of a code.
    pub digits: u32,
    /// Seconds of a step.
    pub period: u64,
    /// When it was enrolled, in seconds since 1970.
    pub enrolled: u64,
}

/// Recovery codes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportedRecovery {
    /// Whose.
    pub uid: u32,
    /// How many are left.
    pub left: usize,
}

/// Failures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportedFailures {
    /// Whose.
    pub uid: u32,
    /// At which factor.
    pub factor: String,
    /// How many since the last success.
    pub consecutive: u32,
}

/// A proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportedElevation {
    /// Its id.
    pub id: u64,
    /// Whose.
    pub uid: u32,
    /// In which realm.
    pub realm: String,
    /// For which connections.
    pub scope: String,
    /// How.
    pub factor: String,
    /// How much that was worth.
    pub assurance: u8,
    /// When, in seconds since 1970.
    pub proven: u64,
}

impl Ledger {
    /// Reads every record and opens every secret.
    ///
    /// # Errors
    /// Names the first record that is damaged.
    pub fn inspect(&self) -> Result<LedgerExport, LedgerError> {
        self.engine.read("read all records", |txn| {
            let devices = devices::all(&txn.open_table(DEVICES)?, &self.sealer)?;
            let recovery = recovery::all(&txn.open_table(RECOVERY)?)?;
            let failures = failures::all(&txn.open_table(FAILURES)?)?;
            let steps = txn.open_table(STEPS)?;
            for entry in steps.iter()? {
                entry?;
            }
            let elevations = elevations::all(&txn.open_table(ELEVATIONS)?)?;
            Ok(LedgerExport {
                schema: SCHEMA,
                key: match self.key_source() {
                    KeySource::Credential => "credential".to_owned(),
                    KeySource::File(path) => path.display().to_string(),
                },
                devices: devices
                    .into_iter()
                    .map(|(uid, device)| ExportedDevice {
                        uid: uid.0,
                        id: device.id.0,
                        name: device.name,
                        algorithm: device.parameters.algorithm.to_string(),
                        digits: device.parameters.digits.into(),
                        period: device.parameters.period,
                        enrolled: device.enrolled.seconds(),
                    })
                    .collect(),
                recovery: recovery
                    .into_iter()
                    .map(|(uid, left)| ExportedRecovery { uid: uid.0, left })
                    .collect(),
                failures: failures
                    .into_iter()
                    .map(|(uid, factor, failures)| ExportedFailures {
                        uid: uid.0,
                        factor,
                        consecutive: failures.consecutive(),
                    })
                    .collect(),
                used_secrets: steps.len()?,
                elevations: elevations.iter().map(exported).collect(),
            })
        })
    }
}

fn exported(elevation: &StoredElevation) -> ExportedElevation {
    ExportedElevation {
        id: elevation.id().0,
        uid: elevation.uid().0,
        realm: elevation.realm().to_owned(),
        scope: elevation.bound().name().to_owned(),
        factor: elevation.factor().to_string(),
        assurance: elevation.assurance().level(),
        proven: elevation.proven().wall.seconds(),
    }
}
