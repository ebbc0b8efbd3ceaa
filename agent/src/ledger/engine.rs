// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The file, its transactions, and the memory of the first error.

use std::fs::File;
use std::path::Path;
use std::sync::OnceLock;

use redb::backends::FileBackend;
use redb::{
    CommitError, Database, DatabaseError, Durability, ReadTransaction, ReadableDatabase,
    SetDurabilityError, StorageError, TableError, TransactionError, WriteTransaction,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::LedgerError;
use super::tables::{
    COUNTERS, DEVICES, ELEVATIONS, FAILURES, META, RECOVERY, SCHEMA, SCHEMA_KEY, SEALING, STEPS,
};

/// The oldest schema that can be brought up to date.
const OLDEST: u64 = 1;
/// Memory for pages: what lies at the top of the trees of some thousand users.
const CACHE_BYTES: usize = 1 << 20;

/// Room for one record, so that a buffer with a secret is never moved while it grows.
const RECORD_BYTES: usize = 512;

#[derive(Debug)]
pub(super) struct Engine {
    db: Database,
    failed: OnceLock<String>,
}

/// What ends a transaction early.
pub(super) enum Fault {
    /// The engine or the disk: the ledger is out of use from here on.
    Engine(redb::Error),
    /// One record: the caller's request fails.
    Record(LedgerError),
}

macro_rules! engine_fault {
    ($($error:ty),+) => {$(
        impl From<$error> for Fault {
            fn from(error: $error) -> Self {
                Self::Engine(error.into())
            }
        }
    )+};
}
engine_fault!(
    CommitError,
    SetDurabilityError,
    StorageError,
    TableError,
    TransactionError
);

impl Engine {
    /// Opens a ledger that is there, and tells its schema.
    pub(super) fn open(path: &Path, file: File) -> Result<(Self, u64), LedgerError> {
        // The engine would take an empty file for a new one, and all used codes be forgotten.
        if file.metadata().is_ok_and(|metadata| metadata.len() == 0) {
            return Err(no_ledger(path, "it is empty"));
        }
        let engine = Self::start(path, file)?;
        match engine.schema()? {
            Some(known) if (OLDEST..=SCHEMA).contains(&known) => Ok((engine, known)),
            None => Err(no_ledger(path, "it has no schema version")),
            Some(found) => Err(LedgerError::NewerSchema {
                path: path.to_owned(),
                found,
                known: SCHEMA,
            }),
        }
    }

    /// Makes a ledger in an empty file.
    /// `fill` writes what is in it from the start.
    pub(super) fn make(
        path: &Path,
        file: File,
        fill: impl FnOnce(&WriteTransaction) -> Result<(), Fault>,
    ) -> Result<Self, LedgerError> {
        let engine = Self::start(path, file)?;
        engine.write("make its tables", |txn| {
            create_tables(txn)?;
            fill(txn)
        })?;
        Ok(engine)
    }

    fn start(path: &Path, file: File) -> Result<Self, LedgerError> {
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES);
        let db = FileBackend::new(file)
            .and_then(|backend| builder.create_with_backend(backend))
            .map_err(|cause| match cause {
                DatabaseError::DatabaseAlreadyOpen => LedgerError::InUse {
                    path: path.to_owned(),
                },
                cause => LedgerError::Open {
                    path: path.to_owned(),
                    cause: Box::new(cause.into()),
                },
            })?;
        Ok(Self {
            db,
            failed: OnceLock::new(),
        })
    }

    /// The schema of the file, if it has one.
    fn schema(&self) -> Result<Option<u64>, LedgerError> {
        self.read("tell its schema", |txn| match txn.open_table(META) {
            Ok(table) => Ok(table.get(SCHEMA_KEY)?.map(|version| version.value())),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error.into()),
        })
    }

    /// Runs `body` on a snapshot.
    pub(super) fn read<T>(
        &self,
        operation: &'static str,
        body: impl FnOnce(&ReadTransaction) -> Result<T, Fault>,
    ) -> Result<T, LedgerError> {
        self.usable()?;
        let result = self.db.begin_read().map_err(Fault::from);
        result
            .and_then(|txn| body(&txn))
            .map_err(|fault| self.remember(operation, fault))
    }

    /// Runs `body` in a transaction and returns only when its changes are on disk. An error
    /// leaves nothing changed, except that a failed commit may have been made.
    pub(super) fn write<T>(
        &self,
        operation: &'static str,
        body: impl FnOnce(&WriteTransaction) -> Result<T, Fault>,
    ) -> Result<T, LedgerError> {
        self.write_unless(operation, |txn| {
            body(txn).map_err(|fault| self.remember(operation, fault))
        })
    }

    /// The same for a `body` that may not want its changes for reasons of its own.
    pub(super) fn write_unless<T, E: From<LedgerError>>(
        &self,
        operation: &'static str,
        body: impl FnOnce(&WriteTransaction) -> Result<T, E>,
    ) -> Result<T, E> {
        self.usable()?;
        let failed = |fault| self.remember(operation, fault);
        let txn = self.begin().map_err(failed)?;
        // Dropped without a commit, a transaction leaves nothing behind.
        let value = body(&txn)?;
        txn.commit().map_err(|error| failed(error.into()))?;
        Ok(value)
    }

    fn begin(&self) -> Result<WriteTransaction, Fault> {
        let mut txn = self.db.begin_write()?;
        txn.set_durability(Durability::Immediate)?;
        // Closes the attack on checksums that redb's documentation of this setting describes.
        txn.set_two_phase_commit(true);
        txn.set_quick_repair(true);
        Ok(txn)
    }

    fn usable(&self) -> Result<(), LedgerError> {
        match self.failed.get() {
            None => Ok(()),
            Some(first) => Err(LedgerError::Failed {
                first: first.clone(),
            }),
        }
    }

    pub(super) fn remember(&self, operation: &'static str, fault: Fault) -> LedgerError {
        match fault {
            Fault::Record(error) => error,
            Fault::Engine(cause) => {
                let error = LedgerError::Engine {
                    operation,
                    cause: Box::new(cause),
                };
                // Only the first is kept.
                let _ = self.failed.set(error.to_string());
                error
            }
        }
    }
}

