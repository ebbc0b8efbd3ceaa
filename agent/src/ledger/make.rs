// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Making the file: beside its place, and moved there when it is whole. A crash or a full disk
//! meanwhile leaves no half ledger that the next start would have to refuse.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::Path;

use redb::WriteTransaction;

use super::engine::{Engine, Fault};
use super::keys::KeyPlaces;
use super::private::{self, failed};
use super::sealing::{self, Opened};
use super::tables::SCHEMA;
use super::{FILE_NAME, LedgerError, migrate};

const UNFINISHED: &str = "ledger.redb.new";

/// Opens the ledger in a private directory; makes it if there is none.
pub(super) fn open_or_make(places: &KeyPlaces) -> Result<(Engine, Opened), LedgerError> {
    let dir = &places.state;
    let path = dir.join(FILE_NAME);
    if let Some(file) = private::open_existing(&path)? {
        return open(places, &path, file);
    }
    let _lock = lock(dir)?;
    // Another process may have made it just before.
    match private::open_existing(&path)? {
        Some(file) => open(places, &path, file),
        None => {
            let (opened, key) = sealing::begin(places)?;
            Ok((make(dir, |txn| key.store(txn))?, opened))
        }
    }
}

fn open(places: &KeyPlaces, path: &Path, file: File) -> Result<(Engine, Opened), LedgerError> {
    let mut old_file = file.try_clone().map_err(failed("open", path))?;
    let (engine, schema) = Engine::open(path, file)?;
    if schema == SCHEMA {
        let opened = sealing::open(&engine, places)?;
        return Ok((engine, opened));
    }
    let old = migrate::read(&engine)?;
    let (opened, key) = sealing::begin(places)?;
    let new = make(&places.state, |txn| {
        key.store(txn)?;
        old.write(txn, &opened.sealer)
    })?;
    drop(engine);
    // The secrets of the old file were in plain text.
    migrate::wipe(&mut old_file).map_err(failed("wipe", path))?;
    Ok((new, opened))
}

fn make(
    dir: &Path,
    fill: impl FnOnce(&WriteTransaction) -> Result<(), Fault>,
) -> Result<Engine, LedgerError> {
    let path = dir.join(FILE_NAME);
    let unfinished = dir.join(UNFINISHED);
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(failed("remove", &unfinished)(error).into());
        }
        _ => {}
    }
    let engine = Engine::make(&unfinished, private::open_file(&unfinished)?, fill)?;
    fs::rename(&unfinished, &path).map_err(failed("rename", &unfinished))?;
    private::sync_dir(dir)?;
    Ok(engine)
}

/// Keeps other processes from making the same ledger, as long as the file is open.
fn lock(dir: &Path) -> Result<File, LedgerError> {
    let in_use = || LedgerError::InUse {
        path: dir.to_owned(),
    };
    let io = |operation, cause: io::Error| failed(operation, dir)(cause);
    let file = File::open(dir).map_err(|cause| io("open", cause))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(in_use()),
        Err(TryLockError::Error(cause)) => Err(io("lock", cause).into()),
    }
}
