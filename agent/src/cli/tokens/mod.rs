// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Files of tokens, as makers of hardware tokens and other servers give them: PSKC (RFC 6030), or
//! `otpauth:` URLs. All mistakes are found at once; none shows a secret.

#[cfg(any(test, feature = "fuzzing"))]
mod fuzz;
mod map;
mod otpauth;
mod pskc;

use std::collections::HashMap;

use data_encoding::BASE32_NOPAD;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::bus::Token;
use crate::ids::Uid;
use crate::ledger::TotpParameters;
use crate::verify::checked_name;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use fuzz::fuzz;
pub(super) use map::Owners;

/// Longest file that is read: a thousand keys of PSKC have about a megabyte.
pub(super) const MAX_FILE: usize = 8 << 20;

/// What is wrong, and on which line; 0 if it isn't about one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub(super) struct Mistake {
    pub(super) line: usize,
    pub(super) message: String,
}

impl Mistake {
    pub(super) fn new(line: usize, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { line, message }
    }
}

/// A token that a file has.
#[derive(Debug)]
pub(super) struct Listed {
    /// Where it begins.
    pub(super) line: usize,
    /// Its serial number; empty if it has none.
    pub(super) serial: String,
    pub(super) user: Uid,
    pub(super) token: Token,
}

/// A token as a file tells it. What is wrong with it is found by [`Found::checked`].
struct Found {
    line: usize,
    serial: String,
    /// Whose it is, as the file tells.
    user: Option<String>,
    secret: Zeroizing<Vec<u8>>,
    algorithm: &'static str,
    digits: u64,
    period: u64,
}

/// Reads a file of either kind.
pub(super) fn read(text: &str, owners: &Owners) -> Result<Vec<Listed>, Vec<Mistake>> {
    let (found, mut mistakes) = match text.trim_start_matches('\u{feff}').trim_start() {
        xml if xml.starts_with('<') => pskc::read(text.trim_start_matches('\u{feff}')),
        _ => otpauth::read(text),
    };
    if found.is_empty() && mistakes.is_empty() {
        mistakes.push(Mistake::new(0, "there is no token in it"));
    }
    // A token that isn't understood may be the one that was meant.
    if mistakes.is_empty() {
        mistakes.extend(owners.unused(found.iter().map(|it| it.serial.as_str())));
    }
    let mut listed = Vec::new();
    let mut secrets = HashMap::new();
    for token in found {
        // Not the secret itself: this is not wiped.
        let print: [u8; 32] = Sha256::digest(&*token.secret).into();
        let line = token.line;
        if let Some(other) = secrets.insert(print, line) {
            let text = format!("it has the same secret as the one on line {other}");
            mistakes.push(Mistake::new(line, text));
        }
        match token.checked(owners) {
            Ok(token) => listed.push(token),
            Err(more) => mistakes.extend(more.into_iter().map(|text| Mistake::new(line, text))),
        }
    }
    mistakes.sort();
    if mistakes.is_empty() {
        Ok(listed)
    } else {
        Err(mistakes)
    }
}

impl Found {
    fn checked(self, owners: &Owners) -> Result<Listed, Vec<String>> {
        let mut wrong = Vec::new();
        let user = owners.of(&self.serial, self.user.as_deref());
        let user = user.map_err(|why| wrong.push(why)).ok();
        let bytes = TotpParameters::MIN_SECRET..=TotpParameters::MAX_SECRET;
        if !bytes.contains(&self.secret.len()) {
            let (least, most) = bytes.into_inner();
            let length = self.secret.len();
            wrong.push(format!(
                "its secret has {length} bytes; stile takes {least} to {most}"
            ));
        }
        let digits = u32::try_from(self.digits).ok();
        let digits = digits.filter(|it| (6..=8).contains(it));
        if digits.is_none() {
            wrong.push(format!(
                "its codes have {} digits; stile takes 6 to 8",
                self.digits
            ));
        }
        if !TotpParameters::PERIOD.contains(&self.period) {
            let (least, most) = TotpParameters::PERIOD.into_inner();
            wrong.push(format!(
                "its codes change every {} s; stile takes {least} to {most} s",
                self.period
            ));
        }
        let name = match self.serial.as_str() {
            "" => None,
            serial => checked_name(serial),
        };
        if name.is_none() && !self.serial.is_empty() {
            wrong.push("its serial number is too long for a name, or can't be shown".to_owned());
        }
        match (user, digits, wrong.is_empty()) {
            (Some(user), Some(digits), true) => Ok(Listed {
                line: self.line,
                serial: self.serial,
                user,
                token: Token {
                    name,
                    secret: Zeroizing::new(BASE32_NOPAD.encode(&self.secret)),
                    algorithm: self.algorithm.to_owned(),
                    digits,
                    period: self.period,
                },
            }),
            _ => Err(wrong),
        }
    }
}

#[cfg(test)]
mod tests;
