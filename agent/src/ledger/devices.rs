// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The TOTP devices of users: phones, hardware tokens.

use std::ops::RangeInclusive;

use redb::{ReadableTable, ReadableTableMetadata, Table, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::codes::use_up;
use super::engine::{Fault, damaged, decode, encode};
use super::ids;
use super::seal::Sealer;
use super::secret::TotpParameters;
use super::tables::{COUNTERS, DEVICES, NEXT_DEVICE};
use super::{Ledger, LedgerError, TotpSecret, TotpStep};
use crate::clock::WallTime;
use crate::ids::{DeviceId, Uid};

/// Most devices of one user: each makes guessing as much easier.
pub const MAX_DEVICES: usize = 5;

/// A device that is about to be stored.
#[derive(Debug)]
pub struct NewDevice {
    /// What its user calls it.
    pub name: String,
    /// Its secret.
    pub secret: TotpSecret,
    /// How it makes codes.
    pub parameters: TotpParameters,
}

/// A device as the ledger has it, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// What its user calls it.
    pub name: String,
    /// How it makes codes.
    pub parameters: TotpParameters,
    /// When it was enrolled.
    pub enrolled: WallTime,
}

/// The stored form; the secret is sealed, in hex.
#[derive(Serialize, Deserialize)]
pub(super) struct DeviceRecord {
    name: String,
    #[serde(flatten)]
    parameters: TotpParameters,
    enrolled: WallTime,
    sealed: String,
}

impl DeviceRecord {
    pub(super) fn new(
        uid: Uid,
        id: u64,
        device: &NewDevice,
        enrolled: WallTime,
        sealer: &Sealer,
    ) -> Result<Self, LedgerError> {
        let sealed = sealer.seal(&place(uid, id), device.secret.as_bytes())?;
        Ok(Self {
            name: device.name.clone(),
            parameters: device.parameters,
            enrolled,
            sealed: hex::encode(sealed),
        })
    }

    fn secret(&self, uid: Uid, id: u64, sealer: &Sealer) -> Result<TotpSecret, Fault> {
        let bytes =
            hex::decode(&self.sealed).map_err(|cause| damaged(|| object(uid, id), &cause))?;
        let secret = sealer.open(&place(uid, id), &bytes).ok_or_else(|| {
            let why = "its seal doesn't fit: it was changed, or belongs to another user";
            damaged(|| object(uid, id), &why)
        })?;
        Ok(TotpSecret::new(&secret))
    }

    /// The same, sealed with another key.
    fn resealed(mut self, uid: Uid, id: u64, old: &Sealer, new: &Sealer) -> Result<Self, Fault> {
        let secret = self.secret(uid, id, old)?;
        let sealed = new
            .seal(&place(uid, id), secret.as_bytes())
            .map_err(Fault::Record)?;
        self.sealed = hex::encode(sealed);
        Ok(self)
    }

    fn told(self, id: u64) -> Device {
        Device {
            id: DeviceId(id),
            name: self.name,
            parameters: self.parameters,
            enrolled: self.enrolled,
        }
    }
}

impl Ledger {
    /// The user's devices, oldest first.
    ///
    /// # Errors
    /// If they can't be read.
    pub fn devices(&self, uid: Uid) -> Result<Vec<Device>, LedgerError> {
        self.engine.read("read TOTP devices", |txn| {
            let table = txn.open_table(DEVICES)?;
            records(&table, uid)?
                .into_iter()
                .map(|(id, record)| Ok(record.told(id)))
                .collect()
        })
    }

    /// The user's devices with their secrets, oldest first.
    ///
    /// # Errors
    /// If they can't be read, or one of them can't be opened.
    pub fn totp_secrets(&self, uid: Uid) -> Result<Vec<(Device, TotpSecret)>, LedgerError> {
        self.engine.read("read TOTP secrets", |txn| {
            let table = txn.open_table(DEVICES)?;
            records(&table, uid)?
                .into_iter()
                .map(|(id, record)| {
                    let secret = record.secret(uid, id, &self.sealer)?;
                    Ok((record.told(id), secret))
                })
                .collect()
        })
    }

    /// True if the user has a device.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn is_enrolled(&self, uid: Uid) -> Result<bool, LedgerError> {
        self.engine.read("look for a TOTP device", |txn| {
            Ok(txn.open_table(DEVICES)?.range(of(uid))?.next().is_some())
        })
    }

    /// How many devices there are.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn device_count(&self) -> Result<u64, LedgerError> {
        self.engine.read("count TOTP devices", |txn| {
            Ok(txn.open_table(DEVICES)?.len()?)
        })
    }

    /// Stores a device. `step` is that of the code that confirmed it, if one did, which is used up herewith.
    /// With `alone`, the user's other devices are forgotten at the same time. Failures stay
    /// counted, and no step that was used becomes fresh again.
    ///
    /// # Errors
    /// If it can't be written, or the user has [`MAX_DEVICES`], or one of this name.
    pub fn enroll(
        &self,
        uid: Uid,
        device: &NewDevice,
        step: Option<TotpStep>,
        now: WallTime,
        alone: bool,
    ) -> Result<DeviceId, LedgerError> {
        self.change(|changes| changes.enroll(uid, device, step, now, alone))
    }

    /// Gives a device another name.
    ///
    /// # Errors
    /// If it can't be written, the user has no such device, or another one of this name.
    pub fn rename_device(&self, uid: Uid, id: DeviceId, name: &str) -> Result<(), LedgerError> {
        self.change(|changes| changes.rename_device(uid, id, name))
    }

    /// Forgets a device. False if the user has none of this id.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn remove_device(&self, uid: Uid, id: DeviceId) -> Result<bool, LedgerError> {
        self.change(|changes| changes.remove_device(uid, id))
    }
}

