// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How often something happened lately. Never says less than there was: what is not known to
//! be whole is not told, and what is old is told in lumps.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use crate::clock::BootTime;
use crate::ids::{EndpointId, Uid};

/// For how long it is remembered, in milliseconds: the longest time that a rule may ask about.
const KEPT: i64 = 24 * 60 * 60 * 1000;
/// Lumps that are kept for each thing that is counted.
const MAX_LUMPS: usize = 256;
/// How long a lump may be when there are too many of them: this part of its age, but a second
/// is short enough. Then the lumps of a day are fewer than 200.
const PART_OF_AGE: Millis = 8;
const SHORT: Millis = 1000;
/// Things that are counted: users with wrong answers, and pairs of user and endpoint.
pub(super) const MAX_COUNTED: usize = 4096;

/// Milliseconds since boot; before it, if negative.
pub(super) type Millis = i64;

pub(super) fn millis(time: BootTime) -> Millis {
    Millis::try_from(time.0 / 1_000_000).unwrap_or(Millis::MAX)
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Counted {
    pub(super) uid: Uid,
    /// Connections to it; wrong answers if there is none.
    pub(super) endpoint: Option<EndpointId>,
}

/// When the first and the last event was, and how many there were.
pub(super) type Lump = (Millis, Millis, u32);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counter(VecDeque<Lump>);

/// Everything that is counted.
#[derive(Debug, Default)]
pub(super) struct Recent {
    counters: HashMap<Counted, Counter>,
    /// What was before is not known; nothing is missing if there is none.
    known_since: Option<Millis>,
    /// Not saved yet.
    changed: HashSet<Counted>,
}

impl Counter {
    pub(super) fn new(lumps: impl IntoIterator<Item = Lump>) -> Self {
        Self(lumps.into_iter().collect())
    }

    pub(super) fn lumps(&self) -> impl Iterator<Item = &Lump> {
        self.0.iter()
    }

    fn add(&mut self, at: Millis) {
        let at = self.last().map_or(at, |last| last.max(at));
        self.0.push_back((at, at, 1));
        if self.0.len() > MAX_LUMPS {
            self.merge(at);
        }
    }

    /// Makes one lump of several where that tells little less. It is as young as the youngest:
    /// what happened may seem later than it was, and never earlier.
    fn merge(&mut self, now: Millis) {
        let mut merged: VecDeque<Lump> = VecDeque::with_capacity(MAX_LUMPS);
        for older in self.0.drain(..).rev() {
            let room = merged.len() < MAX_LUMPS;
            match merged.front_mut() {
                Some(younger) if !room || joins(&older, younger, now) => {
                    younger.0 = older.0;
                    younger.2 = younger.2.saturating_add(older.2);
                }
                _ => merged.push_front(older),
            }
        }
        self.0 = merged;
    }

    fn since(&self, from: Millis) -> u32 {
        let young = self.0.iter().rev().take_while(|(_, last, _)| *last >= from);
        young.fold(0, |sum, (_, _, count)| sum.saturating_add(*count))
    }

    fn last(&self) -> Option<Millis> {
        self.0.back().map(|(_, last, _)| *last)
    }
}

/// True if an older lump and a younger one are short together.
fn joins(older: &Lump, younger: &Lump, now: Millis) -> bool {
    let length = younger.1.saturating_sub(older.0);
    let age = now.saturating_sub(younger.1);
    length < SHORT.max(age / PART_OF_AGE)
}

impl Recent {
    /// What is known since then.
    pub(super) fn new(
        counters: impl IntoIterator<Item = (Counted, Counter)>,
        known_since: Option<Millis>,
    ) -> Self {
        Self {
            counters: counters.into_iter().collect(),
            known_since,
            changed: HashSet::new(),
        }
    }

    pub(super) fn known_since(&self) -> Option<Millis> {
        self.known_since
    }

    /// Takes in one event.
    pub(super) fn add(&mut self, what: Counted, now: BootTime) {
        if self.counters.len() >= MAX_COUNTED && !self.counters.contains_key(&what) {
            self.make_room(millis(now));
        }
        self.counters.entry(what).or_default().add(millis(now));
        self.changed.insert(what);
    }

    /// How many there were within this time; nothing if not all of it is known.
    pub(super) fn within(&self, what: Counted, time: Duration, now: BootTime) -> Option<u32> {
        let time = Millis::try_from(time.as_millis()).unwrap_or(Millis::MAX);
        let from = millis(now).saturating_sub(time);
        if time > KEPT || self.known_since.is_some_and(|since| from < since) {
            return None;
        }
        let counter = self.counters.get(&what);
        Some(counter.map_or(0, |counter| counter.since(from)))
    }

    /// Forgets what no rule can ask about any more.
    pub(super) fn prune(&mut self, now: BootTime) {
        let oldest = millis(now).saturating_sub(KEPT);
        let changed = &mut self.changed;
        self.counters.retain(|what, counter| {
            let kept = counter.last().is_some_and(|last| last >= oldest);
            if !kept {
                changed.insert(*what);
            }
            kept
        });
        self.known_since = self.known_since.filter(|since| *since > oldest);
    }

    /// Forgets what was longest without an event, and that it did.
    fn make_room(&mut self, now: Millis) {
        let oldest = self.counters.iter();
        let oldest = oldest.min_by_key(|(_, counter)| counter.last());
        let Some((what, last)) = oldest.map(|(what, counter)| (*what, counter.last())) else {
            return;
        };
        self.counters.remove(&what);
        self.changed.insert(what);
        let since = last.unwrap_or(now).saturating_add(1);
        self.known_since = Some(self.known_since.map_or(since, |known| known.max(since)));
    }

    #[cfg(test)]
    pub(super) fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// What is to be saved; none of it that was forgotten.
    pub(super) fn changes(&self) -> impl Iterator<Item = (Counted, Option<&Counter>)> {
        let changed = self.changed.iter();
        changed.map(|what| (*what, self.counters.get(what)))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (Counted, &Counter)> {
        self.counters.iter().map(|(what, counter)| (*what, counter))
    }

    pub(super) fn saved(&mut self) {
        self.changed.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> BootTime {
        BootTime(seconds * 1_000_000_000)
    }

    const ALICE: Counted = Counted {
        uid: Uid(1000),
        endpoint: None,
    };

    fn within(recent: &Recent, seconds: u64, now: u64) -> Option<u32> {
        recent.within(ALICE, Duration::from_secs(seconds), at(now))
    }

    #[test]
    fn only_what_is_recent_counts() {
        let mut recent = Recent::default();
        for second in [100, 200, 300] {
            recent.add(ALICE, at(second));
        }
        assert_eq!(within(&recent, 50, 310), Some(1));
        assert_eq!(within(&recent, 110, 310), Some(2));
        assert_eq!(within(&recent, 86_400, 310), Some(3));
        assert_eq!(within(&recent, 10, 400), Some(0));
        let bob = Counted {
            uid: Uid(1001),
            endpoint: None,
        };
        assert_eq!(
            recent.within(bob, Duration::from_secs(600), at(310)),
            Some(0)
        );
    }

    #[test]
    fn a_flood_is_counted_to_the_last() {
        let mut recent = Recent::default();
        for event in 0..100_000 {
            recent.add(ALICE, BootTime(event * 1_000_000));
        }
        assert_eq!(within(&recent, 86_400, 100), Some(100_000));
        let half = within(&recent, 50, 100).unwrap();
        assert!((50_000..=57_000).contains(&half), "{half}");
        // A day of it.
        for second in 100..86_400 {
            recent.add(ALICE, at(second));
        }
        let hour = within(&recent, 3600, 86_400).unwrap();
        assert!((3600..=4100).contains(&hour), "{hour}");
        assert!(recent.counters[&ALICE].0.len() <= MAX_LUMPS);
    }

    #[test]
    fn what_is_not_known_is_not_told() {
        let mut recent = Recent::new([], Some(1000 * 1000));
        recent.add(ALICE, at(1100));
        assert_eq!(within(&recent, 100, 1100), Some(1));
        assert_eq!(within(&recent, 101, 1100), None);
        assert_eq!(within(&recent, 86_401, 200_000), None);
        recent.prune(at(1000 + 86_401));
        assert_eq!(recent.known_since(), None);
    }

    #[test]
    fn who_was_forgotten_is_not_told_to_have_done_nothing() {
        let mut recent = Recent::default();
        recent.add(ALICE, at(100));
        for uid in 0..u32::try_from(MAX_COUNTED).unwrap() {
            let uid = Uid(5000 + uid);
            recent.add(
                Counted {
                    uid,
                    endpoint: None,
                },
                at(200),
            );
        }
        assert_eq!(recent.counters.len(), MAX_COUNTED);
        assert_eq!(within(&recent, 150, 210), None);
        assert_eq!(within(&recent, 50, 210), Some(0));
    }

    #[test]
    fn what_no_rule_can_ask_about_is_forgotten_and_that_is_saved() {
        let mut recent = Recent::default();
        recent.add(ALICE, at(100));
        recent.saved();
        recent.prune(at(100 + 86_400));
        assert!(!recent.has_changed());
        recent.prune(at(101 + 86_400));
        assert_eq!(recent.changes().collect::<Vec<_>>(), [(ALICE, None)]);
    }

    proptest! {
        #[test]
        fn never_less_is_told_than_there_was(
            steps in prop::collection::vec(0_u64..5000, 1..600),
            window in 0_u64..1_000_000,
        ) {
            let mut recent = Recent::default();
            let mut now = 0;
            let mut events = Vec::new();
            for step in steps {
                now += step;
                events.push(now);
                recent.add(ALICE, BootTime(now * 1_000_000));
            }
            let time = Duration::from_millis(window);
            let told = recent.within(ALICE, time, BootTime(now * 1_000_000)).unwrap();
            let really = events.iter().filter(|event| **event + window >= now).count();
            prop_assert!(told as usize >= really);
            prop_assert!(told as usize <= events.len());
        }
    }
}
