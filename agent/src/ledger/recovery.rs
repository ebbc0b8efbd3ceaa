// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Recovery codes, for who has lost the device: ten, each good once, kept as argon2id digests.

use argon2::{Algorithm, Argon2, Params, Version};
use redb::{ReadableTable, Table, WriteTransaction};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::engine::{Fault, damaged, decode, encode};
use super::seal::random;
use super::tables::RECOVERY;
use super::{BootId, Failures, Ledger, LedgerError, NewElevation, codes, failures};
use crate::clock::{Now, WallTime};
use crate::decide::Bound;
use crate::ids::{ElevationId, Uid};
use crate::policy::Factor;

/// How many codes a set has.
pub const RECOVERY_CODES: usize = 10;
/// Characters of a code, without dashes: 60 bits.
pub const RECOVERY_LENGTH: usize = 12;
/// Crockford's base 32: nothing that is easily mistaken for something else.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

const SALT_BYTES: usize = 16;
const DIGEST_BYTES: usize = 32;
/// Memory and passes of argon2id, as OWASP recommends them for passwords. A code is random, so
/// this is more than enough, and the time it takes is short beside what a person needs to type.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;

/// A fresh set. The codes are told once; the ledger keeps the digests.
pub struct RecoverySet {
    codes: Vec<Zeroizing<String>>,
    record: RecoveryRecord,
}

/// What the ledger keeps of a set.
pub struct RecoveryDigests(RecoveryRecord);

impl std::fmt::Debug for RecoveryDigests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RecoveryDigests")
    }
}

/// The stored form.
#[derive(Clone, Serialize, Deserialize)]
struct RecoveryRecord {
    salt: String,
    memory_kib: u32,
    passes: u32,
    digests: Vec<String>,
    #[serde(default)]
    made: Option<WallTime>,
}

/// What became of a recovery code.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum RecoveryOutcome<T = (ElevationId, Vec<ElevationId>)> {
    /// It was one of those that are left, is used up now, and these elevations are stored.
    Consumed {
        /// The elevation, and those for further connections.
        earned: T,
        /// How many codes are left.
        left: usize,
    },
    /// It is none of them, or was used before.
    Wrong(Failures),
    /// The user has none.
    None,
}

impl RecoverySet {
    /// Makes a set. This takes a tenth of a second and more, and is no work for the pipeline.
    ///
    /// # Errors
    /// If there are no random numbers.
    pub fn generate() -> Result<Self, LedgerError> {
        let mut salt = [0; SALT_BYTES];
        random(&mut salt)?;
        let mut record = RecoveryRecord {
            salt: hex::encode(salt),
            memory_kib: MEMORY_KIB,
            passes: PASSES,
            digests: Vec::new(),
            made: None,
        };
        let mut codes = Vec::new();
        for _ in 0..RECOVERY_CODES {
            let code = random_code()?;
            let digest = record
                .digest(&code)
                .map_err(|cause| LedgerError::Random { cause })?;
            record.digests.push(hex::encode(digest));
            codes.push(grouped(&code));
        }
        Ok(Self { codes, record })
    }

    /// The codes, to be told to their user once, and what the ledger keeps of them.
    #[must_use]
    pub fn into_parts(self) -> (Vec<Zeroizing<String>>, RecoveryDigests) {
        (self.codes, RecoveryDigests(self.record))
    }
}

impl std::fmt::Debug for RecoverySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RecoverySet(REDACTED)")
    }
}

impl RecoveryRecord {
    fn digest(&self, code: &str) -> Result<Zeroizing<[u8; DIGEST_BYTES]>, String> {
        let salt = hex::decode(&self.salt).map_err(|cause| cause.to_string())?;
        let params = Params::new(self.memory_kib, self.passes, 1, Some(DIGEST_BYTES));
        let params = params.map_err(|cause| cause.to_string())?;
        let mut digest = Zeroizing::new([0; DIGEST_BYTES]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(code.as_bytes(), &salt, digest.as_mut_slice())
            .map_err(|cause| cause.to_string())?;
        Ok(digest)
    }
}

/// The code that a person typed, as it was made: without spaces and dashes, in small letters,
/// with what is easily mistaken put right. `None` if it can't be one.
#[must_use]
pub fn recovery_code(typed: &str) -> Option<Zeroizing<String>> {
    if typed.len() > 64 {
        return None;
    }
    let mut code = Zeroizing::new(String::with_capacity(64));
    for c in typed.chars().filter(|c| !matches!(c, ' ' | '-')) {
        let c = match c.to_ascii_lowercase() {
            'o' => '0',
            'i' | 'l' => '1',
            other => other,
        };
        if !u8::try_from(c).is_ok_and(|byte| ALPHABET.contains(&byte)) {
            return None;
        }
        code.push(c);
    }
    (code.len() == RECOVERY_LENGTH).then_some(code)
}

impl Ledger {
    /// How many recovery codes the user has left.
    ///
    /// # Errors
    /// If they can't be read.
    pub fn recovery_codes_left(&self, uid: Uid) -> Result<usize, LedgerError> {
        self.engine.read("count recovery codes", |txn| {
            let record = load(&txn.open_table(RECOVERY)?, uid)?;
            Ok(record.map_or(0, |record| record.digests.len()))
        })
    }

    /// Stores a set in the place of an older one.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn store_recovery(
        &self,
        uid: Uid,
        set: &RecoveryDigests,
        now: WallTime,
    ) -> Result<(), LedgerError> {
        self.change(|changes| changes.store_recovery(uid, set, now))
    }

