// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The file `history.redb`, and how much of it is kept.

use std::fs::{self, File};
use std::panic::AssertUnwindSafe;
use std::path::Path;

use redb::backends::FileBackend;
use redb::{
    Database, Durability, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    TableDefinition, TableError, WriteTransaction,
};
use serde::{Deserialize, Serialize};

use super::HistoryError;
use super::habits::Habits;
use super::recent::{Counted, Counter, Lump, Recent};
use crate::ids::{EndpointId, Uid};
use crate::ledger::private;

/// The history's file below the state directory.
pub const FILE_NAME: &str = "history.redb";
const UNFINISHED: &str = "history.redb.new";
const SCHEMA: u64 = 1;
/// Memory for pages.
const CACHE_BYTES: usize = 1 << 20;

/// Programs, endpoints and addresses that are remembered of a user, of each kind.
pub(super) const MAX_EACH: usize = 256;
/// The same of all users.
pub(super) const MAX_ALL: u64 = 200_000;
/// Users of whom anything is remembered.
pub(super) const MAX_USERS: u64 = 10_000;

/// Of what something was seen: uid, kind, and what it is.
pub(super) type SeenKey = (u32, u8, u128);
/// When it was seen first and last, in seconds since 1970.
pub(super) type SeenTimes = (u64, u64);

const META: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("meta");
const SEEN: TableDefinition<'static, SeenKey, SeenTimes> = TableDefinition::new("seen");
const USERS: TableDefinition<'static, u32, &[u8]> = TableDefinition::new("users");
/// Uid and endpoint; 0 is no endpoint's id, and stands for wrong answers.
const RECENT: TableDefinition<'static, (u32, u32), &[u8]> = TableDefinition::new("recent");

/// What tells how to read the rest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) schema: u64,
    /// The boot that times since boot belong to.
    pub(super) boot: String,
    /// When this was written, in milliseconds since boot.
    pub(super) boot_millis: i64,
    /// The same since 1970.
    pub(super) wall_millis: i64,
    /// Since when recent events are all there.
    pub(super) known_since: Option<i64>,
    /// No daemon that wrote more has ended without saving.
    pub(super) whole: bool,
}

/// What is written at one go.
pub(super) struct Changes<'a> {
    pub(super) header: Header,
    pub(super) seen: &'a [(SeenKey, SeenTimes)],
    pub(super) users: &'a [(Uid, Habits)],
    pub(super) recent: &'a Recent,
    /// All of what is recent, not only what has changed.
    pub(super) rewrite: bool,
}

#[derive(Debug)]
pub(super) struct Store {
    /// There until it is dropped.
    db: Option<Database>,
}

/// The engine checks what it reads; where it finds damage that it did not expect it panics
/// instead of failing. What is remembered of users is not worth the daemon.
fn guarded<T>(body: impl FnOnce() -> Result<T, HistoryError>) -> Result<T, HistoryError> {
    // Whoever gets an error uses the store no more.
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(body));
    outcome.unwrap_or(Err(HistoryError::Damaged))
}

impl Drop for Store {
    fn drop(&mut self) {
        let db = self.db.take();
        let _ = guarded(|| {
            drop(db);
            Ok(())
        });
    }
}

impl Store {
    /// Opens the file below a private directory, and makes it if it is missing. Another daemon
    /// has none open: it would have the ledger.
    pub(super) fn open(dir: &Path) -> Result<Self, HistoryError> {
        private::prepare_dir(dir)?;
        let path = dir.join(FILE_NAME);
        if let Some(file) = private::open_existing(&path)? {
            return Self::start(&path, file);
        }
        // A crash leaves no half file in its place.
        let unfinished = dir.join(UNFINISHED);
        let _ = fs::remove_file(&unfinished);
        let store = Self::start(&unfinished, private::open_file(&unfinished)?)?;
        store.write(|txn| {
            txn.open_table(META)?;
            txn.open_table(SEEN)?;
            txn.open_table(USERS)?;
            txn.open_table(RECENT)?;
            Ok(())
        })?;
        fs::rename(&unfinished, &path).map_err(private::failed("rename", &unfinished))?;
        private::sync_dir(dir)?;
        Ok(store)
    }

