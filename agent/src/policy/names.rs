// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who the names in a policy are, as the host's name services tell (nsswitch.conf(5)).

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::ffi::CString;
use std::fs::File;
use std::hash::Hash;
use std::io::{self, Read as _};

use nix::errno::Errno;
use nix::unistd::{self, Group, User};

use crate::ids::{Gid, Uid};

/// Largest /etc/passwd that is read, in bytes: some hundred thousand users.
const MAX_PASSWD: u64 = 32 * 1024 * 1024;

/// A name service failed: who somebody is can't be told. (That a name is unknown is no
/// error.)
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("looking up {object}: {cause}; is the directory service running?")]
pub struct NameError {
    /// What was looked up, as `group "dba"`.
    pub object: String,
    /// Why it failed.
    pub cause: String,
}

impl NameError {
    fn new(object: impl Into<String>, cause: impl ToString) -> Self {
        Self {
            object: object.into(),
            cause: cause.to_string(),
        }
    }
}

/// The name services. Unknown is `None`; an error means that nobody knows.
///
/// They can't always tell the two apart: a directory that is down may look like one that
/// doesn't have the name. So don't rely on deny rules for directory groups alone.
pub trait Names {
    /// The uid of a user.
    ///
    /// # Errors
    /// If the name services fail.
    fn uid_of(&self, user: &str) -> Result<Option<Uid>, NameError>;

    /// The name of a user.
    ///
    /// # Errors
    /// If the name services fail.
    fn name_of(&self, uid: Uid) -> Result<Option<String>, NameError>;

    /// The gid of a group.
    ///
    /// # Errors
    /// If the name services fail.
    fn gid_of(&self, group: &str) -> Result<Option<Gid>, NameError>;

    /// All groups of a user, the primary one included; none of an unknown user.
    ///
    /// # Errors
    /// If the name services fail.
    fn groups_of(&self, uid: Uid) -> Result<Vec<Gid>, NameError>;

    /// The members of a group that can be listed: those that the group names, and the local
    /// users whose primary group it is. A directory may know more ([`Names::groups_of`]).
    ///
    /// # Errors
    /// If the name services fail.
    fn members_of(&self, group: &str) -> Result<Vec<Uid>, NameError>;
}

/// The name services of this host.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemNames;

impl Names for SystemNames {
    fn uid_of(&self, user: &str) -> Result<Option<Uid>, NameError> {
        let found = User::from_name(user);
        let found = found.map_err(|errno| NameError::new(format!("user {user:?}"), errno))?;
        Ok(found.map(|user| Uid(user.uid.as_raw())))
    }

    fn name_of(&self, uid: Uid) -> Result<Option<String>, NameError> {
        Ok(user_with(uid)?.map(|user| user.name))
    }

    fn gid_of(&self, group: &str) -> Result<Option<Gid>, NameError> {
        Ok(group_named(group)?.map(|group| Gid(group.gid.as_raw())))
    }

    fn groups_of(&self, uid: Uid) -> Result<Vec<Gid>, NameError> {
        let Some(user) = user_with(uid)? else {
            return Ok(Vec::new());
        };
        let failed = |errno: Errno| NameError::new(format!("the groups of uid {uid}"), errno);
        let name = CString::new(user.name).map_err(|_| failed(Errno::EINVAL))?;
        let gids = unistd::getgrouplist(&name, user.gid).map_err(failed)?;
        Ok(gids.into_iter().map(|gid| Gid(gid.as_raw())).collect())
    }

    fn members_of(&self, group: &str) -> Result<Vec<Uid>, NameError> {
        let Some(found) = group_named(group)? else {
            return Ok(Vec::new());
        };
        let passwd = read_passwd().map_err(|error| NameError::new("/etc/passwd", error))?;
        let gid = Gid(found.gid.as_raw());
        let mut members: BTreeSet<Uid> = primary_members(&passwd, gid).collect();
        for name in &found.mem {
            members.extend(self.uid_of(name)?);
        }
        Ok(members.into_iter().collect())
    }
}

/// Name services whose answers are remembered until they are to be forgotten: thousands of
/// attempts that are judged at one go cost one question, which may go over the network.
#[derive(Debug, Default)]
pub struct Remembered<N> {
    names: N,
    uids: Answers<String, Option<Uid>>,
    users: Answers<Uid, Option<String>>,
    gids: Answers<String, Option<Gid>>,
    groups: Answers<Uid, Vec<Gid>>,
}

/// What was asked, and the answer.
pub(super) type Answers<K, V> = RefCell<HashMap<K, Result<V, NameError>>>;

impl<N: Names> Remembered<N> {
    /// Asks these.
    #[must_use]
    pub fn new(names: N) -> Self {
        Self {
            names,
            uids: RefCell::default(),
            users: RefCell::default(),
            gids: RefCell::default(),
            groups: RefCell::default(),
        }
    }

    /// Forgets all answers, errors included, but for the names of users: nothing is decided by
    /// those, and they are asked for with each record.
    pub fn forget(&mut self) {
        self.uids.get_mut().clear();
        self.users.get_mut().retain(|_, name| name.is_ok());
        self.gids.get_mut().clear();
        self.groups.get_mut().clear();
    }

    /// Forgets the names of users, which can change hands.
    pub fn forget_users(&mut self) {
        self.users.get_mut().clear();
    }
}

