// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whom a rule speaks of: the one piece of code that both the decision and the kernel's tables
//! come from.

use super::facts::{Fact, Unknown};
use super::names::{Answers, NameError, Names, remembered};
use super::{Rule, UserSelector};
use crate::ids::{Gid, Uid};

/// Matches rules against users, asking the name services once for each name. It goes stale:
/// make one for each decision, or for each compilation.
pub(crate) struct Matcher<'a> {
    names: &'a dyn Names,
    uids: Answers<String, Option<Uid>>,
    gids: Answers<String, Option<Gid>>,
    groups: Answers<Uid, Vec<Gid>>,
}

impl<'a> Matcher<'a> {
    pub(crate) fn new(names: &'a dyn Names) -> Self {
        Self {
            names,
            uids: Answers::default(),
            gids: Answers::default(),
            groups: Answers::default(),
        }
    }

    /// The uid of a user.
    pub(crate) fn uid_of(&self, user: &str) -> Result<Option<Uid>, NameError> {
        remembered(&self.uids, user.to_owned(), || self.names.uid_of(user))
    }

    /// True if the rule speaks of the user. One selector that fits is enough, whatever became of
    /// the others; and one that excepts the user, or may do so, too.
    pub(crate) fn speaks_of(&self, rule: &Rule, subject: Uid) -> Fact<bool> {
        self.means(&rule.users, &rule.except, subject)
    }

    /// The same for users, and whom of them not.
    pub(crate) fn means(
        &self,
        users: &[UserSelector],
        except: &[UserSelector],
        subject: Uid,
    ) -> Fact<bool> {
        let excepted = self.any(except, |selector| {
            self.refuse_unknown(selector)?;
            self.selects(selector, subject)
        });
        if excepted == Ok(true) {
            return Ok(false);
        }
        let meant = self.any(users, |selector| self.selects(selector, subject))?;
        // Whom the rule doesn't mean anyway needs no exception.
        if meant {
            excepted.map(|_| true)
        } else {
            Ok(false)
        }
    }

    fn any(
        &self,
        selectors: &[UserSelector],
        selects: impl Fn(&UserSelector) -> Fact<bool>,
    ) -> Fact<bool> {
        let mut failure = None;
        for selector in selectors {
            match selects(selector) {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(error) => failure = Some(error),
            }
        }
        failure.map_or(Ok(false), Err)
    }

    /// An exception for somebody who doesn't exist may be one with a wrong name: who it was meant
    /// for would then be let in.
    fn refuse_unknown(&self, selector: &UserSelector) -> Fact<()> {
        let (exists, what) = match selector {
            UserSelector::User(name) => (self.uid_of(name)?.is_some(), format!("user {name:?}")),
            UserSelector::Group(name) => (self.gid_of(name)?.is_some(), format!("group {name:?}")),
            UserSelector::Everyone | UserSelector::Uid(_) | UserSelector::Uids(..) => return Ok(()),
        };
        if exists {
            return Ok(());
        }
        let why = format!("there is no {what}, whom the rule excepts");
        Err(Unknown::because(why))
    }

    fn gid_of(&self, group: &str) -> Result<Option<Gid>, NameError> {
        remembered(&self.gids, group.to_owned(), || self.names.gid_of(group))
    }

    fn selects(&self, selector: &UserSelector, subject: Uid) -> Fact<bool> {
        match selector {
            UserSelector::Everyone => Ok(true),
            UserSelector::Uid(uid) => Ok(*uid == subject),
            UserSelector::Uids(first, last) => Ok((*first..=*last).contains(&subject)),
            UserSelector::User(name) => Ok(self.uid_of(name)? == Some(subject)),
            UserSelector::Group(name) => {
                let Some(gid) = self.gid_of(name)? else {
                    return Ok(false);
                };
                let groups = || self.names.groups_of(subject);
                Ok(remembered(&self.groups, subject, groups)?.contains(&gid))
            }
        }
    }
}