    /// Uses a recovery code up, resets the failures and stores the elevations that it earns; or
    /// counts a failure. All of that in one transaction.
    ///
    /// # Errors
    /// If it can't be written. Then the caller must take the code for wrong.
    pub fn consume_recovery(
        &self,
        code: &str,
        new: &NewElevation,
        further: &[Bound],
    ) -> Result<RecoveryOutcome, LedgerError> {
        self.engine.write("use a recovery code up", |txn| {
            let used = use_up(txn, new.uid, code, new.proven, &new.boot)?;
            used.earning(|| codes::proven(txn, new, further))
        })
    }

    /// The same for nothing but itself: to change factors.
    ///
    /// # Errors
    /// If it can't be written. Then the caller must take the code for wrong.
    pub fn spend_recovery(
        &self,
        uid: Uid,
        code: &str,
        now: Now,
        boot: &BootId,
    ) -> Result<RecoveryOutcome<()>, LedgerError> {
        self.engine.write("use a recovery code up", |txn| {
            let used = use_up(txn, uid, code, now, boot)?;
            used.earning(|| failures::reset(txn, uid, &Factor::Recovery).map(|_| ()))
        })
    }

    /// Forgets the user's recovery codes. False if there were none.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn remove_recovery(&self, uid: Uid) -> Result<bool, LedgerError> {
        self.change(|changes| changes.remove_recovery(uid))
    }
}

/// See [`Ledger::store_recovery`].
pub(super) fn store(
    txn: &WriteTransaction,
    uid: Uid,
    set: &RecoveryDigests,
    now: WallTime,
) -> Result<(), Fault> {
    let record = RecoveryRecord {
        made: Some(now),
        ..set.0.clone()
    };
    put(&mut txn.open_table(RECOVERY)?, uid, &record)
}

/// See [`Ledger::remove_recovery`].
pub(super) fn remove(txn: &WriteTransaction, uid: Uid) -> Result<bool, Fault> {
    Ok(txn.open_table(RECOVERY)?.remove(uid.0)?.is_some())
}

impl RecoveryOutcome<()> {
    fn earning<T>(
        self,
        earn: impl FnOnce() -> Result<T, Fault>,
    ) -> Result<RecoveryOutcome<T>, Fault> {
        Ok(match self {
            Self::Consumed { earned: (), left } => RecoveryOutcome::Consumed {
                earned: earn()?,
                left,
            },
            Self::Wrong(failures) => RecoveryOutcome::Wrong(failures),
            Self::None => RecoveryOutcome::None,
        })
    }
}

/// Takes a code out of those that are left, or counts a failure.
fn use_up(
    txn: &WriteTransaction,
    uid: Uid,
    code: &str,
    now: Now,
    boot: &BootId,
) -> Result<RecoveryOutcome<()>, Fault> {
    let mut table = txn.open_table(RECOVERY)?;
    let Some(mut record) = load(&table, uid)? else {
        return Ok(RecoveryOutcome::None);
    };
    let digest = record
        .digest(code)
        .map_err(|cause| damaged(|| object(uid), &cause))?;
    let digest = hex::encode(digest.as_slice());
    // Digests of random codes: that a comparison takes longer for one that begins alike tells
    // nothing of the code.
    let Some(at) = record.digests.iter().position(|one| *one == digest) else {
        let failures = failures::add(txn, uid, &Factor::Recovery, now.boot, boot)?;
        return Ok(RecoveryOutcome::Wrong(failures));
    };
    record.digests.remove(at);
    put(&mut table, uid, &record)?;
    Ok(RecoveryOutcome::Consumed {
        earned: (),
        left: record.digests.len(),
    })
}

/// Everybody's number of codes that are left.
pub(super) fn all(
    table: &impl ReadableTable<u32, &'static [u8]>,
) -> Result<Vec<(Uid, usize)>, Fault> {
    let mut found = Vec::new();
    for entry in table.iter()? {
        let (key, value) = entry?;
        let uid = Uid(key.value());
        let record: RecoveryRecord = decode(|| object(uid), value.value())?;
        found.push((uid, record.digests.len()));
    }
    Ok(found)
}

fn random_code() -> Result<Zeroizing<String>, LedgerError> {
    let mut bytes = Zeroizing::new([0; RECOVERY_LENGTH]);
    random(bytes.as_mut_slice())?;
    let letters = bytes
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(byte % 32)]));
    Ok(Zeroizing::new(letters.collect()))
}

/// In groups of four, as it is shown.
fn grouped(code: &str) -> Zeroizing<String> {
    let mut grouped = Zeroizing::new(String::with_capacity(2 * RECOVERY_LENGTH));
    for (at, letter) in code.chars().enumerate() {
        if at > 0 && at % 4 == 0 {
            grouped.push('-');
        }
        grouped.push(letter);
    }
    grouped
}

fn load(
    table: &impl ReadableTable<u32, &'static [u8]>,
    uid: Uid,
) -> Result<Option<RecoveryRecord>, Fault> {
    let Some(stored) = table.get(uid.0)? else {
        return Ok(None);
    };
    decode(|| object(uid), stored.value()).map(Some)
}

fn put(
    table: &mut Table<'_, u32, &'static [u8]>,
    uid: Uid,
    record: &RecoveryRecord,
) -> Result<(), Fault> {
    let bytes = encode(|| object(uid), record)?;
    table.insert(uid.0, bytes.as_slice())?;
    Ok(())
}

fn object(uid: Uid) -> String {
    format!("the recovery codes of uid {uid}")
}
