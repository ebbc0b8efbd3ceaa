// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A message of systemd-resolved, and the file of known addresses.

use super::answer::wrong_with;
use super::resolved::{self, Message};
use super::seen::{MAX_SEEN, Seen};
use super::store;
use crate::clock::BootTime;

/// Whatever they say, only addresses of hosts are protected.
pub(crate) fn fuzz(data: &[u8]) {
    if let Ok(Message::Answer(observed)) = resolved::read(data) {
        assert!(!observed.names.is_empty());
        let mut seen = Seen::default();
        seen.learn(&observed, BootTime(0));
        let addresses = seen.addresses();
        assert!(addresses.len() <= MAX_SEEN);
        assert!(addresses.into_iter().all(|one| wrong_with(one).is_none()));
        seen.expire(BootTime(u64::MAX));
        assert!(
            seen.addresses().is_empty(),
            "an address that stays for ever"
        );
    }
    if let Ok(known) = store::parse(data) {
        for addresses in known.values() {
            assert!(addresses.len() <= MAX_SEEN);
            assert!(addresses.iter().all(|one| wrong_with(*one).is_none()));
        }
    }
}
