// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What conditions learn of an attempt of an audit log.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::attempt::Attempt;
use crate::ids::{Gid, Uid};
use crate::policy::{Fact, Facts, NameError, Names, ProgramFacts, SessionFacts, Unknown};

/// The facts of one attempt; notes what was asked for in vain.
pub(super) struct LogFacts<'a> {
    pub(super) attempt: &'a Attempt,
    pub(super) missing: &'a RefCell<BTreeSet<&'static str>>,
}

impl LogFacts<'_> {
    fn lacks<T>(&self, what: &'static str) -> Fact<T> {
        self.missing.borrow_mut().insert(what);
        Err(Unknown::because(format!("the log doesn't tell {what}")))
    }
}

impl Facts for LogFacts<'_> {
    fn at(&self) -> Timestamp {
        self.attempt.at
    }

    fn program(&self) -> Fact<ProgramFacts> {
        let process = self.attempt.process.as_ref();
        match process.and_then(|process| process.exe.as_ref()) {
            Some(path) => Ok(ProgramFacts {
                path: path.clone(),
                doubt: None,
            }),
            None => self.lacks("which program it was"),
        }
    }

    fn digest(&self) -> Fact<[u8; 32]> {
        self.lacks("the SHA-256 of programs")
    }

    fn session(&self) -> Fact<SessionFacts> {
        self.lacks("login sessions")
    }

    fn has_terminal(&self) -> Fact<bool> {
        self.lacks("whether there was a terminal")
    }

    fn unit(&self) -> Fact<String> {
        let process = self.attempt.process.as_ref();
        let cgroup = process.and_then(|process| process.cgroup.as_deref());
        match cgroup.and_then(crate::classify::unit_named_by_root) {
            Some(unit) => Ok(unit),
            None => self.lacks("every systemd unit"),
        }
    }

    fn is_program_new(&self) -> Fact<bool> {
        self.lacks("which programs were new")
    }

    fn is_destination_new(&self) -> Fact<bool> {
        self.lacks("which endpoints were new to whom")
    }

    fn is_address_new(&self) -> Fact<bool> {
        self.lacks("login sessions")
    }

    fn is_hour_unusual(&self) -> Fact<bool> {
        self.lacks("which hours were unusual")
    }

    fn failures_within(&self, _time: Duration) -> Fact<u32> {
        self.lacks("how many wrong answers came before")
    }

    fn connections_within(&self, _time: Duration) -> Fact<u32> {
        self.lacks("how many connections came before")
    }
}

/// The name services, which take the log's word for what the user of an attempt is called.
pub(super) struct LogNames<'a> {
    pub(super) names: &'a dyn Names,
    pub(super) attempt: &'a Attempt,
}

impl Names for LogNames<'_> {
    fn uid_of(&self, user: &str) -> Result<Option<Uid>, NameError> {
        if self.attempt.user.as_deref() == Some(user) {
            return Ok(Some(self.attempt.uid));
        }
        self.names.uid_of(user)
    }

    fn name_of(&self, uid: Uid) -> Result<Option<String>, NameError> {
        self.names.name_of(uid)
    }

    fn gid_of(&self, group: &str) -> Result<Option<Gid>, NameError> {
        self.names.gid_of(group)
    }

    fn groups_of(&self, uid: Uid) -> Result<Vec<Gid>, NameError> {
        self.names.groups_of(uid)
    }

    fn members_of(&self, group: &str) -> Result<Vec<Uid>, NameError> {
        self.names.members_of(group)
    }
}