/// See [`Ledger::enroll`].
pub(super) fn enroll(
    txn: &WriteTransaction,
    sealer: &Sealer,
    (uid, device): (Uid, &NewDevice),
    step: Option<TotpStep>,
    now: WallTime,
    alone: bool,
) -> Result<DeviceId, Fault> {
    let id = ids::advance(&mut txn.open_table(COUNTERS)?, NEXT_DEVICE, 1)?;
    let mut table = txn.open_table(DEVICES)?;
    let others = records(&table, uid)?;
    if alone {
        for (other, _) in &others {
            table.remove((uid.0, *other))?;
        }
    } else {
        if others.len() >= MAX_DEVICES {
            return Err(Fault::Record(LedgerError::TooManyDevices));
        }
        free_name(&others, &device.name, None)?;
    }
    let record = DeviceRecord::new(uid, id, device, now, sealer).map_err(Fault::Record)?;
    put(&mut table, uid, id, &record)?;
    if let Some(step) = step {
        use_up(txn, uid, &device.secret.print(), step)?;
    }
    Ok(DeviceId(id))
}

/// See [`Ledger::rename_device`].
pub(super) fn rename(
    txn: &WriteTransaction,
    uid: Uid,
    id: DeviceId,
    name: &str,
) -> Result<(), Fault> {
    let mut table = txn.open_table(DEVICES)?;
    let others = records(&table, uid)?;
    free_name(&others, name, Some(id))?;
    let found = others.into_iter().find(|(other, _)| *other == id.0);
    let Some((_, mut record)) = found else {
        return Err(Fault::Record(LedgerError::NoSuchDevice));
    };
    name.clone_into(&mut record.name);
    put(&mut table, uid, id.0, &record)
}

/// See [`Ledger::remove_device`].
pub(super) fn remove(txn: &WriteTransaction, uid: Uid, id: DeviceId) -> Result<bool, Fault> {
    let mut table = txn.open_table(DEVICES)?;
    Ok(table.remove((uid.0, id.0))?.is_some())
}

/// The user's devices, without their secrets, as this transaction has them.
pub(super) fn of_user(txn: &WriteTransaction, uid: Uid) -> Result<Vec<Device>, Fault> {
    let found = records(&txn.open_table(DEVICES)?, uid)?;
    let told = found.into_iter().map(|(id, record)| record.told(id));
    Ok(told.collect())
}

/// Seals all secrets anew.
pub(super) fn reseal(txn: &WriteTransaction, old: &Sealer, new: &Sealer) -> Result<u64, Fault> {
    let mut table = txn.open_table(DEVICES)?;
    let mut sealed = Vec::new();
    for entry in table.iter()? {
        let (key, value) = entry?;
        let (uid, id) = key.value();
        let record: DeviceRecord = decode(|| object(Uid(uid), id), value.value())?;
        sealed.push((Uid(uid), id, record.resealed(Uid(uid), id, old, new)?));
    }
    for (uid, id, record) in &sealed {
        put(&mut table, *uid, *id, record)?;
    }
    Ok(sealed.len() as u64)
}

/// Everybody's devices; each must open.
pub(super) fn all(
    table: &impl ReadableTable<(u32, u64), &'static [u8]>,
    sealer: &Sealer,
) -> Result<Vec<(Uid, Device)>, Fault> {
    let mut found = Vec::new();
    for entry in table.iter()? {
        let (key, value) = entry?;
        let (uid, id) = key.value();
        let record: DeviceRecord = decode(|| object(Uid(uid), id), value.value())?;
        record.secret(Uid(uid), id, sealer)?;
        found.push((Uid(uid), record.told(id)));
    }
    Ok(found)
}

pub(super) fn put(
    table: &mut Table<'_, (u32, u64), &'static [u8]>,
    uid: Uid,
    id: u64,
    record: &DeviceRecord,
) -> Result<(), Fault> {
    let bytes = encode(|| object(uid, id), record)?;
    table.insert((uid.0, id), bytes.as_slice())?;
    Ok(())
}

fn records(
    table: &impl ReadableTable<(u32, u64), &'static [u8]>,
    uid: Uid,
) -> Result<Vec<(u64, DeviceRecord)>, Fault> {
    let mut found = Vec::new();
    for entry in table.range(of(uid))? {
        let (key, value) = entry?;
        let (_, id) = key.value();
        found.push((id, decode(|| object(uid, id), value.value())?));
    }
    Ok(found)
}

/// Names tell devices apart, so each is there once.
fn free_name(
    others: &[(u64, DeviceRecord)],
    name: &str,
    but: Option<DeviceId>,
) -> Result<(), Fault> {
    let taken = others
        .iter()
        .any(|(id, record)| record.name == name && but != Some(DeviceId(*id)));
    if taken {
        let name = name.to_owned();
        return Err(Fault::Record(LedgerError::NameTaken { name }));
    }
    Ok(())
}

fn of(uid: Uid) -> RangeInclusive<(u32, u64)> {
    (uid.0, u64::MIN)..=(uid.0, u64::MAX)
}

/// Where a sealed secret belongs.
fn place(uid: Uid, id: u64) -> String {
    format!("stile/2|totp|{uid}|{id}")
}

fn object(uid: Uid, id: u64) -> String {
    format!("TOTP device {id} of uid {uid}")
}
