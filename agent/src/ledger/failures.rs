// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Wrong codes: counted, slowed down, and at last locked out (RFC 4226 7.3, NIST SP 800-63B-4
//! 3.2.2). Guessing gets at most [`LOCK_AFTER`] tries at about three right codes among a
//! million, one chance in 3,300, until an administrator looks at it.

use std::time::Duration;

use redb::{ReadableTable, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::engine::{Fault, decode, encode};
use super::tables::FAILURES;
use super::{BootId, Ledger, LedgerError};
use crate::clock::BootTime;
use crate::ids::Uid;

/// Consecutive failures that cost nothing: people mistype.
pub const FREE_TRIES: u32 = 2;
/// How long the first failure that isn't free makes the user wait. Each further one doubles it.
pub const FIRST_WAIT: Duration = Duration::from_secs(30);
/// The longest wait.
pub const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);
/// After this many consecutive failures only [`Ledger::unlock`] helps.
pub const LOCK_AFTER: u32 = 100;

/// The consecutive failures of one user.
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
    pub fn throttle(&self, now: BootTime, boot: &BootId) -> Throttle {
        if self.consecutive >= LOCK_AFTER {
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
    /// Counts a failure of the user.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn record_failure(
        &self,
        uid: Uid,
        now: BootTime,
        boot: &BootId,
    ) -> Result<Failures, LedgerError> {
        self.engine
            .write("count a failure", |txn| add(txn, uid, now, boot))
    }

    /// Whether the user may try now.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn throttle(
        &self,
        uid: Uid,
        now: BootTime,
        boot: &BootId,
    ) -> Result<Throttle, LedgerError> {
        let failures = self
            .engine
            .read("read failures", |txn| load(&txn.open_table(FAILURES)?, uid))?;
        Ok(failures.map_or(Throttle::Open, |failures| failures.throttle(now, boot)))
    }

    /// Forgets the user's failures, for an administrator. False if there were none.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn unlock(&self, uid: Uid) -> Result<bool, LedgerError> {
        self.engine.write("unlock a user", |txn| reset(txn, uid))
    }
}

pub(super) fn add(
    txn: &WriteTransaction,
    uid: Uid,
    now: BootTime,
    boot: &BootId,
) -> Result<Failures, Fault> {
    let mut table = txn.open_table(FAILURES)?;
    let before = load(&table, uid)?.map_or(0, |failures| failures.consecutive);
    let failures = Failures {
        consecutive: before.saturating_add(1),
        last: now,
        boot: boot.clone(),
    };
    let bytes = encode(|| object(uid), &failures)?;
    table.insert(uid.0, bytes.as_slice())?;
    Ok(failures)
}

pub(super) fn reset(txn: &WriteTransaction, uid: Uid) -> Result<bool, Fault> {
    Ok(txn.open_table(FAILURES)?.remove(uid.0)?.is_some())
}

fn load(
    table: &impl ReadableTable<u32, &'static [u8]>,
    uid: Uid,
) -> Result<Option<Failures>, Fault> {
    let Some(stored) = table.get(uid.0)? else {
        return Ok(None);
    };
    decode(|| object(uid), stored.value()).map(Some)
}

fn object(uid: Uid) -> String {
    format!("the failures of uid {uid}")
}
