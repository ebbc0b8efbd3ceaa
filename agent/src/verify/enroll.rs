// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Enrolling: a fresh secret counts from the first right code on, and not before.

use std::collections::BTreeMap;
use std::time::Duration;

use totp_rs::Secret;
use zeroize::Zeroizing;

use super::totp;
use crate::clock::{BootTime, Now};
use crate::ids::{DeviceId, Uid};
use crate::ledger::{BootId, Ledger, LedgerError, NewDevice, Throttle, TotpParameters, TotpSecret};
use crate::policy::Factor;
use crate::service::{Enrollment, seconds_up};

/// How long a fresh secret waits for its first code.
pub const PENDING_LIFETIME: Duration = Duration::from_secs(10 * 60);
/// Most users who can be enrolling at the same time: more than ever do so on one host, and
/// too few to fill memory.
pub const MAX_PENDING: usize = 64;
/// Wrong codes after which a pending enrollment is dropped.
pub const MAX_WRONG_CODES: u32 = 5;

/// The enrollments that wait for their first code. They live in memory only.
#[derive(Debug, Default)]
pub struct Enrollments {
    pending: BTreeMap<Uid, Pending>,
}

#[derive(Debug)]
struct Pending {
    device: NewDevice,
    alone: bool,
    by: Uid,
    proven: bool,
    until: BootTime,
    wrong: u32,
}

/// What became of a first code.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum EnrollOutcome {
    /// Right: the device is stored, and this code is used up.
    Enrolled,
    /// Not right; counted like any other wrong code.
    Wrong {
        /// Tries left before the next one has to wait, or before the secret is dropped.
        tries_left: u32,
    },
    /// Not right, once too often: the secret is dropped.
    Dropped,
    /// Not looked at: too many wrong codes.
    Throttled {
        /// How long until the next try.
        retry: Duration,
    },
    /// Not looked at: an administrator has to unlock the user.
    Locked,
    /// Nothing waits to be confirmed, or not any more.
    NoEnrollment,
}

/// Why an enrollment could not begin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BeginError {
    /// [`MAX_PENDING`] are under way.
    #[error(
        "{MAX_PENDING} users are enrolling already; try again in {} minutes",
        PENDING_LIFETIME.as_secs() / 60
    )]
    TooMany,
    /// The names don't fit into an `otpauth:` address.
    #[error("no otpauth address can be made for {account:?} at {issuer:?}: {cause}")]
    Name {
        /// The account's name.
        account: String,
        /// The issuer's name.
        issuer: String,
        /// What is wrong with them.
        cause: String,
    },
}

/// What somebody wants to enroll.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// The account that the authenticator app shows; without a colon.
    pub account: &'a str,
    /// The issuer that it shows; without a colon.
    pub issuer: &'a str,
    /// What the device shall be called here.
    pub name: String,
    /// True if it takes the place of all others.
    pub alone: bool,
    /// Who wants it.
    pub by: Uid,
    /// True if they have shown that they may change what is there: with a code, or because they
    /// are an administrator.
    pub proven: bool,
}

/// Longest name of a device, in characters.
pub const MAX_NAME: usize = 40;

/// The name of a device as it is kept. `None` if it can't be shown: it is empty, too long, or has
/// control characters.
#[must_use]
pub fn checked_name(text: &str) -> Option<String> {
    let name = text.trim();
    let length = name.chars().count();
    let shown = (1..=MAX_NAME).contains(&length) && !name.contains(char::is_control);
    shown.then(|| name.to_owned())
}

impl Enrollments {
    /// Makes a fresh 160-bit secret for `uid` and forgets one that was pending.
    ///
    /// # Errors
    /// If too many are under way, or a name can't be shown.
    pub fn begin(
        &mut self,
        uid: Uid,
        wanted: Wanted<'_>,
        now: Now,
    ) -> Result<Enrollment, BeginError> {
        self.pending.retain(|_, pending| now.boot < pending.until);
        self.pending.remove(&uid);
        if self.pending.len() >= MAX_PENDING {
            return Err(BeginError::TooMany);
        }
        let generated = Secret::generate();
        let secret = TotpSecret::new(generated.as_bytes());
        let parameters = TotpParameters::default();
        let url = totp::builder(&secret, parameters)
            .with_account_name(wanted.account)
            .with_issuer(Some(wanted.issuer))
            .build()
            .and_then(|totp| totp.to_url())
            .map_err(|cause| BeginError::Name {
                account: wanted.account.to_owned(),
                issuer: wanted.issuer.to_owned(),
                cause: cause.to_string(),
            })?;
        let until = now.boot.after(PENDING_LIFETIME);
        self.pending.insert(
            uid,
            Pending {
                device: NewDevice {
                    name: wanted.name,
                    secret,
                    parameters,
                },
                alone: wanted.alone,
                by: wanted.by,
                proven: wanted.proven,
                until,
                wrong: 0,
            },
        );
        Ok(Enrollment {
            url: Zeroizing::new(url),
            secret: Zeroizing::new(generated.to_base32()),
            confirm_seconds: seconds_up(PENDING_LIFETIME),
        })
    }

    /// Who has begun to enroll this user, and whether they have shown that they may.
    #[must_use]
    pub fn begun(&self, uid: Uid) -> Option<(Uid, bool)> {
        let pending = self.pending.get(&uid)?;
        Some((pending.by, pending.proven))
    }

    /// Checks the first code of `uid`'s fresh secret, and stores the secret if it is right.
    ///
    /// Wrong codes count and wait like those of [`super::verify_code`], so that enrolling is no
    /// way around the throttle; a right one doesn't reset the count (promise S5).
    ///
    /// `record` is told of the device before it counts.
    ///
    /// # Errors
    /// If the ledger or `record` fails; then nothing is enrolled, and the secret stays pending.
    pub fn confirm<E: From<LedgerError>>(
        &mut self,
        ledger: &mut Ledger,
        uid: Uid,
        code: &str,
        now: Now,
        boot: &BootId,
        record: impl FnOnce(DeviceId, &str) -> Result<(), E>,
    ) -> Result<EnrollOutcome, E> {
        self.pending.retain(|_, pending| now.boot < pending.until);
        let Some(pending) = self.pending.get_mut(&uid) else {
            return Ok(EnrollOutcome::NoEnrollment);
        };
        match ledger.throttle(uid, &Factor::Totp, now.boot, boot)? {
            Throttle::Open => {}
            Throttle::Wait(retry) => return Ok(EnrollOutcome::Throttled { retry }),
            Throttle::Locked => return Ok(EnrollOutcome::Locked),
        }
        let device = &pending.device;
        let step = totp::matching_step(uid, &device.secret, device.parameters, code, now)?;
        if let Some(step) = step {
            ledger.change(|changes| {
                let id = changes.enroll(uid, device, Some(step), now.wall, pending.alone)?;
                record(id, &device.name)
            })?;
            self.pending.remove(&uid);
            return Ok(EnrollOutcome::Enrolled);
        }
        let failures = ledger.record_failure(uid, &Factor::Totp, now.boot, boot)?;
        pending.wrong += 1;
        if pending.wrong >= MAX_WRONG_CODES {
            self.pending.remove(&uid);
            return Ok(EnrollOutcome::Dropped);
        }
        let tries_left = failures.tries_left().min(MAX_WRONG_CODES - pending.wrong);
        Ok(EnrollOutcome::Wrong { tries_left })
    }
}
