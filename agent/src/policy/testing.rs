// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What tests need to speak of policies: one from a text, and name services of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use super::names::{NameError, Names};
use super::{
    Fact, Facts, Loaded, Policy, ProgramFacts, SessionFacts, SessionType, Unknown, load_texts,
};
use crate::config::{Diagnostic, Diagnostics};
use crate::ids::{Gid, Uid};

/// The policy of one file.
pub(crate) fn policy(text: &str) -> Policy {
    match load_texts(&[(PathBuf::from("p.toml"), text.to_owned())]) {
        Ok(loaded) => loaded.policy,
        Err(mistakes) => panic!("{mistakes}"),
    }
}

/// A sound endpoint.
pub(crate) const ENDPOINT: &str =
    "[[endpoint]]\nname = \"db\"\nhosts = [\"10.0.0.1\"]\nports = [5432]\n";

/// Loads these texts as the files 1.toml, 2.toml and so on.
pub(crate) fn texts(texts: &[&str]) -> Result<Loaded, Diagnostics> {
    let name = |at: usize| PathBuf::from(format!("{}.toml", at + 1));
    let texts: Vec<_> = texts
        .iter()
        .enumerate()
        .map(|(at, text)| (name(at), (*text).to_owned()))
        .collect();
    load_texts(&texts)
}

/// `file:line:column message; help` of each finding.
pub(crate) fn findings(all: impl IntoIterator<Item = Diagnostic>) -> Vec<String> {
    let views = all.into_iter().map(|one| one.view());
    views
        .map(|one| {
            let place = one.line.zip(one.column);
            let place = place.map_or(String::new(), |(line, column)| format!(":{line}:{column}"));
            let help = one.help.map_or(String::new(), |help| format!("; {help}"));
            format!("{}{place} {}{help}", one.file, one.message)
        })
        .collect()
}

/// The mistakes of these texts.
#[track_caller]
pub(crate) fn mistakes(files: &[&str]) -> Vec<String> {
    findings(texts(files).unwrap_err().iter().cloned())
}

/// The only mistake of a policy with a sound endpoint "db" and this rule.
#[track_caller]
pub(crate) fn rule_mistake(rule: &str) -> String {
    let rule = format!("[[rule]]\nname = \"r\"\n{rule}");
    only(mistakes(&[ENDPOINT, &rule]))
}

/// The only mistake of a policy of this endpoint.
#[track_caller]
pub(crate) fn endpoint_mistake(endpoint: &str) -> String {
    only(mistakes(&[&format!("[[endpoint]]\n{endpoint}")]))
}

/// The only one.
#[track_caller]
pub(crate) fn only(mut list: Vec<String>) -> String {
    assert_eq!(list.len(), 1, "{list:#?}");
    list.remove(0)
}

/// A connection of which a test says what is known; the rest can't be told.
#[derive(Clone, Debug)]
pub(crate) struct FakeFacts {
    pub(crate) at: Timestamp,
    pub(crate) program: Option<ProgramFacts>,
    pub(crate) digest: Option<[u8; 32]>,
    pub(crate) session: Option<SessionFacts>,
    pub(crate) has_terminal: Option<bool>,
    pub(crate) unit: Option<String>,
    pub(crate) is_program_new: Option<bool>,
    pub(crate) is_destination_new: Option<bool>,
    pub(crate) is_address_new: Option<bool>,
    pub(crate) is_hour_unusual: Option<bool>,
    pub(crate) failures: Option<u32>,
    pub(crate) connections: Option<u32>,
}

impl FakeFacts {
    /// At this time, as `2026-01-05T03:00:00Z`; nothing else is known.
    pub(crate) fn at(time: &str) -> Self {
        Self {
            at: time.parse().unwrap(),
            program: None,
            digest: None,
            session: None,
            has_terminal: None,
            unit: None,
            is_program_new: None,
            is_destination_new: None,
            is_address_new: None,
            is_hour_unusual: None,
            failures: None,
            connections: None,
        }
    }

    /// The same of this program.
    pub(crate) fn running(mut self, path: &str) -> Self {
        self.program = Some(ProgramFacts {
            path: path.into(),
            doubt: None,
        });
        self
    }

    /// The same in a session that came over the network, or didn't.
    pub(crate) fn remote(mut self, remote: bool) -> Self {
        self.session = Some(SessionFacts {
            remote,
            remote_address: None,
            kind: SessionType::Tty,
            seat: None,
        });
        self
    }
}