impl<N: Names> Names for Remembered<N> {
    fn uid_of(&self, user: &str) -> Result<Option<Uid>, NameError> {
        remembered(&self.uids, user.to_owned(), || self.names.uid_of(user))
    }

    fn name_of(&self, uid: Uid) -> Result<Option<String>, NameError> {
        remembered(&self.users, uid, || self.names.name_of(uid))
    }

    fn gid_of(&self, group: &str) -> Result<Option<Gid>, NameError> {
        remembered(&self.gids, group.to_owned(), || self.names.gid_of(group))
    }

    fn groups_of(&self, uid: Uid) -> Result<Vec<Gid>, NameError> {
        remembered(&self.groups, uid, || self.names.groups_of(uid))
    }

    /// Asked anew each time: only a reload lists members.
    fn members_of(&self, group: &str) -> Result<Vec<Uid>, NameError> {
        self.names.members_of(group)
    }
}

/// The answer that is known, or else asks.
pub(super) fn remembered<K: Eq + Hash, V: Clone>(
    answers: &Answers<K, V>,
    key: K,
    ask: impl FnOnce() -> Result<V, NameError>,
) -> Result<V, NameError> {
    answers.borrow_mut().entry(key).or_insert_with(ask).clone()
}

fn user_with(uid: Uid) -> Result<Option<User>, NameError> {
    User::from_uid(unistd::Uid::from_raw(uid.0))
        .map_err(|errno| NameError::new(format!("uid {uid}"), errno))
}

fn group_named(group: &str) -> Result<Option<Group>, NameError> {
    Group::from_name(group).map_err(|errno| NameError::new(format!("group {group:?}"), errno))
}

fn read_passwd() -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open("/etc/passwd")?
        .take(MAX_PASSWD)
        .read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The users of passwd(5) whose primary group this is.
fn primary_members(passwd: &str, gid: Gid) -> impl Iterator<Item = Uid> {
    passwd.lines().filter_map(move |line| {
        let mut fields = line.split(':').skip(2);
        let uid = fields.next()?.parse().ok()?;
        let group: u32 = fields.next()?.parse().ok()?;
        (group == gid.0).then_some(Uid(uid))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_known_by_name_and_number() {
        let names = SystemNames;
        assert_eq!(names.uid_of("root"), Ok(Some(Uid(0))));
        assert_eq!(names.name_of(Uid(0)), Ok(Some("root".to_owned())));
        assert_eq!(names.gid_of("root"), Ok(Some(Gid(0))));
        assert!(names.groups_of(Uid(0)).unwrap().contains(&Gid(0)));
        assert!(names.members_of("root").unwrap().contains(&Uid(0)));
    }

    /// Root, as long as there is a name service.
    struct Once(std::cell::Cell<bool>);

    impl Names for Once {
        fn uid_of(&self, _: &str) -> Result<Option<Uid>, NameError> {
            self.name_of(Uid(0)).map(|_| Some(Uid(0)))
        }

        fn name_of(&self, _: Uid) -> Result<Option<String>, NameError> {
            match self.0.take() {
                true => Ok(Some("root".to_owned())),
                false => Err(NameError::new("everything", "over")),
            }
        }

        fn gid_of(&self, _: &str) -> Result<Option<Gid>, NameError> {
            Ok(None)
        }

        fn groups_of(&self, _: Uid) -> Result<Vec<Gid>, NameError> {
            Ok(Vec::new())
        }

        fn members_of(&self, _: &str) -> Result<Vec<Uid>, NameError> {
            Ok(Vec::new())
        }
    }

    #[test]
    fn what_decides_is_forgotten_with_each_turn_and_what_a_uid_is_called_later() {
        let mut names = Remembered::new(Once(true.into()));
        assert_eq!(names.uid_of("root"), Ok(Some(Uid(0))));
        names.forget();
        assert!(names.uid_of("root").is_err());

        let mut names = Remembered::new(Once(true.into()));
        assert_eq!(names.name_of(Uid(0)), Ok(Some("root".to_owned())));
        names.forget();
        assert_eq!(names.name_of(Uid(0)), Ok(Some("root".to_owned())));
        names.forget_users();
        assert!(names.name_of(Uid(0)).is_err());
        // That it failed isn't remembered for so long.
        names.names.0.set(true);
        names.forget();
        assert!(names.name_of(Uid(0)).is_ok());
    }

    #[test]
    fn an_unknown_name_is_no_error() {
        let names = SystemNames;
        assert_eq!(names.uid_of("no-such-user-here"), Ok(None));
        assert_eq!(names.gid_of("no-such-group-here"), Ok(None));
        assert_eq!(names.name_of(Uid(3_999_999_999)), Ok(None));
        assert_eq!(names.groups_of(Uid(3_999_999_999)), Ok(Vec::new()));
        assert_eq!(names.members_of("no-such-group-here"), Ok(Vec::new()));
    }

    #[test]
    fn a_name_with_a_nul_is_an_error_or_unknown_but_no_panic() {
        assert_ne!(SystemNames.uid_of("ro\0ot"), Ok(Some(Uid(0))));
    }

    #[test]
    fn primary_members_are_found_in_passwd() {
        let passwd = "a:x:1000:100::/:/bin/sh\nb:x:1001:50::/:/bin/sh\nbroken\nc:x:1002:100::/:/";
        let members: Vec<_> = primary_members(passwd, Gid(100)).collect();
        assert_eq!(members, [Uid(1000), Uid(1002)]);
    }
}
