// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is known of one name, and when it is to be looked up again.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::answer::{Answer, Refused, sound};
use super::lookup::{Failed, Lookup};
use crate::clock::BootTime;

/// A name is looked up again when its TTL is over, but not sooner than this.
pub const SHORTEST: Duration = Duration::from_secs(5);
/// And not later than this.
pub const LONGEST: Duration = Duration::from_secs(60 * 60);
/// An address that is gone from the answers stays protected for its TTL, but at least this long:
/// caches and programs may still have the old answer.
pub const GRACE: Duration = Duration::from_secs(5 * 60);
/// And at most this long.
pub const LONGEST_GRACE: Duration = Duration::from_secs(24 * 60 * 60);
/// The first pause after a failed lookup; each further one doubles it, up to [`GRACE`].
pub(super) const FIRST_PAUSE: Duration = SHORTEST;

/// What is known of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    addresses: BTreeMap<IpAddr, Address>,
    due: BootTime,
    /// Failures since the last good answer.
    failures: u32,
    trouble: Trouble,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Address {
    /// How long others may remember it.
    ttl: Duration,
    /// Until when it stays, if it is gone from the answers.
    until: Option<BootTime>,
}

/// What was wrong with the last lookup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Trouble {
    failed: Option<Failed>,
    refused: Option<Refused>,
}

impl Known {
    /// What an earlier daemon knew: it stays until an answer says otherwise.
    pub(super) fn remembered(addresses: &BTreeSet<IpAddr>, now: BootTime) -> Self {
        let ttl = GRACE;
        let address = |address: &IpAddr| (*address, Address { ttl, until: None });
        Self {
            addresses: addresses.iter().map(address).collect(),
            due: now,
            failures: 0,
            trouble: Trouble::default(),
        }
    }

    /// What is protected for it.
    pub(super) fn addresses(&self) -> BTreeSet<IpAddr> {
        self.addresses.keys().copied().collect()
    }

    /// When it is to be looked up.
    pub(super) fn due(&self) -> BootTime {
        self.due
    }

    /// When the next address leaves.
    pub(super) fn next_leave(&self) -> Option<BootTime> {
        self.addresses.values().filter_map(|one| one.until).min()
    }

    /// Takes away what has been gone for long enough.
    pub(super) fn expire(&mut self, now: BootTime) {
        let stays = |one: &Address| one.until.is_none_or(|until| until > now);
        self.addresses.retain(|_, one| stays(one));
    }

    /// Takes in what was found out. What failed changes nothing, and what is refused takes
    /// nothing away.
    pub(super) fn learn(&mut self, lookup: Lookup, now: BootTime) {
        self.trouble = Trouble::default();
        let is_nothing = lookup.is_nothing();
        let mut next = LONGEST;
        for (family, found) in lookup.families() {
            match found {
                Ok(answer) if !is_nothing => {
                    if !answer.addresses.is_empty() {
                        next = next.min(answer.ttl.max(SHORTEST));
                    }
                    self.take(family, &answer, now);
                }
                Ok(_) => self.trouble.failed = Some(Failed::Nothing),
                Err(failed) => self.trouble.failed = Some(failed),
            }
        }
        if self.trouble == Trouble::default() {
            self.failures = 0;
        } else {
            let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(16));
            self.failures = self.failures.saturating_add(1);
            next = next.min(pause.min(GRACE));
        }
        self.due = now.after(next);
    }

    fn take(&mut self, family: Family, answer: &Answer, now: BootTime) {
        let (addresses, refused) = sound(&answer.addresses);
        if refused.is_none() {
            let of_family = |address: &IpAddr| address.is_ipv4() == (family == Family::V4);
            for (address, known) in &mut self.addresses {
                if of_family(address) && known.until.is_none() {
                    let grace = known.ttl.clamp(GRACE, LONGEST_GRACE);
                    known.until = Some(now.after(grace));
                }
            }
        } else {
            self.trouble.refused = refused;
        }
        for address in addresses {
            // A cache says how long it will still remember; others may have a fresher answer.
            let before = self.addresses.get(&address).map(|known| known.ttl);
            let ttl = answer.ttl.max(before.unwrap_or_default());
            self.addresses.insert(address, Address { ttl, until: None });
        }
    }

    /// What people should know about it, if something is wrong.
    pub(super) fn problem(&self, name: &str) -> Option<String> {
        let why = match (&self.trouble.refused, &self.trouble.failed) {
            (Some(refused), _) => refused.to_string(),
            (None, Some(failed)) => failed.to_string(),
            (None, None) if self.addresses.is_empty() => "it is being looked up".to_owned(),
            (None, None) => return None,
        };
        Some(match self.addresses.len() {
            0 => format!("{name} has never been resolved: it is NOT protected yet ({why})"),
            known => format!("{name}: {why}; the {known} known addresses stay protected"),
        })
    }
}

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

#[cfg(test)]
mod tests;