fn known<T: Clone>(fact: Option<&T>) -> Fact<T> {
    fact.cloned().ok_or_else(|| Unknown::because("nobody said"))
}

impl Facts for FakeFacts {
    fn at(&self) -> Timestamp {
        self.at
    }
    fn program(&self) -> Fact<ProgramFacts> {
        known(self.program.as_ref())
    }
    fn digest(&self) -> Fact<[u8; 32]> {
        known(self.digest.as_ref())
    }
    fn session(&self) -> Fact<SessionFacts> {
        known(self.session.as_ref())
    }
    fn has_terminal(&self) -> Fact<bool> {
        known(self.has_terminal.as_ref())
    }
    fn unit(&self) -> Fact<String> {
        known(self.unit.as_ref())
    }
    fn is_program_new(&self) -> Fact<bool> {
        known(self.is_program_new.as_ref())
    }
    fn is_destination_new(&self) -> Fact<bool> {
        known(self.is_destination_new.as_ref())
    }
    fn is_address_new(&self) -> Fact<bool> {
        known(self.is_address_new.as_ref())
    }
    fn is_hour_unusual(&self) -> Fact<bool> {
        known(self.is_hour_unusual.as_ref())
    }
    fn failures_within(&self, _time: Duration) -> Fact<u32> {
        known(self.failures.as_ref())
    }
    fn connections_within(&self, _time: Duration) -> Fact<u32> {
        known(self.connections.as_ref())
    }
}

/// Name services that know what a test tells them.
#[derive(Clone, Debug, Default)]
pub(crate) struct FakeNames {
    users: BTreeMap<String, Uid>,
    groups: BTreeMap<String, Gid>,
    members: BTreeMap<Gid, BTreeSet<Uid>>,
    unlisted: BTreeSet<Gid>,
    failing: BTreeSet<String>,
}

impl FakeNames {
    /// Adds a user and their groups.
    pub(crate) fn user(mut self, name: &str, uid: u32, groups: &[(&str, u32)]) -> Self {
        self.users.insert(name.to_owned(), Uid(uid));
        for (group, gid) in groups {
            self.groups.insert((*group).to_owned(), Gid(*gid));
            self.members.entry(Gid(*gid)).or_default().insert(Uid(uid));
        }
        self
    }

    /// The members of this group can be asked for one by one only, as those of a directory.
    pub(crate) fn unlisted(mut self, gid: u32) -> Self {
        self.unlisted.insert(Gid(gid));
        self
    }

    /// Looking up this user or group fails.
    pub(crate) fn failing(mut self, name: &str) -> Self {
        self.failing.insert(name.to_owned());
        self
    }

    fn check(&self, name: &str) -> Result<(), NameError> {
        if !self.failing.contains(name) {
            return Ok(());
        }
        Err(NameError {
            object: name.to_owned(),
            cause: "out of order".to_owned(),
        })
    }
}

impl Names for FakeNames {
    fn uid_of(&self, user: &str) -> Result<Option<Uid>, NameError> {
        self.check(user)?;
        Ok(self.users.get(user).copied())
    }

    fn name_of(&self, uid: Uid) -> Result<Option<String>, NameError> {
        let mut users = self.users.iter();
        Ok(users
            .find(|(_, id)| **id == uid)
            .map(|(name, _)| name.clone()))
    }

    fn gid_of(&self, group: &str) -> Result<Option<Gid>, NameError> {
        self.check(group)?;
        Ok(self.groups.get(group).copied())
    }

    fn groups_of(&self, uid: Uid) -> Result<Vec<Gid>, NameError> {
        if let Some(name) = self.name_of(uid)? {
            self.check(&name)?;
        }
        let groups = self.members.iter();
        Ok(groups
            .filter(|(_, members)| members.contains(&uid))
            .map(|(gid, _)| *gid)
            .collect())
    }

    fn members_of(&self, group: &str) -> Result<Vec<Uid>, NameError> {
        let Some(gid) = self.gid_of(group)? else {
            return Ok(Vec::new());
        };
        if self.unlisted.contains(&gid) {
            return Ok(Vec::new());
        }
        Ok(self
            .members
            .get(&gid)
            .into_iter()
            .flatten()
            .copied()
            .collect())
    }
}
