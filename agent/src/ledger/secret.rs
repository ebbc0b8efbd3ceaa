// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A TOTP secret in memory and in its record.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::clock::WallTime;

/// A shared secret. It is wiped when dropped and never printed.
pub struct TotpSecret(Zeroizing<Vec<u8>>);

impl TotpSecret {
    /// Wraps the bytes of a secret.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(bytes.to_vec()))
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TotpSecret(REDACTED)")
    }
}

/// The stored form. The secret is in hex: a string is read and written in one allocation of
/// the right size, so that no unwiped copies stay behind.
#[derive(Serialize, Deserialize)]
pub(super) struct TotpRecord {
    secret: Zeroizing<String>,
    enrolled: WallTime,
}

impl TotpRecord {
    pub(super) fn new(secret: &TotpSecret, enrolled: WallTime) -> Self {
        Self {
            secret: Zeroizing::new(hex::encode(secret.as_bytes())),
            enrolled,
        }
    }

    pub(super) fn secret(&self) -> Result<TotpSecret, hex::FromHexError> {
        hex::decode(self.secret.as_bytes()).map(|bytes| TotpSecret(Zeroizing::new(bytes)))
    }
}
