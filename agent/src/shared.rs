// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Things that many users share, and that end with the last of them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Weak};

/// Fewest entries at which it is worth looking for ended ones.
const FEW: usize = 64;

/// Finds a thing by its key for as long as somebody has it.
#[derive(Debug)]
pub(crate) struct Shared<K, V> {
    known: HashMap<K, Weak<V>>,
    /// At how many entries those of ended things are swept out.
    full: usize,
}

impl<K, V> Default for Shared<K, V> {
    fn default() -> Self {
        let known = HashMap::new();
        Self { known, full: FEW }
    }
}

impl<K: Eq + Hash, V> Shared<K, V> {
    /// The thing with this key, if somebody still has it.
    pub(crate) fn get(&self, key: &K) -> Option<Arc<V>> {
        self.known.get(key)?.upgrade()
    }

    /// Adds a thing, in the place of another one with its key.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Arc<V> {
        if self.known.len() >= self.full {
            self.known.retain(|_, value| value.strong_count() > 0);
            // Twice what is left, so that each entry is looked at a few times at most.
            self.full = (2 * self.known.len()).max(FEW);
            self.known.shrink_to(self.full);
        }
        let value = Arc::new(value);
        self.known.insert(key, Arc::downgrade(&value));
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_is_found_as_long_as_somebody_has_it() {
        let mut shared = Shared::default();
        let first = shared.insert(1, "first");
        assert_eq!(shared.get(&1).as_deref(), Some(&"first"));
        drop(first);
        assert_eq!(shared.get(&1), None);
    }

    #[test]
    fn ended_things_take_no_room() {
        let mut shared = Shared::default();
        let kept: Vec<_> = (0..100).map(|key| shared.insert(key, key)).collect();
        for key in 100..10_000 {
            shared.insert(key, key);
        }
        assert!(shared.known.len() <= 2 * kept.len());
        assert!((0..100).all(|key| shared.get(&key).is_some()));
    }
}
