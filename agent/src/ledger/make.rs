// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Making the file: beside its place, and moved there when it is whole. A crash or a full disk
//! meanwhile leaves no half ledger that the next start would have to refuse.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::Path;

use super::engine::Engine;
use super::private::{self, failed};
use super::{FILE_NAME, LedgerError};

const UNFINISHED: &str = "ledger.redb.new";

/// Opens the ledger in a private directory; makes it if there is none.
pub(super) fn open_or_make(dir: &Path) -> Result<Engine, LedgerError> {
    let path = dir.join(FILE_NAME);
    if let Some(file) = private::open_existing(&path)? {
        return Engine::open(&path, file);
    }
    let _lock = lock(dir)?;
    // Another process may have made it just before.
    match private::open_existing(&path)? {
        Some(file) => Engine::open(&path, file),
        None => make(dir, &path),
    }
}

fn make(dir: &Path, path: &Path) -> Result<Engine, LedgerError> {
    let unfinished = dir.join(UNFINISHED);
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(failed("remove", &unfinished)(error).into());
        }
        _ => {}
    }
    let engine = Engine::make(&unfinished, private::open_file(&unfinished)?)?;
    fs::rename(&unfinished, path).map_err(failed("rename", &unfinished))?;
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
