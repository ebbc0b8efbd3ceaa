// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Factors: how somebody proves who they are, and how much that is worth.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What stands before the name of a PAM service.
const PAM: &str = "pam:";
/// What the name of a service that was made for stile is, or begins with.
const OWN: &str = "stile";
/// Longest name of a service of PAM.
const MAX_SERVICE: usize = 64;

/// How somebody proves who they are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Factor {
    /// A time-based one-time code (RFC 6238): `totp`.
    Totp,
    /// A recovery code, for who has lost the device: `recovery`.
    Recovery,
    /// What a service of PAM asks: `pam:NAME`.
    Pam(ServiceName),
}

/// How much a factor is worth; more satisfies a rule that asks for less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Assurance(u8);

impl Assurance {
    /// Something typed, which whoever sees it can type as well: a one-time code.
    pub const LOW: Self = Self(1);
    /// Bound to this prompt or to this computer: a push with a number, a fingerprint reader.
    pub const MEDIUM: Self = Self(2);
    /// A key that leaves no device and can't be phished.
    pub const HIGH: Self = Self(3);

    /// The level of a number from 1 to 3.
    #[must_use]
    pub fn new(level: u8) -> Option<Self> {
        (Self::LOW.0..=Self::HIGH.0)
            .contains(&level)
            .then_some(Self(level))
    }

    /// Its number.
    #[must_use]
    pub fn level(self) -> u8 {
        self.0
    }
}

impl Default for Assurance {
    fn default() -> Self {
        Self::LOW
    }
}

impl fmt::Display for Assurance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of a service of PAM: that of its file in `/etc/pam.d`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceName(Arc<str>);

impl ServiceName {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ServiceName {
    type Err = NoFactor;

    fn from_str(text: &str) -> Result<Self, NoFactor> {
        // Small letters: Linux-PAM makes small ones of all, and would read another file.
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
        let fits = text.len() <= MAX_SERVICE && text.chars().all(allowed);
        // One that was made for something else takes the password that every login takes, and
        // that is no further factor.
        let more = text.strip_prefix(OWN);
        let own = more.is_some_and(|more| {
            more.is_empty() || more.strip_prefix('-').is_some_and(|name| !name.is_empty())
        });
        if fits && own {
            Ok(Self(text.into()))
        } else {
            Err(NoFactor)
        }
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that names no factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no factor; there are `totp`, `recovery` and `pam:SERVICE`")]
pub struct NoFactor;

impl fmt::Display for Factor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Totp => f.write_str("totp"),
            Self::Recovery => f.write_str("recovery"),
            Self::Pam(service) => write!(f, "{PAM}{service}"),
        }
    }
}

impl FromStr for Factor {
    type Err = NoFactor;

    fn from_str(text: &str) -> Result<Self, NoFactor> {
        match text {
            "totp" => Ok(Self::Totp),
            "recovery" => Ok(Self::Recovery),
            other => other
                .strip_prefix(PAM)
                .ok_or(NoFactor)?
                .parse()
                .map(Self::Pam),
        }
    }
}

impl Serialize for Factor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Factor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_is_read_as_it_is_written() {
        for text in ["totp", "recovery", "pam:stile-stepup"] {
            assert_eq!(text.parse::<Factor>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_service_is_a_plain_file_name_of_its_own() {
        let long = format!("pam:{}", "a".repeat(MAX_SERVICE + 1));
        for text in [
            "pam:",
            "pam:.",
            "pam:..",
            "pam:../x",
            "pam:a/b",
            "pam:other",
            "pam:common-auth",
            "pam:login",
            "pam:sudo",
            "pam:stile-",
            "pam:stiles",
            "pam:stile-Stepup",
            "pam:a b",
            "pam:-a",
            "PAM:x",
            "password",
            "",
            &long,
        ] {
            assert_eq!(text.parse::<Factor>(), Err(NoFactor), "{text}");
        }
    }

    #[test]
    fn levels_are_one_to_three() {
        assert_eq!(Assurance::new(0), None);
        assert_eq!(Assurance::new(1), Some(Assurance::LOW));
        assert_eq!(Assurance::new(3), Some(Assurance::HIGH));
        assert_eq!(Assurance::new(4), None);
        assert!(Assurance::HIGH > Assurance::MEDIUM && Assurance::MEDIUM > Assurance::LOW);
    }
}
