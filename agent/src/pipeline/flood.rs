// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Keeps one user from filling the audit log, and the daemon's time, with answers. What
//! attempts a user may make is the gate's affair.

use std::collections::HashMap;
use std::time::Duration;

use crate::clock::BootTime;
use crate::ids::Uid;

/// Answers that a user may give at once and still have each one looked at.
const BURST: u32 = 2048;
/// Every how many nanoseconds a user may give one more: 50 a second.
const REFILL: Duration = Duration::from_millis(20);
/// Most users that are counted at once; a host has fewer. What is beyond is judged.
const MAX_USERS: usize = 1 << 16;

/// Counts answers for each user that gave them.
#[derive(Debug, Default)]
pub(super) struct Flood {
    users: HashMap<Uid, Bucket>,
}

#[derive(Debug)]
struct Bucket {
    left: u32,
    filled: BootTime,
    refused: u64,
}

impl Flood {
    /// True if this answer of the user may be looked at; otherwise it is counted.
    pub(super) fn admits(&mut self, uid: Uid, now: BootTime) -> bool {
        if self.users.len() >= MAX_USERS && !self.users.contains_key(&uid) {
            return true;
        }
        let bucket = self.users.entry(uid).or_insert(Bucket {
            left: BURST,
            filled: now,
            refused: 0,
        });
        let earned = now.since(bucket.filled).as_nanos() / REFILL.as_nanos();
        if earned > 0 {
            bucket.left = BURST.min(
                bucket
                    .left
                    .saturating_add(u32::try_from(earned).unwrap_or(BURST)),
            );
            bucket.filled = now;
        }
        if bucket.left == 0 {
            bucket.refused += 1;
            return false;
        }
        bucket.left -= 1;
        true
    }

    /// True if something was refused that nobody has taken note of.
    pub(super) fn is_on(&self) -> bool {
        self.users.values().any(|bucket| bucket.refused > 0)
    }

    /// What was refused since the last call, by user; and forgets users who have been quiet.
    pub(super) fn take_refused(&mut self, now: BootTime) -> Vec<(Uid, u64)> {
        let refused = self
            .users
            .iter_mut()
            .filter(|(_, bucket)| bucket.refused > 0)
            .map(|(uid, bucket)| (*uid, std::mem::take(&mut bucket.refused)))
            .collect();
        self.users
            .retain(|_, bucket| now.since(bucket.filled) < REFILL * BURST);
        refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: Uid = Uid(1000);

    #[test]
    fn a_burst_is_admitted_and_what_is_beyond_it_is_counted() {
        let mut flood = Flood::default();
        let now = BootTime(1);
        assert!((0..BURST).all(|_| flood.admits(ALICE, now)));
        assert!(!flood.admits(ALICE, now));
        assert!(
            flood.admits(Uid(1001), now),
            "another user's answers are their own"
        );
        assert_eq!(flood.take_refused(now), [(ALICE, 1)]);
        assert_eq!(flood.take_refused(now), []);
    }

    #[test]
    fn time_earns_answers_back() {
        let mut flood = Flood::default();
        let now = BootTime(1);
        while flood.admits(ALICE, now) {}
        let later = now.after(REFILL * 3);
        assert_eq!((0..10).filter(|_| flood.admits(ALICE, later)).count(), 3);
    }
}
