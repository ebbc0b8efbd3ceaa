// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Time-based one-time codes (RFC 6238), with one step of skew. Phones get SHA-1, 6 digits, 30
//! seconds: most authenticator apps know nothing else, and some silently ignore what asks for
//! more. Imported hardware tokens may have other parameters.

use totp_rs::{Algorithm, Builder, Secret};
use zeroize::Zeroizing;

use crate::clock::Now;
use crate::ids::Uid;
use crate::ledger::{
    Device, Ledger, LedgerError, SecretPrint, TotpAlgorithm, TotpParameters, TotpSecret, TotpStep,
};

/// Longest text that is looked at as a code; eight digits and any grouping fit well.
const MAX_CODE_TEXT: usize = 64;
/// Steps of skew that are let pass, before and after now.
const SKEW: u16 = 1;
/// Steps that a test of a device looks at, before and after now.
const WIDE_SKEW: u16 = 20;

/// A right code: whose device made it, and when.
pub(super) struct Match {
    pub(super) device: Device,
    pub(super) print: SecretPrint,
    pub(super) step: TotpStep,
}

impl Match {
    /// How many steps the device's clock is ahead of ours; negative if it is behind.
    pub(super) fn steps_ahead(&self, now: Now) -> i64 {
        let ours = now.wall.seconds() / self.device.parameters.period;
        i64::try_from(self.step.0)
            .unwrap_or(i64::MAX)
            .saturating_sub_unsigned(ours)
    }

    /// True if a code of this step is taken.
    pub(super) fn is_near(&self, now: Now) -> bool {
        self.steps_ahead(now).unsigned_abs() <= u64::from(SKEW)
    }
}

/// Which of the user's devices made this code. `None` for any other code.
pub(super) fn find(
    ledger: &Ledger,
    uid: Uid,
    code: &str,
    now: Now,
) -> Result<Option<Match>, LedgerError> {
    search(ledger, uid, code, now, SKEW)
}

/// The same, with a device whose clock may be minutes wrong.
pub(super) fn find_far(
    ledger: &Ledger,
    uid: Uid,
    code: &str,
    now: Now,
) -> Result<Option<Match>, LedgerError> {
    search(ledger, uid, code, now, WIDE_SKEW)
}

fn search(
    ledger: &Ledger,
    uid: Uid,
    code: &str,
    now: Now,
    skew: u16,
) -> Result<Option<Match>, LedgerError> {
    let mut found = None;
    // All of them are looked at, so that the time it takes tells nothing about which.
    for (device, secret) in ledger.totp_secrets(uid)? {
        let step = step_within(uid, &secret, device.parameters, code, now, skew)?;
        if let Some(step) = step
            && found.is_none()
        {
            let print = secret.print();
            found = Some(Match {
                device,
                print,
                step,
            });
        }
    }
    Ok(found)
}

/// The step that the code belongs to: the current one, or the one before or after it.
pub(super) fn matching_step(
    uid: Uid,
    secret: &TotpSecret,
    parameters: TotpParameters,
    code: &str,
    now: Now,
) -> Result<Option<TotpStep>, LedgerError> {
    step_within(uid, secret, parameters, code, now, SKEW)
}

fn step_within(
    uid: Uid,
    secret: &TotpSecret,
    parameters: TotpParameters,
    code: &str,
    now: Now,
    skew: u16,
) -> Result<Option<TotpStep>, LedgerError> {
    if code.len() > MAX_CODE_TEXT {
        return Ok(None);
    }
    let digits = stripped(code);
    let totp = builder(secret, parameters)
        .with_skew(skew)
        .build()
        .map_err(|cause| LedgerError::Record {
            object: format!("the TOTP secret of uid {uid}"),
            cause: cause.to_string(),
        })?;
    Ok(totp.check(&digits, now.wall.seconds()).map(TotpStep))
}

/// The code without the spaces and dashes that people type and paste: `123 456`.
pub(super) fn stripped(code: &str) -> Zeroizing<String> {
    let mut digits = Zeroizing::new(String::with_capacity(code.len()));
    digits.extend(code.chars().filter(|c| !c.is_whitespace() && *c != '-'));
    digits
}

/// How codes are made; `build` refuses secrets below 128 bits.
pub(super) fn builder(secret: &TotpSecret, parameters: TotpParameters) -> Builder {
    let algorithm = match parameters.algorithm {
        TotpAlgorithm::Sha1 => Algorithm::SHA1,
        TotpAlgorithm::Sha256 => Algorithm::SHA256,
        TotpAlgorithm::Sha512 => Algorithm::SHA512,
    };
    Builder::new()
        .with_algorithm(algorithm)
        .with_digits(parameters.digits)
        .with_step_duration(parameters.period)
        .with_skew(SKEW)
        .with_secret(Secret::from(secret.as_bytes()))
}
