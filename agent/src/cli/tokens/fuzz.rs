// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a maker of tokens, or another server, writes.

use super::{Owners, read};
use crate::ledger::TotpParameters;

/// A file of tokens, whose serial numbers and users are read from it as well.
pub(crate) fn fuzz(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let lines = text.split('\n').count();
    let mut owners = Owners::default();
    for mistake in owners.read(&text) {
        assert!((1..=lines).contains(&mistake.line));
    }
    match read(&text, &owners) {
        Ok(tokens) => {
            assert!(!tokens.is_empty(), "it has no token");
            for token in tokens {
                assert!((1..=lines).contains(&token.line));
                assert!((6..=8).contains(&token.token.digits));
                assert!(TotpParameters::PERIOD.contains(&token.token.period));
            }
        }
        Err(mistakes) => {
            assert!(!mistakes.is_empty(), "it is refused for no reason");
            for mistake in mistakes {
                assert!(mistake.line <= lines, "{mistake:?}");
                let shown = mistake.message;
                assert!(!shown.contains(char::is_control), "{shown:?}");
            }
        }
    }
}