    fn start(path: &Path, file: File) -> Result<Self, HistoryError> {
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES);
        guarded(|| {
            let db = FileBackend::new(file);
            let db = db.and_then(|backend| builder.create_with_backend(backend));
            let db = db.map_err(|cause| HistoryError::Open {
                path: path.to_owned(),
                cause: Box::new(cause.into()),
            })?;
            Ok(Self { db: Some(db) })
        })
    }

    fn db(&self) -> Result<&Database, HistoryError> {
        self.db.as_ref().ok_or(HistoryError::Damaged)
    }

    fn read<T>(
        &self,
        body: impl FnOnce(&ReadTransaction) -> Result<T, HistoryError>,
    ) -> Result<T, HistoryError> {
        guarded(|| body(&self.db()?.begin_read()?))
    }

    /// Returns only when it is on disk.
    fn write(
        &self,
        body: impl FnOnce(&WriteTransaction) -> Result<(), HistoryError>,
    ) -> Result<(), HistoryError> {
        guarded(|| {
            let mut txn = self.db()?.begin_write()?;
            txn.set_durability(Durability::Immediate)?;
            txn.set_two_phase_commit(true);
            txn.set_quick_repair(true);
            body(&txn)?;
            Ok(txn.commit()?)
        })
    }

    /// The header; none in a new file.
    pub(super) fn header(&self, dir: &Path) -> Result<Option<Header>, HistoryError> {
        let header = self.read(|txn| {
            let table = match txn.open_table(META) {
                // An empty file: the engine has made it one of its own.
                Err(TableError::TableDoesNotExist(_)) => return Ok(None),
                table => table?,
            };
            let bytes = table.get("header")?;
            let header = bytes.map(|bytes| serde_json::from_slice::<Header>(bytes.value()));
            Ok(header.transpose()?)
        })?;
        match header {
            Some(header) if header.schema != SCHEMA => Err(HistoryError::NewerSchema {
                path: dir.join(FILE_NAME),
                found: header.schema,
                known: SCHEMA,
            }),
            header => Ok(header),
        }
    }

    /// What was recent when it was saved.
    pub(super) fn recent(&self) -> Result<Vec<(Counted, Vec<Lump>)>, HistoryError> {
        self.read(|txn| {
            let mut found = Vec::new();
            for entry in txn.open_table(RECENT)?.iter()? {
                let (key, bytes) = entry?;
                let (uid, endpoint) = key.value();
                let what = Counted {
                    uid: Uid(uid),
                    endpoint: (endpoint != 0).then_some(EndpointId(endpoint)),
                };
                found.push((what, serde_json::from_slice(bytes.value())?));
            }
            Ok(found)
        })
    }

    pub(super) fn seen(&self, key: SeenKey) -> Result<Option<SeenTimes>, HistoryError> {
        self.read(|txn| {
            let found = txn.open_table(SEEN)?.get(key)?;
            Ok(found.map(|found| found.value()))
        })
    }

    pub(super) fn habits(&self, uid: Uid) -> Result<Option<Habits>, HistoryError> {
        self.read(|txn| {
            let found = txn.open_table(USERS)?.get(uid.0)?;
            let habits = found.map(|found| serde_json::from_slice(found.value()));
            Ok(habits.transpose()?)
        })
    }

    /// Writes changes, and forgets the oldest of what is too much.
    pub(super) fn save(&self, changes: &Changes<'_>) -> Result<(), HistoryError> {
        self.write(|txn| {
            let header = serde_json::to_vec(&changes.header)?;
            txn.open_table(META)?.insert("header", &*header)?;
            let mut users = txn.open_table(USERS)?;
            for (uid, habits) in changes.users {
                users.insert(uid.0, &*serde_json::to_vec(habits)?)?;
            }
            let mut seen = txn.open_table(SEEN)?;
            for (key, times) in changes.seen {
                let is_new = seen.insert(key, times)?.is_none();
                if is_new {
                    trim(&mut seen, (key.0, key.1), MAX_EACH)?;
                }
            }
            while seen.len()? > MAX_ALL || users.len()? > MAX_USERS {
                if !forget_a_user(&mut seen, &mut users)? {
                    break;
                }
            }
            let mut recent = txn.open_table(RECENT)?;
            if changes.rewrite {
                recent.retain(|_, _| false)?;
                for (what, counter) in changes.recent.all() {
                    put(&mut recent, what, Some(counter))?;
                }
            }
            for (what, counter) in changes.recent.changes() {
                put(&mut recent, what, counter)?;
            }
            Ok(())
        })
    }
}

impl Header {
    pub(super) fn new(boot: &str, boot_millis: i64, wall_millis: i64) -> Self {
        Self {
            schema: SCHEMA,
            boot: boot.to_owned(),
            boot_millis,
            wall_millis,
            known_since: None,
            whole: false,
        }
    }
}

type RecentTable<'txn> = redb::Table<'txn, (u32, u32), &'static [u8]>;
type SeenTable<'txn> = redb::Table<'txn, SeenKey, SeenTimes>;
type UsersTable<'txn> = redb::Table<'txn, u32, &'static [u8]>;

fn put(
    table: &mut RecentTable<'_>,
    what: Counted,
    counter: Option<&Counter>,
) -> Result<(), HistoryError> {
    let key = (what.uid.0, what.endpoint.map_or(0, |endpoint| endpoint.0));
    match counter {
        Some(counter) => {
            let lumps: Vec<_> = counter.lumps().collect();
            table.insert(key, &*serde_json::to_vec(&lumps)?)?;
        }
        None => {
            table.remove(key)?;
        }
    }
    Ok(())
}

/// Forgets what was seen longest ago of one kind of one user, until it is no more than this.
fn trim(
    table: &mut SeenTable<'_>,
    (uid, kind): (u32, u8),
    most: usize,
) -> Result<(), HistoryError> {
    let mut all = Vec::new();
    for entry in table.range((uid, kind, 0)..=(uid, kind, u128::MAX))? {
        let (key, times) = entry?;
        all.push((times.value().1, key.value()));
    }
    if all.len() > most {
        all.sort_unstable();
        for (_, key) in &all[..all.len() - most] {
            table.remove(key)?;
        }
    }
    Ok(())
}

/// Forgets the user who was not seen for longest; false if there is none.
fn forget_a_user(
    seen: &mut SeenTable<'_>,
    users: &mut UsersTable<'_>,
) -> Result<bool, HistoryError> {
    let mut oldest: Option<(u64, u32)> = None;
    for entry in users.iter()? {
        let (uid, bytes) = entry?;
        let habits: Habits = serde_json::from_slice(bytes.value())?;
        let this = (habits.seconds, uid.value());
        oldest = Some(oldest.map_or(this, |oldest| oldest.min(this)));
    }
    let Some((_, uid)) = oldest else {
        return Ok(false);
    };
    users.remove(uid)?;
    let range = (uid, 0, 0)..=(uid, u8::MAX, u128::MAX);
    seen.retain_in(range, |_, _| false)?;
    Ok(true)
}
