// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads the users of a rule.

use super::each;
use crate::config::{Findings, MAX_UID, Value};
use crate::ids::Uid;
use crate::policy::UserSelector;

/// Longest name of a user or group. Linux has 32 characters, directories more.
const MAX_USER: usize = 256;

pub(super) fn users_of(value: &Value<'_>, findings: &mut Findings) -> Option<Vec<UserSelector>> {
    let nothing = "write \"*\" for everybody";
    let items = value.list("a list of users", nothing, findings)?;
    let alone = items.len() == 1;
    each(items, |item| {
        let user = user(&item, findings)?;
        if user == UserSelector::Everyone && !alone {
            findings.error(&item.spot(), "\"*\" already means everybody");
            return None;
        }
        Some(user)
    })
}

fn user(value: &Value<'_>, findings: &mut Findings) -> Option<UserSelector> {
    if value.as_integer().is_some() {
        let uid = value.integer_in(0..=MAX_UID, "uid", findings)?;
        return Some(UserSelector::Uid(Uid(uid)));
    }
    let text = value.text("a user, \"%group\", a uid or \"*\"", findings)?;
    if text == "*" {
        return Some(UserSelector::Everyone);
    }
    let (name, group) = match text.strip_prefix('%') {
        Some(group) => (group, true),
        None => (text, false),
    };
    if let Err(help) = judge_name(name) {
        findings
            .error(&value.spot(), format!("{text:?} is no user or group"))
            .help(help);
        return None;
    }
    let name = name.to_owned();
    Some(if group {
        UserSelector::Group(name)
    } else {
        UserSelector::User(name)
    })
}

/// Refuses what no name service knows and what means something in other software's rules.
fn judge_name(name: &str) -> Result<(), String> {
    if name.bytes().all(|byte| byte.is_ascii_digit()) && !name.is_empty() {
        return Err(format!("write a uid as a number: {name}"));
    }
    if name.starts_with('!') {
        return Err("to except somebody, put a deny rule for them before this one".to_owned());
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
