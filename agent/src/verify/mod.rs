// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The factors: was the person who answered the person who was asked?
//!
//! The only way to a [`Verified`] is a right answer that the ledger has already recorded as
//! used (promise S5), so whoever holds one needs to ask no further question.

mod enroll;
#[cfg(any(test, feature = "fuzzing"))]
mod fuzz;
mod totp;

pub use enroll::{
    BeginError, EnrollOutcome, Enrollments, MAX_PENDING, MAX_WRONG_CODES, PENDING_LIFETIME,
};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use fuzz::fuzz_code;
pub use totp::{Purpose, Verification, Verified, verify_totp};

#[cfg(test)]
mod tests;
