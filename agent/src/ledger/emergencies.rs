// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Emergencies: when users got through past the rules. They are counted, so that none has more of
//! them than the policy lets them have.

use std::time::Duration;

use redb::{ReadableTable, TableError, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::engine::{Fault, decode, encode};
use super::tables::{COUNTERS, EMERGENCIES, NEXT_EMERGENCY};
use super::{BootId, Ledger, LedgerError, NewElevation, ids};
use crate::clock::{BootTime, Now};
use crate::decide::Bound;
use crate::ids::Uid;

/// How long an emergency is counted.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// An emergency: it begins with the first right proof, and further ones in its time belong to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredEmergency {
    endpoint: String,
    began: Now,
    boot: BootId,
    until: BootTime,
}

impl StoredEmergency {
    /// The endpoint that it opens.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// When it began.
    #[must_use]
    pub fn began(&self) -> Now {
        self.began
    }

    /// When it ends, if it isn't over. None outlives its boot.
    #[must_use]
    pub fn ends(&self, now: BootTime, boot: &BootId) -> Option<BootTime> {
        (self.boot == *boot && now < self.until).then_some(self.until)
    }

    /// How long it is still counted, if it is. Within a boot no clock that is set changes that;
    /// one that began in the future of the clock counts.
    #[must_use]
    pub fn counts_for(&self, now: Now, boot: &BootId) -> Option<Duration> {
        let age = if self.boot == *boot {
            now.boot.since(self.began.boot)
        } else {
            Duration::from_nanos(now.wall.0.saturating_sub(self.began.wall.0))
        };
        DAY.checked_sub(age).filter(|left| !left.is_zero())
    }
}

impl Ledger {
    /// The emergencies of a user that may still count, oldest first.
    ///
    /// # Errors
    /// If they can't be read.
    pub fn emergencies(&self, uid: Uid) -> Result<Vec<StoredEmergency>, LedgerError> {
        self.engine.read("read emergencies", |txn| {
            // A ledger of before has no such table.
            let table = match txn.open_table(EMERGENCIES) {
                Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
                opened => opened?,
            };
            of(&table, uid)?
                .into_iter()
                .map(|(_, found)| Ok(found))
                .collect()
        })
    }
}

/// Counts the emergency that a proof begins, unless it belongs to one that lasts; forgets those
/// that no longer count.
pub(super) fn note(txn: &WriteTransaction, proof: &NewElevation) -> Result<(), Fault> {
    let Bound::Emergency(endpoint) = &proof.bound else {
        return Ok(());
    };
    let (uid, now, boot) = (proof.uid, proof.proven, &proof.boot);
    let mut table = txn.open_table(EMERGENCIES)?;
    let mut lasts = false;
    for (id, found) in of(&table, uid)? {
        lasts |= found.endpoint == *endpoint && found.ends(now.boot, boot).is_some();
        if found.counts_for(now, boot).is_none() {
            table.remove((uid.0, id))?;
        }
    }
    if lasts {
        return Ok(());
    }
    let id = ids::advance(&mut txn.open_table(COUNTERS)?, NEXT_EMERGENCY, 1)?;
    let new = StoredEmergency {
        endpoint: endpoint.clone(),
        began: now,
        boot: boot.clone(),
        until: proof.until.unwrap_or(now.boot),
    };
    let bytes = encode(|| object(uid, id), &new)?;
    table.insert((uid.0, id), bytes.as_slice())?;
    Ok(())
}

fn of(
    table: &impl ReadableTable<(u32, u64), &'static [u8]>,
    uid: Uid,
) -> Result<Vec<(u64, StoredEmergency)>, Fault> {
    let mut found = Vec::new();
    for entry in table.range((uid.0, u64::MIN)..=(uid.0, u64::MAX))? {
        let (key, value) = entry?;
        let (_, id) = key.value();
        found.push((id, decode(|| object(uid, id), value.value())?));
    }
    Ok(found)
}

fn object(uid: Uid, id: u64) -> String {
    format!("emergency {id} of uid {uid}")
}
