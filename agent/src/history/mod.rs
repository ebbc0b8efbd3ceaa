// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is remembered of each user, so that the unusual can be told from the usual: with which
//! programs, to which endpoints, from which addresses and at which hours they got through, and
//! how often they tried and failed lately.
//!
//! It decides nothing by itself and is no proof of anything. It lies in a file of its own,
//! which is written once a minute at most and never while a connection waits. What is lost, or
//! too much to be kept, is new once more or not known, both of which are stricter; what can't
//! be read or written makes every answer "not known" (promise S4).

mod error;
mod habits;
mod recent;
mod saving;
mod store;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use jiff::tz::TimeZone;
use sha2::{Digest as _, Sha256};

use self::habits::{Habits, TooLittle};
use self::recent::{Counted, Recent};
use self::store::{SeenKey, SeenTimes, Store};
use crate::clock::{BootTime, Now};
use crate::ids::{EndpointId, Uid};

pub use self::error::{HistoryError, Unanswered};
pub use self::store::FILE_NAME;

/// News that are kept in memory at most; beyond, they are saved at once.
const MAX_NEWS: usize = 4096;
/// When something was seen last is written once a day.
const DAY: u64 = 24 * 60 * 60;

/// What somebody got through with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// The program, unless it is in doubt.
    pub program: Option<PathBuf>,
    /// The remote address of the login session, if it has one.
    pub address: Option<IpAddr>,
}

/// What is remembered of users.
#[derive(Debug)]
pub struct History {
    store: Option<Store>,
    /// The first error: from then on nothing is answered.
    broken: OnceLock<String>,
    boot: String,
    zone: TimeZone,
    seen: BTreeMap<SeenKey, SeenTimes>,
    users: BTreeMap<Uid, Habits>,
    recent: Recent,
    /// Since when something is to be saved.
    unsaved: Option<BootTime>,
}

#[derive(Clone, Copy)]
enum Kind {
    Program = 1,
    Endpoint = 2,
    Address = 3,
}

impl History {
    /// Notes that a user got through to an endpoint.
    pub fn note_passed(&mut self, uid: Uid, endpoint: EndpointId, passed: &Passed, now: Now) {
        let program = passed.program.as_deref().map(program_key);
        let keys = [
            program.map(|program| key(uid, Kind::Program, program)),
            Some(key(uid, Kind::Endpoint, u128::from(endpoint.0))),
            passed
                .address
                .map(|address| key(uid, Kind::Address, address_key(address))),
        ];
        let noted = keys
            .into_iter()
            .flatten()
            .try_for_each(|key| self.note_seen(key, now))
            .and_then(|()| self.note_hour(uid, now));
        if let Err(error) = noted {
            return self.fail(&error);
        }
        if self.seen.len() >= MAX_NEWS {
            self.save(now);
        }
    }

    fn note_seen(&mut self, key: SeenKey, now: Now) -> Result<(), HistoryError> {
        if self.seen.contains_key(&key) {
            return Ok(());
        }
        let Some(store) = self.usable() else {
            return Ok(());
        };
        let seconds = now.wall.seconds();
        let times = match store.seen(key)? {
            Some((_, last)) if seconds < last.saturating_add(DAY) => return Ok(()),
            Some((first, _)) => (first, seconds),
            None => (seconds, seconds),
        };
        self.seen.insert(key, times);
        self.stir(now);
        Ok(())
    }

    fn note_hour(&mut self, uid: Uid, now: Now) -> Result<(), HistoryError> {
        let Some(mut habits) = self.habits(uid)? else {
            return Ok(());
        };
        if habits.note(now.wall.seconds(), &self.zone) {
            self.users.insert(uid, habits);
            self.stir(now);
        }
        Ok(())
    }

    /// Notes a wrong answer of a user.
    pub fn note_failure(&mut self, uid: Uid, now: Now) {
        let endpoint = None;
        self.recent.add(Counted { uid, endpoint }, now.boot);
        self.stir(now);
    }

    /// Notes that a user tries to connect to an endpoint. To be called before the connection
    /// is judged, which counts itself.
    pub fn note_attempt(&mut self, uid: Uid, endpoint: EndpointId, now: Now) {
        let endpoint = Some(endpoint);
        self.recent.add(Counted { uid, endpoint }, now.boot);
        self.stir(now);
    }

    /// Whether a user has never got through with this program.
    ///
    /// # Errors
    /// If the history is broken.
    pub fn is_program_new(&self, uid: Uid, program: &Path) -> Result<bool, Unanswered> {
        self.is_new(key(uid, Kind::Program, program_key(program)))
    }

