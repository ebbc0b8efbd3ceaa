// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Ids that are never used twice, whatever happens in between.

use std::sync::PoisonError;

use redb::{ReadableTable, Table};

use super::engine::Fault;
use super::tables::{COUNTERS, NEXT_GRANT};
use super::{Ledger, LedgerError};
use crate::ids::GrantId;

/// Grant ids that one commit reserves. After a crash, the rest of a block is never used.
const GRANT_BLOCK: u64 = 64;

impl Ledger {
    /// A grant id that was never given out before. Ids begin at 1; 0 means "none" in the
    /// kernel's records.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn next_grant_id(&self) -> Result<GrantId, LedgerError> {
        // A panic cannot leave the range half changed.
        let mut reserved = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = reserved.next() {
            return Ok(GrantId(id));
        }
        let first = self.engine.write("reserve grant ids", |txn| {
            advance(&mut txn.open_table(COUNTERS)?, NEXT_GRANT, GRANT_BLOCK)
        })?;
        *reserved = first + 1..first.saturating_add(GRANT_BLOCK);
        Ok(GrantId(first))
    }
}

/// Takes `count` ids from a counter and returns the first.
pub(super) fn advance(
    counters: &mut Table<'_, &'static str, u64>,
    name: &'static str,
    count: u64,
) -> Result<u64, Fault> {
    let next = counters.get(name)?.map_or(1, |stored| stored.value());
    counters.insert(name, next.saturating_add(count))?;
    Ok(next)
}
