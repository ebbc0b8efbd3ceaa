// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The writer of the log. One process has it at a time.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::line::{self, Hash, Seq};
use super::open::{self, Opened};
use super::{AuditError, Record};
use crate::clock::Now;

/// Bytes that [`AuditLog::append`] collects before it writes them without being asked to.
const BUFFER: usize = 64 * 1024;

/// The log, open for appending.
///
/// After an error of the disk every method fails until the log is opened anew: what reached
/// the file is then known again, and a line that was cut short is taken out of it.
#[derive(Debug)]
pub struct AuditLog {
    file: File,
    path: PathBuf,
    next: Seq,
    last_hash: Hash,
    /// Lines that are not written yet.
    buffer: Vec<u8>,
    /// True if something was written and not synced.
    unsynced: bool,
    failed: Option<String>,
}

impl AuditLog {
    /// Opens the log in the audit directory `dir`, and makes both if they are missing. A new
    /// log gets its first record; from an old one, a line that was cut short by a crash is
    /// moved to a file beside it and reported.
    ///
    /// # Errors
    /// If the directory or the file is not the caller's alone, another process has the log
    /// open, its last record is damaged, or the disk fails.
    pub fn open(dir: &Path, now: Now) -> Result<(Self, Opened), AuditError> {
        let (end, opened) = open::prepare(dir)?;
        let mut log = Self {
            file: end.file,
            path: end.path,
            next: end.next,
            last_hash: end.last_hash,
            buffer: Vec::new(),
            unsynced: false,
            failed: None,
        };
        if opened.fresh {
            log.append(&open::genesis(now)?)?;
            log.commit()?;
        }
        Ok((log, opened))
    }

    /// Chains a record to the log. It is on disk only after [`Self::commit`]; until then a
    /// crash loses it.
    ///
    /// # Errors
    /// If the record can't be written as a line, which leaves the log as it was, or the disk
    /// fails.
    pub fn append(&mut self, record: &Record) -> Result<Seq, AuditError> {
        self.usable()?;
        let seq = self.next;
        let (line, hash) = line::encode(seq, self.last_hash, record)
            .map_err(|cause| AuditError::Record { seq, cause })?;
        self.buffer.extend_from_slice(&line);
        self.next = seq.next();
        self.last_hash = hash;
        if self.buffer.len() >= BUFFER {
            self.flush()?;
        }
        Ok(seq)
    }

    /// Returns when all records are on disk. Does nothing if they are.
    ///
    /// # Errors
    /// If the disk fails. Then records since the last commit may or may not be in the file.
    pub fn commit(&mut self) -> Result<(), AuditError> {
        self.usable()?;
        self.flush()?;
        if self.unsynced {
            let result = self.file.sync_data();
            self.check("sync", result)?;
            self.unsynced = false;
        }
        Ok(())
    }

    /// Writes what was appended into the file, without waiting for the disk: the end of the
    /// daemon can't lose it any more, that of the machine can until [`Self::commit`].
    ///
    /// # Errors
    /// If the disk fails.
    pub fn write_out(&mut self) -> Result<(), AuditError> {
        self.usable()?;
        self.flush()
    }

    /// The hash of the last record, to be kept elsewhere.
    #[must_use]
    pub fn last_hash(&self) -> Hash {
        self.last_hash
    }

    fn flush(&mut self) -> Result<(), AuditError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let result = self.file.write_all(&self.buffer);
        self.check("write", result)?;
        self.buffer.clear();
        self.unsynced = true;
        Ok(())
    }

    fn usable(&self) -> Result<(), AuditError> {
        match &self.failed {
            None => Ok(()),
            Some(first) => Err(AuditError::Failed {
                first: first.clone(),
            }),
        }
    }

    fn check(&mut self, operation: &'static str, result: io::Result<()>) -> Result<(), AuditError> {
        result.map_err(|cause| {
            let error = AuditError::Io {
                operation,
                path: self.path.clone(),
                cause,
            };
            self.failed = Some(error.to_string());
            error
        })
    }
}

impl Drop for AuditLog {
    /// A child that another thread forks just now holds the file too, until it runs its
    /// program; the lock must not wait for that. What was not committed is lost.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}
