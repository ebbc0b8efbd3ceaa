// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whose a token is, where its file doesn't say so.

use std::collections::HashMap;

use super::Mistake;
use crate::cli::enroll::find_user;
use crate::ids::Uid;
use crate::texts::escape;

/// Which user has the token of which serial number.
#[derive(Debug, Default)]
pub(in crate::cli) struct Owners {
    by_serial: HashMap<String, String>,
    /// Those that were named one by one: each must be there.
    named: Vec<String>,
}

impl Owners {
    /// From `SERIAL=USER`, as they were typed.
    pub(in crate::cli) fn typed(pairs: &[String]) -> Result<Self, Vec<Mistake>> {
        let mut owners = Self::default();
        let mut mistakes = Vec::new();
        for pair in pairs {
            match pair.rsplit_once('=') {
                Some((serial, user)) if !serial.trim().is_empty() && !user.trim().is_empty() => {
                    owners.named.push(serial.trim().to_owned());
                    mistakes.extend(owners.add(0, serial, user));
                }
                _ => {
                    let text = format!("--map {:?} is not SERIAL=USER", escape(pair));
                    mistakes.push(Mistake::new(0, text));
                }
            }
        }
        match mistakes.is_empty() {
            true => Ok(owners),
            false => Err(mistakes),
        }
    }

    /// Adds the lines of a file, `serial,user`. It may have more than the tokens at hand, and a
    /// first line that names its columns.
    pub(in crate::cli) fn read(&mut self, text: &str) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        for (number, line) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut fields = line.split([',', ';', '\t']).map(unquoted);
            let pair = (fields.next(), fields.next(), fields.next());
            match pair {
                (Some(serial), Some(user), None) if !serial.is_empty() && !user.is_empty() => {
                    let is_head = number == 1 && serial.to_lowercase().starts_with("serial");
                    if !is_head {
                        mistakes.extend(self.add(number, serial, user));
                    }
                }
                _ => mistakes.push(Mistake::new(number, "this is not `serial,user`")),
            }
        }
        mistakes
    }

    fn add(&mut self, line: usize, serial: &str, user: &str) -> Option<Mistake> {
        let (serial, user) = (serial.trim().to_owned(), user.trim().to_owned());
        let text = format!(
            "serial number {:?} has another user already",
            escape(&serial)
        );
        let before = self.by_serial.insert(serial, user.clone())?;
        (before != user).then(|| Mistake::new(line, text))
    }

    /// Whose the token with this serial number is. What an administrator says comes before what
    /// the file says.
    pub(super) fn of(&self, serial: &str, told: Option<&str>) -> Result<Uid, String> {
        let user = self.by_serial.get(serial).map(String::as_str).or(told);
        let Some(user) = user else {
            return Err(match serial {
                "" => "it doesn't say whose it is".to_owned(),
                serial => format!(
                    "it doesn't say whose it is; say so with --map {}=USER",
                    escape(serial)
                ),
            });
        };
        find_user(user).map_err(|_| format!("there is no user {:?}", escape(user)))
    }

    /// What was named, and is none of these.
    pub(super) fn unused<'a>(&self, serials: impl Iterator<Item = &'a str>) -> Vec<Mistake> {
        let there: Vec<&str> = serials.collect();
        let lost = self.named.iter();
        let lost = lost.filter(|serial| !there.contains(&serial.as_str()));
        lost.map(|serial| {
            let text = format!("--map: no token has serial number {:?}", escape(serial));
            Mistake::new(0, text)
        })
        .collect()
    }
}

fn unquoted(field: &str) -> &str {
    let field = field.trim();
    let inner = field.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
    inner.unwrap_or(field).trim()
}