fn no_ledger(path: &Path, why: &str) -> LedgerError {
    LedgerError::Open {
        path: path.to_owned(),
        cause: Box::new(redb::Error::Corrupted(why.to_owned())),
    }
}

fn create_tables(txn: &WriteTransaction) -> Result<(), Fault> {
    txn.open_table(SEALING)?;
    txn.open_table(DEVICES)?;
    txn.open_table(STEPS)?;
    txn.open_table(RECOVERY)?;
    txn.open_table(FAILURES)?;
    txn.open_table(ELEVATIONS)?;
    txn.open_table(COUNTERS)?;
    txn.open_table(META)?.insert(SCHEMA_KEY, SCHEMA)?;
    Ok(())
}

/// The stored form of a record; wiped, because it may hold a secret.
pub(super) fn encode(
    object: impl FnOnce() -> String,
    record: &impl Serialize,
) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(RECORD_BYTES));
    serde_json::to_writer(&mut *bytes, record).map_err(|cause| damaged(object, &cause))?;
    Ok(bytes)
}

/// The record from its stored form.
pub(super) fn decode<T: DeserializeOwned>(
    object: impl FnOnce() -> String,
    bytes: &[u8],
) -> Result<T, Fault> {
    serde_json::from_slice(bytes).map_err(|cause| damaged(object, &cause))
}

pub(super) fn damaged(object: impl FnOnce() -> String, cause: &impl ToString) -> Fault {
    Fault::Record(LedgerError::Record {
        object: object(),
        cause: cause.to_string(),
    })
}
