// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who somebody is who may not exist here.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::ids::{Gid, Uid};
use crate::policy::{NameError, Names, SystemNames};

/// The first number that is given to somebody who has none. Directories and containers end below.
const FIRST: u32 = 4_000_000_000;

/// One user as somebody describes them, among others of whom only the names are known.
#[derive(Debug)]
pub struct GivenNames {
    name: String,
    uid: Uid,
    /// The groups of the user; those of this host if none.
    groups: Option<Vec<String>>,
    /// True if this host knows the others.
    is_here: bool,
    made_up: RefCell<HashMap<String, u32>>,
}

impl GivenNames {
    /// A user of a world in which everybody exists whom a policy names, and nobody else is in the
    /// user's groups.
    #[must_use]
    pub fn elsewhere(name: &str, uid: Option<Uid>, groups: &[String]) -> Self {
        Self {
            name: name.to_owned(),
            uid: uid.unwrap_or(Uid(FIRST - 1)),
            groups: Some(groups.to_vec()),
            is_here: false,
            made_up: RefCell::default(),
        }
    }

    /// A user of this host, by name or number; with these groups instead of their own, if any are
    /// given. For a name that nobody has here, it is as [`Self::elsewhere`].
    ///
    /// # Errors
    /// If the name services fail.
    pub fn here(user: &str, groups: &[String]) -> Result<Self, NameError> {
        let (name, uid) = match user.parse::<u32>().ok().map(Uid) {
            Some(uid) => (SystemNames.name_of(uid)?.unwrap_or_default(), Some(uid)),
            None => (user.to_owned(), SystemNames.uid_of(user)?),
        };
        let Some(uid) = uid else {
            return Ok(Self::elsewhere(&name, None, groups));
        };
        Ok(Self {
            name,
            uid,
            groups: (!groups.is_empty()).then(|| groups.to_vec()),
            is_here: true,
            made_up: RefCell::default(),
        })
    }

    /// The user's number, made up if they have none.
    #[must_use]
    pub fn uid(&self) -> Uid {
        self.uid
    }

    /// True if the user has no account here.
    #[must_use]
    pub fn is_made_up(&self) -> bool {
        self.uid == Uid(FIRST - 1)
    }

    /// A number for a name that has none, always the same.
    fn number(&self, kind: char, name: &str) -> u32 {
        let mut made_up = self.made_up.borrow_mut();
        let next = FIRST + u32::try_from(made_up.len()).unwrap_or(0);
        *made_up.entry(format!("{kind}{name}")).or_insert(next)
    }
}

impl Names for GivenNames {
    fn uid_of(&self, user: &str) -> Result<Option<Uid>, NameError> {
        if user == self.name {
            return Ok(Some(self.uid));
        }
        if self.is_here {
            return SystemNames.uid_of(user);
        }
        Ok(Some(Uid(self.number('u', user))))
    }

    fn name_of(&self, uid: Uid) -> Result<Option<String>, NameError> {
        if uid == self.uid {
            return Ok(Some(self.name.clone()));
        }
        if self.is_here {
            return SystemNames.name_of(uid);
        }
        Ok(None)
    }

    fn gid_of(&self, group: &str) -> Result<Option<Gid>, NameError> {
        if self.is_here
            && let Some(gid) = SystemNames.gid_of(group)?
        {
            return Ok(Some(gid));
        }
        let is_given = self
            .groups
            .as_ref()
            .is_some_and(|groups| groups.iter().any(|given| given == group));
        let exists = is_given || !self.is_here;
        Ok(exists.then(|| Gid(self.number('g', group))))
    }

    fn groups_of(&self, uid: Uid) -> Result<Vec<Gid>, NameError> {
        if uid != self.uid {
            return Ok(Vec::new());
        }
        let Some(groups) = &self.groups else {
            return SystemNames.groups_of(uid);
        };
        let gids: Result<Vec<_>, _> = groups.iter().map(|group| self.gid_of(group)).collect();
        Ok(gids?.into_iter().flatten().collect())
    }

    fn members_of(&self, _group: &str) -> Result<Vec<Uid>, NameError> {
        Ok(Vec::new())
    }
}
