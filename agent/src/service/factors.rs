// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What people do with their factors: requests, and the views that come back.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Enrollment, Reply};
use crate::ids::{DeviceId, Uid};
use crate::ledger::{LedgerExport, RecoveryDigests, TotpParameters, TotpSecret};

/// A request about factors. Each may need a code of the user's own; administrators need none.
#[derive(Debug)]
pub enum FactorRequest {
    /// The factors of a user.
    List(Uid, Reply<Vec<FactorView>>),
    /// Starts to enroll a further device.
    Add(Uid, Wish, Reply<Enrollment>),
    /// Takes a hardware token over. Only for administrators.
    Import(Uid, Import, Reply<DeviceId>),
    /// Takes many over, all of them or none; with `true` it is only tried. Only for
    /// administrators.
    ImportAll(Vec<(Uid, Import)>, bool, Reply<ImportedAll>),
    /// Gives a device another name.
    Rename(Uid, DeviceId, String, Reply<()>),
    /// Forgets a device.
    Remove(Uid, Removed, Option<Zeroizing<String>>, Reply<()>),
    /// Which of the caller's devices made this code, and how far its clock is off.
    Test(Zeroizing<String>, Reply<CodeTestView>),
    /// Stores fresh recovery codes in the place of older ones.
    Recovery(Uid, Option<Zeroizing<String>>, RecoveryDigests, Reply<()>),
    /// Forgets a user's failures. Only for administrators.
    Unlock(Uid, Reply<bool>),
    /// The whole ledger, without secrets. Only for administrators.
    Export(Reply<LedgerExport>),
    /// Seals all secrets with new keys. Only for administrators.
    RotateKeys(Reply<u64>),
}

/// What a new device shall be.
#[derive(Debug, Default)]
pub struct Wish {
    /// Its name; none for one that is free.
    pub name: Option<String>,
    /// True if it takes the place of all others.
    pub replace: bool,
    /// A code of a factor that the user has.
    pub code: Option<Zeroizing<String>>,
}

/// A device whose secret is known.
#[derive(Debug)]
pub struct Import {
    /// Its name; none for one that is free.
    pub name: Option<String>,
    /// Its secret.
    pub secret: TotpSecret,
    /// How it makes codes.
    pub parameters: TotpParameters,
}

/// What became of many tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportedAll {
    /// Their ids, in the same order; none if it was only tried.
    Done(Vec<DeviceId>),
    /// Nothing has changed: which of them can't be taken over, and why.
    Mistakes(Vec<(usize, String)>),
}

/// What is to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// A device.
    Device(DeviceId),
    /// All recovery codes.
    Recovery,
}

/// One factor of a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactorView {
    /// Whose it is.
    pub uid: Uid,
    /// `totp`, `recovery` or `pam:SERVICE`, as rules name it.
    pub factor: String,
    /// The id of the device; 0 if it is none.
    pub id: u64,
    /// What the user calls it; empty if it has no name.
    pub name: String,
    /// How it makes codes, as `sha1, 6 digits, 30 s`; empty if it makes none.
    pub parameters: String,
    /// How much it is worth: 1 to 3.
    pub assurance: u32,
    /// When it was enrolled, in seconds since 1970; 0 if that isn't known.
    pub enrolled: u64,
    /// How many codes are left; 0 if they don't run out.
    pub left: u32,
    /// Wrong answers since the last right one.
    pub failures: u32,
    /// Seconds until the next try; 0 for at once.
    pub retry_seconds: u64,
    /// True if only an administrator or a stronger factor helps.
    pub locked: bool,
}

/// What a test of a code has shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeTestView {
    /// The id of the device that made it.
    pub id: u64,
    /// What the user calls that.
    pub name: String,
    /// How many seconds its clock is ahead of this computer's, in whole steps; negative if it is
    /// behind.
    pub seconds_ahead: i64,
    /// True if a prompt would have taken the code.
    pub accepted: bool,
}
