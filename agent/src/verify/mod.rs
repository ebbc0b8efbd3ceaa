// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The factors: was the person who answered the person who was asked?
//!
//! The only way to a [`Verified`] is a right answer that the ledger has already recorded as
//! used (promise S5), so whoever holds one needs to ask no further question.

mod enroll;
mod totp;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use enroll::{
    BeginError, EnrollOutcome, Enrollments, MAX_PENDING, MAX_WRONG_CODES, PENDING_LIFETIME,
};
pub use totp::{Verification, Verified, verify_totp};

/// A way to prove who one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FactorKind {
    /// A time-based one-time code (RFC 6238).
    Totp,
}

impl fmt::Display for FactorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Totp => "totp",
        })
    }
}

#[cfg(test)]
mod tests;
