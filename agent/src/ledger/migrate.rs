// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Bringing a ledger of schema 1 up to date: it had one secret for each user, in plain text. A
//! new file is written beside it, so that no old page with a secret in it stays behind.

use std::fs::File;
use std::io::{self, Seek, Write};

use redb::{ReadTransaction, ReadableTable, TableDefinition, TableError, WriteTransaction};
use serde::Deserialize;
use tracing::info;
use zeroize::Zeroizing;

use super::devices::{self, DeviceRecord};
use super::engine::{Engine, Fault, damaged, decode};
use super::seal::Sealer;
use super::tables::{COUNTERS, DEVICES, ELEVATIONS, FAILURES, NEXT_DEVICE};
use super::{LedgerError, NewDevice, TotpParameters, TotpSecret, TotpStep, codes};
use crate::clock::WallTime;
use crate::ids::Uid;
use crate::policy::Factor;

const TOTP: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("totp");
const STEPS: TableDefinition<'_, u32, u64> = TableDefinition::new("totp_steps");
const OLD_FAILURES: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("failures");

/// What a device is called that was enrolled before devices had names.
const NAME: &str = "authenticator";

/// Everything in a ledger of schema 1.
pub(super) struct Old {
    secrets: Vec<(Uid, NewDevice, WallTime)>,
    steps: Vec<(Uid, TotpStep)>,
    failures: Vec<(Uid, Vec<u8>)>,
    elevations: Vec<((u32, u64), Vec<u8>)>,
    counters: Vec<(String, u64)>,
}

#[derive(Deserialize)]
struct OldSecret {
    secret: Zeroizing<String>,
    enrolled: WallTime,
}

/// Reads it.
pub(super) fn read(engine: &Engine) -> Result<Old, LedgerError> {
    engine.read("read a ledger of schema 1", |txn| {
        let secrets = rows(txn, TOTP, |uid, bytes: &[u8]| {
            let object = || format!("the TOTP secret of uid {uid}");
            let old: OldSecret = decode(object, bytes)?;
            let secret = hex::decode(old.secret.as_bytes()).map(Zeroizing::new);
            let secret = secret.map_err(|cause| damaged(object, &cause))?;
            let device = NewDevice {
                name: NAME.to_owned(),
                secret: TotpSecret::new(&secret),
                parameters: TotpParameters::default(),
            };
            Ok((Uid(uid), device, old.enrolled))
        })?;
        Ok(Old {
            secrets,
            steps: rows(txn, STEPS, |uid, step| Ok((Uid(uid), TotpStep(step))))?,
            failures: rows(txn, OLD_FAILURES, |uid, bytes| {
                Ok((Uid(uid), bytes.to_vec()))
            })?,
            elevations: rows(txn, ELEVATIONS, |key, bytes| Ok((key, bytes.to_vec())))?,
            counters: rows(txn, COUNTERS, |name, next| Ok((name.to_owned(), next)))?,
        })
    })
}

impl Old {
    /// Writes it as it is kept today. A used step of a user without a secret is left out: it
    /// belonged to a secret that is gone.
    pub(super) fn write(self, txn: &WriteTransaction, sealer: &Sealer) -> Result<(), Fault> {
        let mut devices = txn.open_table(DEVICES)?;
        let mut id = 0;
        for (uid, device, enrolled) in &self.secrets {
            id += 1;
            let record = DeviceRecord::new(*uid, id, device, *enrolled, sealer);
            devices::put(&mut devices, *uid, id, &record.map_err(Fault::Record)?)?;
            for (_, step) in self.steps.iter().filter(|(of, _)| of == uid) {
                codes::use_up(txn, *uid, &device.secret.print(), *step)?;
            }
        }
        let mut failures = txn.open_table(FAILURES)?;
        let totp = Factor::Totp.to_string();
        for (uid, bytes) in &self.failures {
            failures.insert((uid.0, totp.as_str()), bytes.as_slice())?;
        }
        let mut elevations = txn.open_table(ELEVATIONS)?;
        for (key, bytes) in &self.elevations {
            elevations.insert(key, bytes.as_slice())?;
        }
        let mut counters = txn.open_table(COUNTERS)?;
        for (name, next) in &self.counters {
            counters.insert(name.as_str(), next)?;
        }
        counters.insert(NEXT_DEVICE, id + 1)?;
        info!(
            users = id,
            "the ledger was brought up to date; its secrets are sealed now"
        );
        Ok(())
    }
}

/// Overwrites a file that has no name any more.
pub(super) fn wipe(file: &mut File) -> io::Result<()> {
    let mut left = file.metadata()?.len();
    file.rewind()?;
    let zeros = [0; 64 << 10];
    while left > 0 {
        let now = zeros
            .len()
            .min(usize::try_from(left).unwrap_or(zeros.len()));
        file.write_all(&zeros[..now])?;
        left -= now as u64;
    }
    file.sync_all()
}

fn rows<K: redb::Key + 'static, V: redb::Value + 'static, T>(
    txn: &ReadTransaction,
    table: TableDefinition<'_, K, V>,
    mut each: impl FnMut(K::SelfType<'_>, V::SelfType<'_>) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let table = match txn.open_table(table) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        opened => opened?,
    };
    let mut found = Vec::new();
    for entry in table.iter()? {
        let (key, value) = entry?;
        found.push(each(key.value(), value.value())?);
    }
    Ok(found)
}
