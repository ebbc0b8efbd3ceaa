// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Elevations: factors that were verified, and when. They end with the boot they belong to.

use std::ops::RangeInclusive;
use std::time::Duration;

use redb::{ReadableTable, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::engine::{Fault, decode, encode};
use super::tables::{COUNTERS, ELEVATIONS, NEXT_ELEVATION};
use super::{BootId, Ledger, LedgerError, ids};
use crate::clock::{BootTime, Now};
use crate::decide::Bound;
use crate::ids::{ElevationId, Uid};
use crate::policy::{Assurance, Factor, Given};

/// An elevation that is about to be stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewElevation {
    /// Who.
    pub uid: Uid,
    /// The realm of the rule that asked.
    pub realm: String,
    /// For which of the user's connections.
    #[serde(default)]
    pub bound: Bound,
    /// How.
    pub factor: Factor,
    /// How much that was worth.
    #[serde(default)]
    pub assurance: Assurance,
    /// When.
    pub proven: Now,
    /// The boot that `proven.boot` counts in.
    pub boot: BootId,
    /// When it ends, if the user wanted it to end sooner than rules let it.
    #[serde(default)]
    pub until: Option<BootTime>,
    /// The reason that the user gave with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// An elevation as the ledger has it. Only the ledger makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredElevation {
    id: ElevationId,
    record: NewElevation,
}

impl StoredElevation {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> ElevationId {
        self.id
    }

    /// Who.
    #[must_use]
    pub fn uid(&self) -> Uid {
        self.record.uid
    }

    /// The realm that it holds in.
    #[must_use]
    pub fn realm(&self) -> &str {
        &self.record.realm
    }

    /// For which of the user's connections.
    #[must_use]
    pub fn bound(&self) -> &Bound {
        &self.record.bound
    }

    /// How.
    #[must_use]
    pub fn factor(&self) -> &Factor {
        &self.record.factor
    }

    /// How much it was worth then.
    #[must_use]
    pub fn assurance(&self) -> Assurance {
        self.record.assurance
    }

    /// As what it counts towards what a rule asks for.
    #[must_use]
    pub fn given(&self) -> Given<'_> {
        Given {
            factor: self.factor(),
            assurance: self.assurance(),
            reason: self.reason(),
        }
    }

    /// When.
    #[must_use]
    pub fn proven(&self) -> Now {
        self.record.proven
    }

    /// When it ends, if the user wanted it to end sooner than rules let it.
    #[must_use]
    pub fn until(&self) -> Option<BootTime> {
        self.record.until
    }

    /// The reason that the user gave with it.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.record.reason.as_deref()
    }
}

impl Ledger {
    /// The user's elevations of this boot, oldest first.
    ///
    /// # Errors
    /// If they can't be read.
    pub fn elevations(&self, uid: Uid, boot: &BootId) -> Result<Vec<StoredElevation>, LedgerError> {
        self.elevations_in(of(uid), boot)
    }

    /// Everybody's elevations of this boot, by user.
    ///
    /// # Errors
    /// If they can't be read.
    pub fn all_elevations(&self, boot: &BootId) -> Result<Vec<StoredElevation>, LedgerError> {
        self.elevations_in((u32::MIN, u64::MIN)..=(u32::MAX, u64::MAX), boot)
    }

    fn elevations_in(
        &self,
        range: RangeInclusive<(u32, u64)>,
        boot: &BootId,
    ) -> Result<Vec<StoredElevation>, LedgerError> {
        self.engine.read("read elevations", |txn| {
            let table = txn.open_table(ELEVATIONS)?;
            let mut found = Vec::new();
            for entry in table.range(range)? {
                let (key, value) = entry?;
                let elevation = stored(key.value(), value.value())?;
                if elevation.record.boot == *boot {
                    found.push(elevation);
                }
            }
            Ok(found)
        })
    }

    /// Forgets the elevations of other boots and those that are older than `keep`. Returns how
    /// many.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn prune(&self, now: BootTime, boot: &BootId, keep: Duration) -> Result<u64, LedgerError> {
        self.remove_elevations("prune elevations", |elevation| {
            let record = &elevation.record;
            record.boot != *boot || now.since(record.proven.boot) > keep
        })
    }

    /// Forgets all elevations of the user. Returns how many.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn revoke_elevations(&self, uid: Uid) -> Result<u64, LedgerError> {
        self.remove_elevations("revoke elevations", |elevation| elevation.uid() == uid)
    }

    /// Forgets one elevation. False if there is none of this id.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn revoke_elevation(&self, id: ElevationId) -> Result<bool, LedgerError> {
        self.remove_elevations("revoke an elevation", |elevation| elevation.id == id)
            .map(|removed| removed > 0)
    }

    fn remove_elevations(
        &self,
        operation: &'static str,
        unwanted: impl Fn(&StoredElevation) -> bool,
    ) -> Result<u64, LedgerError> {
        self.engine.write(operation, |txn| {
            let mut table = txn.open_table(ELEVATIONS)?;
            let mut keys = Vec::new();
            for entry in table.iter()? {
                let (key, value) = entry?;
                if unwanted(&stored(key.value(), value.value())?) {
                    keys.push(key.value());
                }
            }
            for key in &keys {
                table.remove(key)?;
            }
            Ok(keys.len() as u64)
        })
    }
}

/// Everybody's elevations, of every boot.
pub(super) fn all(
    table: &impl ReadableTable<(u32, u64), &'static [u8]>,
) -> Result<Vec<StoredElevation>, Fault> {
    let mut found = Vec::new();
    for entry in table.iter()? {
        let (key, value) = entry?;
        found.push(stored(key.value(), value.value())?);
    }
    Ok(found)
}

/// Stores an elevation under a fresh id.
pub(super) fn insert(txn: &WriteTransaction, new: &NewElevation) -> Result<ElevationId, Fault> {
    let id = ids::advance(&mut txn.open_table(COUNTERS)?, NEXT_ELEVATION, 1)?;
    let bytes = encode(|| object(new.uid, id), new)?;
    txn.open_table(ELEVATIONS)?
        .insert((new.uid.0, id), bytes.as_slice())?;
    Ok(ElevationId(id))
}

fn stored(key: (u32, u64), bytes: &[u8]) -> Result<StoredElevation, Fault> {
    let (uid, id) = key;
    Ok(StoredElevation {
        id: ElevationId(id),
        record: decode(|| object(Uid(uid), id), bytes)?,
    })
}

fn of(uid: Uid) -> RangeInclusive<(u32, u64)> {
    (uid.0, u64::MIN)..=(uid.0, u64::MAX)
}

fn object(uid: Uid, id: u64) -> String {
    format!("elevation {id} of uid {uid}")
}
