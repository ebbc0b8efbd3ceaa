// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What was seen of the names below one suffix.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::answer::{Refused, sound};
use super::known::{GRACE, LONGEST, LONGEST_GRACE};
use super::resolved::Observed;
use crate::clock::BootTime;

/// The most addresses that all the names below one suffix may have. Where there are more, those
/// that would leave first make room: a flood of lookups must not fill the kernel's maps.
pub const MAX_SEEN: usize = 4096;

/// The addresses that were seen for names below one suffix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Until when each stays.
    addresses: BTreeMap<IpAddr, BootTime>,
    refused: Option<(String, Refused)>,
    overfull: bool,
}

impl Seen {
    /// What an earlier daemon had seen: it stays for an hour, as programs may go on with it.
    pub(super) fn remembered(addresses: &BTreeSet<IpAddr>, now: BootTime) -> Self {
        let until = now.after(LONGEST);
        Self {
            addresses: addresses.iter().map(|one| (*one, until)).collect(),
            ..Self::default()
        }
    }

    pub(super) fn addresses(&self) -> BTreeSet<IpAddr> {
        self.addresses.keys().copied().collect()
    }

    pub(super) fn next_leave(&self) -> Option<BootTime> {
        self.addresses.values().min().copied()
    }

    pub(super) fn expire(&mut self, now: BootTime) {
        self.addresses.retain(|_, until| *until > now);
        self.overfull &= self.addresses.len() >= MAX_SEEN;
    }

    /// Takes in an answer that somebody got: its addresses stay for their TTL and a grace time,
    /// each time anew.
    pub(super) fn learn(&mut self, observed: &Observed, now: BootTime) {
        let ttl = observed.ttl.min(LONGEST_GRACE);
        let until = now.after(ttl).after(ttl.max(GRACE));
        let (addresses, refused) = sound(&observed.addresses);
        if let Some(refused) = refused {
            self.refused = Some((observed.name().to_owned(), refused));
        }
        for address in addresses {
            let known = self.addresses.entry(address).or_insert(until);
            *known = until.max(*known);
        }
        while self.addresses.len() > MAX_SEEN {
            self.overfull = true;
            let first = self.addresses.iter().min_by_key(|(_, until)| **until);
            let Some(first) = first.map(|(address, _)| *address) else {
                break;
            };
            self.addresses.remove(&first);
        }
    }

    /// What people should know about it, if something is wrong.
    pub(super) fn problem(&self, name: &str) -> Option<String> {
        if self.overfull {
            return Some(format!(
                "{name} has more than {MAX_SEEN} addresses: those that were not looked up for the \
                 longest time are NOT protected"
            ));
        }
        let (asked, refused) = self.refused.as_ref()?;
        Some(format!("{name}, at {asked}: {refused}"))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;

    fn observed(addresses: &[IpAddr], ttl: u64) -> Observed {
        Observed {
            names: vec!["db1.example.com".to_owned()],
            addresses: addresses.to_vec(),
            ttl: Duration::from_secs(ttl),
        }
    }

    fn at(seconds: u64) -> BootTime {
        BootTime(0).after(Duration::from_secs(seconds))
    }

    fn address(number: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number))
    }

    #[test]
    fn what_was_seen_stays_for_its_ttl_and_the_grace_time() {
        let mut seen = Seen::default();
        seen.learn(&observed(&[address(1)], 60), at(0));
        seen.learn(&observed(&[address(2)], 600), at(0));
        seen.expire(at(359));
        assert_eq!(seen.addresses().len(), 2);
        seen.expire(at(360));
        assert_eq!(seen.addresses(), BTreeSet::from([address(2)]));
        // Seen again, it stays longer; a shorter answer takes nothing from it.
        seen.learn(&observed(&[address(2)], 600), at(1000));
        seen.learn(&observed(&[address(2)], 1), at(1001));
        assert_eq!(seen.next_leave(), Some(at(2200)));
        seen.expire(at(2200));
        assert!(seen.addresses().is_empty());
    }

    #[test]
    fn a_flood_of_addresses_pushes_out_the_oldest_and_is_reported() {
        let mut seen = Seen::default();
        seen.learn(&observed(&[address(0)], 0), at(0));
        for number in 1..=MAX_SEEN {
            let number = u32::try_from(number).unwrap();
            seen.learn(&observed(&[address(number)], 0), at(u64::from(number)));
        }
        assert_eq!(seen.addresses().len(), MAX_SEEN);
        assert!(!seen.addresses().contains(&address(0)));
        let problem = seen.problem("*.example.com").unwrap();
        assert!(problem.contains("NOT protected"), "{problem}");
    }

    #[test]
    fn an_answer_with_loopback_is_reported_with_its_name() {
        let mut seen = Seen::default();
        seen.learn(&observed(&[IpAddr::V4(Ipv4Addr::LOCALHOST)], 60), at(0));
        assert!(seen.addresses().is_empty());
        let problem = seen.problem("*.example.com").unwrap();
        assert!(
            problem.contains("db1.example.com") && problem.contains("127.0.0.1"),
            "{problem}"
        );
    }
}