    /// Whether a user has never got through to this endpoint.
    ///
    /// # Errors
    /// If the history is broken.
    pub fn is_destination_new(&self, uid: Uid, endpoint: EndpointId) -> Result<bool, Unanswered> {
        self.is_new(key(uid, Kind::Endpoint, u128::from(endpoint.0)))
    }

    /// Whether a user has never got through from this address, or its network of 64 bits.
    ///
    /// # Errors
    /// If the history is broken.
    pub fn is_address_new(&self, uid: Uid, address: IpAddr) -> Result<bool, Unanswered> {
        self.is_new(key(uid, Kind::Address, address_key(address)))
    }

    fn is_new(&self, key: SeenKey) -> Result<bool, Unanswered> {
        let store = self.answering()?;
        if self.seen.contains_key(&key) {
            return Ok(false);
        }
        let found = store.seen(key).map_err(|error| self.broke(&error))?;
        Ok(found.is_none())
    }

    /// Whether a user hardly ever gets through at this time of the day.
    ///
    /// # Errors
    /// If too little is known of the user, or the history is broken.
    pub fn is_hour_unusual(&self, uid: Uid, now: Now) -> Result<bool, Unanswered> {
        self.answering()?;
        let habits = self.habits(uid).map_err(|error| self.broke(&error))?;
        let unusual = habits
            .unwrap_or_default()
            .is_unusual(now.wall.seconds(), &self.zone);
        unusual.map_err(|TooLittle { hours, days }| Unanswered::TooLittle { hours, days })
    }

    /// How many wrong answers a user has given within this time: not fewer than this.
    ///
    /// # Errors
    /// If not all of the time is known, or the history is broken.
    pub fn failures_within(&self, uid: Uid, time: Duration, now: Now) -> Result<u32, Unanswered> {
        let endpoint = None;
        self.within(Counted { uid, endpoint }, time, now)
    }

    /// How often a user has tried to connect to an endpoint within this time: not less than
    /// this.
    ///
    /// # Errors
    /// If not all of the time is known, or the history is broken.
    pub fn connections_within(
        &self,
        uid: Uid,
        endpoint: EndpointId,
        time: Duration,
        now: Now,
    ) -> Result<u32, Unanswered> {
        let endpoint = Some(endpoint);
        self.within(Counted { uid, endpoint }, time, now)
    }

    fn within(&self, what: Counted, time: Duration, now: Now) -> Result<u32, Unanswered> {
        self.answering()?;
        let count = self.recent.within(what, time, now.boot);
        count.ok_or(Unanswered::NotAll)
    }

    /// What is broken, if so.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        self.broken.get().map(String::as_str)
    }

    fn usable(&self) -> Option<&Store> {
        self.store.as_ref().filter(|_| self.broken.get().is_none())
    }

    fn answering(&self) -> Result<&Store, Unanswered> {
        let broken = || Unanswered::Broken(self.problem().unwrap_or("it isn't open").to_owned());
        self.usable().ok_or_else(broken)
    }

    /// The habits of a user; none if the history is broken.
    fn habits(&self, uid: Uid) -> Result<Option<Habits>, HistoryError> {
        if let Some(habits) = self.users.get(&uid) {
            return Ok(Some(habits.clone()));
        }
        let Some(store) = self.usable() else {
            return Ok(None);
        };
        Ok(Some(store.habits(uid)?.unwrap_or_default()))
    }

    fn stir(&mut self, now: Now) {
        self.unsaved.get_or_insert(now.boot);
    }

    fn fail(&mut self, error: &HistoryError) {
        let _ = self.broke(error);
        (self.seen, self.users) = (BTreeMap::new(), BTreeMap::new());
        self.recent = Recent::default();
    }

    /// Remembers the first error.
    fn broke(&self, error: &HistoryError) -> Unanswered {
        Unanswered::Broken(self.broken.get_or_init(|| error.to_string()).clone())
    }
}

fn key(uid: Uid, kind: Kind, what: u128) -> SeenKey {
    (uid.0, kind as u8, what)
}

/// The first half of the SHA-256 of a path: as good as the path, and of one size.
fn program_key(path: &Path) -> u128 {
    let digest = Sha256::digest(path.as_os_str().as_bytes());
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    u128::from_be_bytes(half)
}

/// An IPv4 address as IPv6 maps it; of an IPv6 address the network of 64 bits, within which
/// hosts change theirs every day (RFC 8981).
fn address_key(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(v4) => u128::from(v4.to_ipv6_mapped()),
        IpAddr::V6(v6) => u128::from(v6) >> 64 << 64,
    }
}
