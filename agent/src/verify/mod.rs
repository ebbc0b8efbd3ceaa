// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The factors: was the person who answered the person who was asked?
//!
//! The only way to a [`Verified`] is a right answer that the ledger has already recorded as
//! used (promise S5), so whoever holds one needs to ask no further question.

mod code;
mod enroll;
#[cfg(any(test, feature = "fuzzing"))]
mod fuzz;
pub mod pam;
mod passed;
mod proof;
mod totp;

pub use code::{CodeTest, factor_of, test_code, verify_code, verify_owner};
pub use enroll::{
    BeginError, EnrollOutcome, Enrollments, MAX_NAME, MAX_PENDING, MAX_WRONG_CODES,
    PENDING_LIFETIME, Wanted, checked_name,
};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use fuzz::fuzz_code;
pub use passed::{Answered, accept_pam, fail_pam};
pub use proof::{Owner, Purpose, Verification, Verified};

#[cfg(test)]
mod tests;
