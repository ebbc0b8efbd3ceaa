// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Opening and saving what is remembered.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::recent::{Counter, Recent, millis};
use super::store::{Changes, Header, Store};
use super::{History, HistoryError};
use crate::clock::{BootTime, Now};
use crate::ledger::BootId;

/// How long something may be remembered in memory only.
const SAVED_WITHIN: Duration = Duration::from_secs(60);

impl History {
    /// Opens the history in the state directory. Never fails: one that can't be opened has no
    /// answers, and [`History::problem`] says why. Hours are those of the host's time zone.
    #[must_use]
    pub fn open(dir: &Path, boot: &BootId, now: Now) -> Self {
        Self::open_in(dir, boot, now, TimeZone::system())
    }

    pub(super) fn open_in(dir: &Path, boot: &BootId, now: Now, zone: TimeZone) -> Self {
        let mut history = Self {
            store: None,
            broken: OnceLock::new(),
            boot: boot.to_string(),
            zone,
            seen: BTreeMap::new(),
            users: BTreeMap::new(),
            recent: Recent::default(),
            unsaved: None,
        };
        if let Err(error) = history.start(dir, now) {
            history.fail(&error);
        }
        history
    }

    fn start(&mut self, dir: &Path, now: Now) -> Result<(), HistoryError> {
        let store = Store::open(dir)?;
        if let Some(header) = store.header(dir)? {
            let shift = self.shift(&header, now);
            let moved = |at: i64| at.saturating_add(shift);
            let counters = store.recent()?.into_iter().map(|(what, lumps)| {
                let lumps = lumps
                    .into_iter()
                    .map(|(first, last, count)| (moved(first), moved(last), count));
                (what, Counter::new(lumps))
            });
            let known_since = match header.whole {
                true => header.known_since.map(moved),
                // Some of what the last daemon counted may be lost.
                false => Some(millis(now.boot)),
            };
            self.recent = Recent::new(counters, known_since);
            self.recent.prune(now.boot);
        }
        self.store = Some(store);
        self.write(now, false, true)
    }

    /// What to add to times of the boot in which the file was written.
    fn shift(&self, saved: &Header, now: Now) -> i64 {
        if saved.boot == self.boot {
            return 0;
        }
        let boot = millis(now.boot);
        // It is at least as long ago as this boot, whatever the clock says.
        let passed = wall_millis(now).saturating_sub(saved.wall_millis);
        boot.saturating_sub(saved.boot_millis)
            .saturating_sub(passed.max(boot))
    }

    /// When to call [`History::save`]; none if there is nothing to save.
    #[must_use]
    pub fn save_due(&self) -> Option<BootTime> {
        self.usable()?;
        Some(self.unsaved?.after(SAVED_WITHIN))
    }

    /// Writes what is new. Takes two flushes of the disk.
    pub fn save(&mut self, now: Now) {
        self.save_as(now, false);
    }

    /// Writes what is new, for good: the next daemon will know that nothing is missing.
    pub fn close(&mut self, now: Now) {
        self.save_as(now, true);
    }

    fn save_as(&mut self, now: Now, whole: bool) {
        self.recent.prune(now.boot);
        if let Err(error) = self.write(now, whole, false) {
            self.fail(&error);
        }
    }

    fn write(&mut self, now: Now, whole: bool, rewrite: bool) -> Result<(), HistoryError> {
        let seen: Vec<_> = std::mem::take(&mut self.seen).into_iter().collect();
        let users: Vec<_> = std::mem::take(&mut self.users).into_iter().collect();
        self.unsaved = None;
        let Some(store) = self.usable() else {
            return Ok(());
        };
        let mut header = Header::new(&self.boot, millis(now.boot), wall_millis(now));
        header.known_since = self.recent.known_since();
        header.whole = whole;
        store.save(&Changes {
            header,
            seen: &seen,
            users: &users,
            recent: &self.recent,
            rewrite,
        })?;
        self.recent.saved();
        Ok(())
    }
}

fn wall_millis(now: Now) -> i64 {
    i64::try_from(now.wall.0 / 1_000_000).unwrap_or(i64::MAX)
}
