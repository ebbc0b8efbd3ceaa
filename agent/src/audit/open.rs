// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Finding the end of the log, and mending it after a crash.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::line::{self, Hash, MAX_LINE, Seq};
use super::tail::End;
use super::{AuditError, Event, FILE_NAME, Record};
use crate::clock::Now;
use crate::ledger::private;

/// What was found when the log was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// True if the log is new.
    pub fresh: bool,
    /// The last record that was in it.
    pub last: Option<Seq>,
    /// Length of a line that was cut short and is now in `audit.torn.<seq>`; 0 if none was.
    pub repaired_bytes: u64,
}

/// The locked file and its last links.
pub(super) struct Prepared {
    pub(super) file: File,
    pub(super) path: PathBuf,
    pub(super) next: Seq,
    pub(super) last_hash: Hash,
}

/// Opens and locks the log, and takes a torn line out of it.
pub(super) fn prepare(dir: &Path) -> Result<(Prepared, Opened), AuditError> {
    private::prepare_dir(dir)?;
    let path = dir.join(FILE_NAME);
    let mut file = private::open_file(&path)?;
    private::sync_dir(dir)?;
    lock(&file, &path)?;

    let end = End::read(&file, 1, 2 * MAX_LINE).map_err(failed("read", &path))?;
    let (last, last_hash) = last_links(&end, &path)?;
    let next = last.map_or(Seq::FIRST, Seq::next);
    if !end.torn.is_empty() {
        keep_torn(dir, next, &end.torn)?;
        file.set_len(end.whole)
            .and_then(|()| file.sync_all())
            .map_err(failed("cut a torn line off", &path))?;
    }
    file.seek(SeekFrom::Start(end.whole))
        .map_err(failed("seek in", &path))?;
    let opened = Opened {
        fresh: last.is_none(),
        last,
        repaired_bytes: end.torn.len() as u64,
    };
    let prepared = Prepared {
        file,
        path,
        next,
        last_hash,
    };
    Ok((prepared, opened))
}

/// The first record of a log: a random id, so that no two chains are taken for one.
pub(super) fn genesis(now: Now) -> Result<Record, AuditError> {
    let source = Path::new("/proc/sys/kernel/random/uuid");
    let chain = std::fs::read_to_string(source).map_err(failed("read", source))?;
    let host = nix::unistd::gethostname()
        .ok()
        .map(|name| name.to_string_lossy().into_owned());
    Ok(Record::new(
        now,
        Event::Genesis {
            chain: chain.trim().to_owned(),
            host,
        },
    ))
}

fn lock(file: &File, path: &Path) -> Result<(), AuditError> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => AuditError::InUse {
            path: path.to_owned(),
        },
        TryLockError::Error(cause) => failed("lock", path)(cause),
    })
}

/// Number and hash of the last record; none and zeros if there is no record.
fn last_links(end: &End, path: &Path) -> Result<(Option<Seq>, Hash), AuditError> {
    let damaged = |what: String| AuditError::Damaged {
        path: path.to_owned(),
        what,
    };
    if end.torn.len() >= MAX_LINE {
        return Err(damaged(format!("it is longer than {MAX_LINE} bytes")));
    }
    match end.lines.last() {
        None if end.whole == 0 => Ok((None, Hash::ZERO)),
        None => Err(damaged(format!("it is longer than {MAX_LINE} bytes"))),
        Some(line) => {
            let links = line::parse(line).map_err(|broken| damaged(broken.to_string()))?;
            Ok((Some(links.seq), links.hash))
        }
    }
}

/// Saves what is about to be cut off. A second crash at the same record adds to the file.
fn keep_torn(dir: &Path, seq: Seq, torn: &[u8]) -> Result<(), AuditError> {
    let path = dir.join(format!("audit.torn.{seq}"));
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&path)
        .map_err(failed("open", &path))?;
    file.write_all(torn)
        .and_then(|()| file.sync_all())
        .map_err(failed("write", &path))?;
    Ok(private::sync_dir(dir)?)
}

pub(super) fn failed(
    operation: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> AuditError + use<> {
    let path = path.to_owned();
    move |cause| AuditError::Io {
        operation,
        path,
        cause,
    }
}
