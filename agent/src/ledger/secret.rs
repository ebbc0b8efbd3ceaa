// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A TOTP secret in memory, and how codes are made of it.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Bytes of a digest that tells secrets apart.
const PRINT_BYTES: usize = 16;

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

    /// What the ledger knows its used steps by. It tells nothing of the secret, which has at
    /// least 128 random bits.
    #[must_use]
    pub fn print(&self) -> SecretPrint {
        let mut digest = Sha256::new();
        digest.update(b"stile/used steps/");
        digest.update(&*self.0);
        let mut print = [0; PRINT_BYTES];
        print.copy_from_slice(&digest.finalize()[..PRINT_BYTES]);
        SecretPrint(print)
    }
}

impl fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TotpSecret(REDACTED)")
    }
}

/// Tells secrets apart without telling them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SecretPrint([u8; PRINT_BYTES]);

impl SecretPrint {
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The hash function of a TOTP device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TotpAlgorithm {
    /// HMAC-SHA-1: all that most authenticator apps know.
    #[default]
    Sha1,
    /// HMAC-SHA-256.
    Sha256,
    /// HMAC-SHA-512.
    Sha512,
}

impl fmt::Display for TotpAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        })
    }
}

/// How a device makes its codes (RFC 6238).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TotpParameters {
    /// The hash function.
    pub algorithm: TotpAlgorithm,
    /// Digits of a code: 6 to 8.
    pub digits: u8,
    /// Seconds of a step.
    pub period: u64,
}

impl TotpParameters {
    /// Fewest and most digits.
    pub const DIGITS: std::ops::RangeInclusive<u8> = 6..=8;
    /// Shortest and longest step in seconds.
    pub const PERIOD: std::ops::RangeInclusive<u64> = 15..=120;
    /// Fewest bytes of a secret (RFC 4226 4, R6: 128 bits).
    pub const MIN_SECRET: usize = 16;
    /// Most bytes of a secret; more than a block of SHA-512 adds nothing.
    pub const MAX_SECRET: usize = 128;
}

impl Default for TotpParameters {
    /// SHA-1, 6 digits, 30 seconds.
    fn default() -> Self {
        Self {
            algorithm: TotpAlgorithm::Sha1,
            digits: 6,
            period: 30,
        }
    }
}
