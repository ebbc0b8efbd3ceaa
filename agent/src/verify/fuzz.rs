// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Any text as a code.

use super::totp::matching_step;
use crate::clock::{BootTime, Now, WallTime};
use crate::ids::Uid;
use crate::ledger::{TotpParameters, TotpSecret};

/// The secret of RFC 4226, Appendix D, and its first three codes.
const SECRET: &[u8] = b"12345678901234567890";
const CODES: [&str; 3] = ["755224", "287082", "359152"];

/// Checks the text against that secret 59 seconds after the epoch, in step 1.
pub(crate) fn fuzz_code(code: &str) {
    let now = Now {
        boot: BootTime(0),
        wall: WallTime(59_000_000_000),
    };
    let step = matching_step(
        Uid(0),
        &TotpSecret::new(SECRET),
        TotpParameters::default(),
        code,
        now,
    );
    assert!(step.is_ok(), "the secret is sound");
    let digits: String = code
        .chars()
        .filter(|c| !c.is_whitespace() && *c != '-')
        .collect();
    let right = code.len() <= 64 && CODES.contains(&&*digits);
    assert_eq!(step.is_ok_and(|step| step.is_some()), right, "{code:?}");
}
