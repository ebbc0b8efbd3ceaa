// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Wrong codes: counted, slowed down, and at last locked out (RFC 4226 7.3, NIST SP 800-63B-4
//! 3.2.2), for each user and factor. Guessing gets at most [`LOCK_AFTER`] tries at about three right
//! codes of each device among a million, one chance in 16,000, until somebody looks at it.

use std::time::Duration;

use redb::{ReadableTable, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::engine::{Fault, decode, encode};
use super::tables::FAILURES;
use super::{BootId, Ledger, LedgerError};
use crate::clock::BootTime;
use crate::ids::Uid;
use crate::policy::{Assurance, Factor};

/// Consecutive failures that cost nothing: people mistype.
pub const FREE_TRIES: u32 = 2;
/// How long the first failure that isn't free makes the user wait. Each further one doubles it.
pub const FIRST_WAIT: Duration = Duration::from_secs(30);
/// The longest wait.
pub const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);
/// After this many consecutive failures at one factor only [`Ledger::unlock`] or a stronger factor
/// helps, unless the settings say fewer or more.
pub const LOCK_AFTER: u32 = 20;
/// The most that settings can say (NIST SP 800-63B-4 3.2.2).
pub const MOST_FAILURES: u32 = 100;

/// The consecutive failures of one user at one factor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    consecutive: u32,
    last: BootTime,
    boot: BootId,
}

/// Whether a user may try now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Throttle {
    /// Yes.
    Open,
    /// Not before this long from now.
    Wait(Duration),
    /// Not before an administrator unlocks the user.
    Locked,
}

impl Failures {
    #[cfg(test)]
    pub(super) fn for_test(consecutive: u32, last: BootTime, boot: BootId) -> Self {
        Self {
            consecutive,
            last,
            boot,
        }
    }

    /// How many failures in a row.
    #[must_use]
    pub fn consecutive(&self) -> u32 {
        self.consecutive
    }

    /// How many more may fail before the next one has to wait.
    #[must_use]
    pub fn tries_left(&self) -> u32 {
        (FREE_TRIES + 1).saturating_sub(self.consecutive)
    }

    /// Whether the user may try at `now` of this `boot`. A failure of another boot counts as
    /// if it had happened when this one began: a reboot never shortens the wait.
    pub fn throttle(&self, now: BootTime, boot: &BootId, lock_after: u32) -> Throttle {
        if self.consecutive >= lock_after.min(MOST_FAILURES) {
            return Throttle::Locked;
        }
        let since = if self.boot == *boot {
            self.last
        } else {
            BootTime(0)
        };
        let left = wait(self.consecutive).saturating_sub(now.since(since));
        if left.is_zero() {
            Throttle::Open
        } else {
            Throttle::Wait(left)
        }
    }
}

/// The wait after this many consecutive failures.
fn wait(consecutive: u32) -> Duration {
    let Some(doublings) = consecutive.checked_sub(FREE_TRIES + 1) else {
        return Duration::ZERO;
    };
    let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
    FIRST_WAIT.saturating_mul(factor).min(LONGEST_WAIT)
}

impl Ledger {
    /// Whether the user may try this factor now.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn throttle(
        &self,
        uid: Uid,
        factor: &Factor,
        now: BootTime,
        boot: &BootId,
    ) -> Result<Throttle, LedgerError> {
        let failures = self.failures(uid, factor)?;
        let throttle = |failures: Failures| failures.throttle(now, boot, self.lock_after);
        Ok(failures.map_or(Throttle::Open, throttle))
    }

    /// The user's failures at a factor since the last success.
    ///
    /// # Errors
    /// If they can't be read.
    pub fn failures(&self, uid: Uid, factor: &Factor) -> Result<Option<Failures>, LedgerError> {
        self.engine.read("read failures", |txn| {
            load(&txn.open_table(FAILURES)?, uid, &factor.to_string())
        })
    }

    /// Forgets the user's failures at every factor, for an administrator. False if there were
    /// none.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn unlock(&self, uid: Uid) -> Result<bool, LedgerError> {
        self.change(|changes| changes.unlock(uid))
    }
}

/// See [`Ledger::unlock`].
pub(super) fn forget(txn: &WriteTransaction, uid: Uid) -> Result<bool, Fault> {
    let mut table = txn.open_table(FAILURES)?;
    let factors = factors_of(&table, uid)?;
    for factor in &factors {
        table.remove((uid.0, factor.as_str()))?;
    }
    Ok(!factors.is_empty())
}

pub(super) fn add(
    txn: &WriteTransaction,
    uid: Uid,
    factor: &Factor,
    now: BootTime,
    boot: &BootId,
) -> Result<Failures, Fault> {
    let mut table = txn.open_table(FAILURES)?;
    let factor = factor.to_string();
    let before = load(&table, uid, &factor)?.map_or(0, |failures| failures.consecutive);
    let failures = Failures {
        consecutive: before.saturating_add(1),
        last: now,
        boot: boot.clone(),
    };
    let bytes = encode(|| object(uid, &factor), &failures)?;
    table.insert((uid.0, factor.as_str()), bytes.as_slice())?;
    Ok(failures)
}

/// Forgets the failures at the factor that was right now; one that is worth more than a code also
/// ends a lock-out from codes.
pub(super) fn forgive(
    txn: &WriteTransaction,
    uid: Uid,
    factor: &Factor,
    assurance: Assurance,
) -> Result<(), Fault> {
    reset(txn, uid, factor)?;
    if assurance > Assurance::LOW {
        reset(txn, uid, &Factor::Totp)?;
        reset(txn, uid, &Factor::Recovery)?;
    }
    Ok(())
}

pub(super) fn reset(txn: &WriteTransaction, uid: Uid, factor: &Factor) -> Result<bool, Fault> {
    let mut table = txn.open_table(FAILURES)?;
    Ok(table
        .remove((uid.0, factor.to_string().as_str()))?
        .is_some())
}

/// Everybody's failures, by user and factor.
pub(super) fn all(
    table: &impl ReadableTable<(u32, &'static str), &'static [u8]>,
) -> Result<Vec<(Uid, String, Failures)>, Fault> {
    let mut found = Vec::new();
    for entry in table.iter()? {
        let (key, value) = entry?;
        let (uid, factor) = key.value();
        let failures = decode(|| object(Uid(uid), factor), value.value())?;
        found.push((Uid(uid), factor.to_owned(), failures));
    }
    Ok(found)
}

fn factors_of(
    table: &impl ReadableTable<(u32, &'static str), &'static [u8]>,
    uid: Uid,
) -> Result<Vec<String>, Fault> {
    let mut factors = Vec::new();
    for entry in table.range((uid.0, "")..)? {
        let (key, _) = entry?;
        let (of, factor) = key.value();
        if of != uid.0 {
            break;
        }
        factors.push(factor.to_owned());
    }
    Ok(factors)
}

fn load(
    table: &impl ReadableTable<(u32, &'static str), &'static [u8]>,
    uid: Uid,
    factor: &str,
) -> Result<Option<Failures>, Fault> {
    let Some(stored) = table.get((uid.0, factor))? else {
        return Ok(None);
    };
    decode(|| object(uid, factor), stored.value()).map(Some)
}

fn object(uid: Uid, factor: &str) -> String {
    format!("the failures of uid {uid} at {factor}")
}
