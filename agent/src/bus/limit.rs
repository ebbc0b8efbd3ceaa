// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How many calls one caller may have under way, so that nobody crowds out the others.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts what is under way for each `K`. A key without any takes no memory.
#[derive(Clone, Debug)]
pub(super) struct InFlight<K: Eq + Hash + Clone> {
    most: u32,
    counts: Arc<Mutex<HashMap<K, u32>>>,
}

/// One call under way; it is over when this is dropped.
#[derive(Debug)]
#[must_use = "the call counts as over when this is dropped"]
pub(super) struct Slot<K: Eq + Hash + Clone> {
    key: K,
    counts: Arc<Mutex<HashMap<K, u32>>>,
}

impl<K: Eq + Hash + Clone> InFlight<K> {
    /// At most `most` for each key.
    pub(super) fn new(most: u32) -> Self {
        Self {
            most,
            counts: Arc::default(),
        }
    }

    /// Begins one for this key, or `None` if it has too many already.
    pub(super) fn begin(&self, key: K) -> Option<Slot<K>> {
        let mut counts = lock(&self.counts);
        let count = counts.entry(key.clone()).or_insert(0);
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Slot {
            key,
            counts: Arc::clone(&self.counts),
        })
    }
}

impl<K: Eq + Hash + Clone> Drop for Slot<K> {
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}

/// Nothing panics while this is held, and a count is right after each step.
fn lock<K>(counts: &Mutex<HashMap<K, u32>>) -> MutexGuard<'_, HashMap<K, u32>> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::InFlight;

    #[test]
    fn one_who_has_too_many_keeps_nobody_else_out() {
        let limit = InFlight::new(2);
        let _first = limit.begin("alice");
        let second = limit.begin("alice");
        assert!(limit.begin("alice").is_none());
        assert!(limit.begin("bob").is_some());
        drop(second);
        assert!(limit.begin("alice").is_some());
    }

    #[test]
    fn what_is_over_takes_no_memory() {
        let limit = InFlight::new(1);
        drop(limit.begin("alice"));
        assert!(limit.counts.lock().unwrap().is_empty());
    }
}
