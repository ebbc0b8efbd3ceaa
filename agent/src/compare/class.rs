// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The classes of users that two policies tell apart.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Serialize, Serializer};

use crate::ids::{EndpointId, Gid, Uid};
use crate::policy::{NameError, Names, Policy, UserSelector};

/// Users of whom the policies say the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// The user of this name, who is in no group that a policy names.
    User(String),
    /// A user who is only in this group.
    Group(String),
    /// Users of these numbers, both included, whose names no policy names.
    Uids(u32, u32),
    /// Everybody else.
    Others,
}

impl fmt::Display for Class {
    /// As a policy has it; `*` is everybody else.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => f.write_str(name),
            Self::Group(name) => write!(f, "%{name}"),
            Self::Uids(first, last) if first == last => first.fmt(f),
            Self::Uids(first, last) => write!(f, "{first}-{last}"),
            Self::Others => f.write_str("*"),
        }
    }
}

impl Serialize for Class {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The classes that either policy makes at an endpoint, in their order, everybody else last. Whom
/// only rules for other endpoints name is one of those.
pub(super) fn all(old: &Policy, new: &Policy, endpoint: EndpointId) -> Vec<Class> {
    let mut classes = BTreeSet::from([Class::Others]);
    let mut spans = Vec::new();
    for rule in old.rules_of(endpoint).chain(new.rules_of(endpoint)) {
        for user in rule.users.iter().chain(&rule.except) {
            match user {
                UserSelector::Everyone => {}
                UserSelector::User(name) => drop(classes.insert(Class::User(name.clone()))),
                UserSelector::Group(name) => drop(classes.insert(Class::Group(name.clone()))),
                UserSelector::Uid(uid) => spans.push((uid.0, uid.0)),
                UserSelector::Uids(first, last) => spans.push((first.0, last.0)),
            }
        }
    }
    classes.extend(split(&spans).map(|(first, last)| Class::Uids(first, last)));
    classes.into_iter().collect()
}

/// The stretches into which these divide each other.
fn split(spans: &[(u32, u32)]) -> impl Iterator<Item = (u32, u32)> {
    let begins = spans.iter().map(|(first, _)| *first);
    let ends = spans.iter().filter_map(|(_, last)| last.checked_add(1));
    let cuts: BTreeSet<u32> = begins.chain(ends).collect();
    let cuts: Vec<_> = cuts.into_iter().collect();
    let stretches: Vec<_> = cuts
        .windows(2)
        .filter_map(|pair| Some((*pair.first()?, pair.last()?.checked_sub(1)?)))
        .collect();
    stretches.into_iter().filter({
        let spans = spans.to_vec();
        move |(first, last)| spans.iter().any(|(from, to)| from <= first && last <= to)
    })
}

/// The number of users of whom a policy knows the name or nothing. No policy can name it.
const SOMEBODY: Uid = Uid(u32::MAX);
/// The number of all other users that a policy names: they exist, and are nobody who is asked
/// about.
const ANOTHER: Uid = Uid(u32::MAX - 1);
const GROUP: Gid = Gid(1);
const ANOTHER_GROUP: Gid = Gid(2);

impl Class {
    /// The number of one of them.
    pub(super) fn uid(&self) -> Uid {
        match self {
            Self::Uids(first, _) => Uid(*first),
            Self::User(_) | Self::Group(_) | Self::Others => SOMEBODY,
        }
    }
}

/// A host on which only one of the class has an account that matters, and every name exists.
impl Names for Class {
    fn uid_of(&self, user: &str) -> Result<Option<Uid>, NameError> {
        let is_it = matches!(self, Self::User(name) if name == user);
        Ok(Some(if is_it { SOMEBODY } else { ANOTHER }))
    }

    fn name_of(&self, _uid: Uid) -> Result<Option<String>, NameError> {
        Ok(None)
    }

    fn gid_of(&self, group: &str) -> Result<Option<Gid>, NameError> {
        let is_it = matches!(self, Self::Group(name) if name == group);
        Ok(Some(if is_it { GROUP } else { ANOTHER_GROUP }))
    }

    fn groups_of(&self, uid: Uid) -> Result<Vec<Gid>, NameError> {
        let is_member = matches!(self, Self::Group(_)) && uid == SOMEBODY;
        Ok(is_member.then_some(GROUP).into_iter().collect())
    }

    fn members_of(&self, _group: &str) -> Result<Vec<Uid>, NameError> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_overlap_are_told_apart_where_they_do() {
        let stretches = |spans: &[(u32, u32)]| split(spans).collect::<Vec<_>>();
        assert_eq!(
            stretches(&[(1000, 1999), (1500, 1500), (1900, 2500)]),
            [
                (1000, 1499),
                (1500, 1500),
                (1501, 1899),
                (1900, 1999),
                (2000, 2500)
            ]
        );
        assert_eq!(stretches(&[(1, 2), (5, 6)]), [(1, 2), (5, 6)]);
        assert_eq!(stretches(&[]), []);
    }
}
