// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads the users of a rule or a role.

use super::{Located, each};
use crate::config::{Findings, MAX_UID, Value};
use crate::ids::Uid;
use crate::policy::UserSelector;

/// Longest name of a user or group. Linux has 32 characters, directories more.
const MAX_USER: usize = 256;

/// The users of a rule, before its roles are looked up.
#[derive(Clone, Debug)]
pub(in crate::policy) struct Users {
    /// In the order in which they are written.
    pub(in crate::policy) meant: Vec<Who>,
    /// Who isn't meant, though `meant` takes them in.
    pub(in crate::policy) except: Vec<UserSelector>,
    /// Those of both, with their places, and whether they are excepted.
    pub(in crate::policy) named: Vec<(Located<UserSelector>, bool)>,
}

/// Some of the users of a rule.
#[derive(Clone, Debug)]
pub(in crate::policy) enum Who {
    /// These; never empty.
    These(Vec<UserSelector>),
    /// Those of this role.
    Role(Located<String>),
}

/// One of a list of users.
enum Item {
    Meant(UserSelector),
    Excepted(UserSelector),
    Role(Located<String>),
}

pub(super) fn users_of(value: &Value<'_>, findings: &mut Findings) -> Option<Users> {
    let nothing = "write \"*\" for everybody";
    let items = value.list("a list of users", nothing, findings)?;
    let items = each(items, |item| {
        user(&item, findings).map(|read| (item.spot(), read))
    })?;
    let mut users = Users {
        meant: Vec::new(),
        except: Vec::new(),
        named: Vec::new(),
    };
    let mut everyone = None;
    let mut others = 0;
    for (spot, item) in items {
        if let Item::Meant(user) | Item::Excepted(user) = &item {
            let (value, spot) = (user.clone(), spot.clone());
            let is_excepted = matches!(item, Item::Excepted(_));
            users.named.push((Located { value, spot }, is_excepted));
        }
        match item {
            Item::Excepted(user) => users.except.push(user),
            Item::Role(name) => {
                others += 1;
                users.meant.push(Who::Role(name));
            }
            Item::Meant(user) => {
                match user {
                    UserSelector::Everyone => everyone = Some(spot),
                    _ => others += 1,
                }
                match users.meant.last_mut() {
                    Some(Who::These(these)) => these.push(user),
                    _ => users.meant.push(Who::These(vec![user])),
                }
            }
        }
    }
    if let Some(spot) = everyone.filter(|_| others > 0) {
        findings.error(&spot, "\"*\" already means everybody");
        return None;
    }
    if users.meant.is_empty() {
        findings
            .error(
                &value.spot(),
                "the list says only whom the rule doesn't mean",
            )
            .help("write \"*\" first to mean everybody else");
        return None;
    }
    Some(users)
}

fn user(value: &Value<'_>, findings: &mut Findings) -> Option<Item> {
    if value.as_integer().is_some() {
        let uid = value.integer_in(0..=MAX_UID, "uid", findings)?;
        return Some(Item::Meant(UserSelector::Uid(Uid(uid))));
    }
    let expected = "a user, \"%group\", \"@role\", a uid, uids like \"1000-1999\", or \"*\"";
    let text = value.text(expected, findings)?;
    if let Some(name) = text.strip_prefix('@') {
        return Some(Item::Role(Located {
            value: name.to_owned(),
            spot: value.spot(),
        }));
    }
    let (name, excepted) = match text.strip_prefix('!') {
        Some(name) => (name, true),
        None => (text, false),
    };
    let selector = match selector(name, excepted) {
        Ok(selector) => selector,
        Err(help) => {
            findings
                .error(&value.spot(), format!("{text:?} is no user or group"))
                .help(help);
            return None;
        }
    };
    Some(if excepted {
        Item::Excepted(selector)
    } else {
        Item::Meant(selector)
    })
}

fn selector(name: &str, excepted: bool) -> Result<UserSelector, String> {
    if name == "*" {
        if excepted {
            return Err("that would except everybody".to_owned());
        }
        return Ok(UserSelector::Everyone);
    }
    if name.starts_with('@') {
        return Err("a role can't be excepted; name its users".to_owned());
    }
    if let Some(uids) = uids(name) {
        return uids;
    }
    if let (true, Ok(uid)) = (excepted, name.parse::<u32>()) {
        return Ok(UserSelector::Uid(Uid(uid)));
    }
    let (name, group) = match name.strip_prefix('%') {
        Some(group) => (group, true),
        None => (name, false),
    };
    judge_name(name)?;
    let name = name.to_owned();
    Ok(if group {
        UserSelector::Group(name)
    } else {
        UserSelector::User(name)
    })
}

/// Uids like `1000-1999`; none if it is something else.
fn uids(text: &str) -> Option<Result<UserSelector, String>> {
    let (first, last) = text.split_once('-')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(first) || !digits(last) {
        return None;
    }
    let ends = first.parse().ok().zip(last.parse().ok());
    let sound = ends.filter(|(first, last)| first <= last && *last <= MAX_UID);
    Some(match sound {
        Some((first, last)) => Ok(UserSelector::Uids(Uid(first), Uid(last))),
        None => Err(format!(
            "write the lower uid first, as in \"1000-1999\"; the highest is {MAX_UID}"
        )),
    })
}

/// Refuses what no name service knows and what means something in other software's rules.
fn judge_name(name: &str) -> Result<(), String> {
    if name.bytes().all(|byte| byte.is_ascii_digit()) && !name.is_empty() {
        return Err(format!("write a uid as a number: {name}"));
    }
    if name.contains(['*', '?']) {
        return Err("patterns are not taken; name a group".to_owned());
    }
    let odd = |c: char| c.is_control() || matches!(c, ':' | ',' | '/' | '%' | '#');
    if name.is_empty() || name.len() > MAX_USER || name.trim() != name || name.contains(odd) {
        return Err("write the name as getent(1) shows it".to_owned());
    }
    Ok(())
}
