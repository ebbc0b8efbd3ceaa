// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What can go wrong with the audit log. Each of these means that nothing is granted.

use std::io;
use std::path::PathBuf;

use super::{MAX_LINE, Seq};
use crate::ledger::PrivateError;

/// Why the log could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The directory or the file is not the daemon's alone.
    #[error(transparent)]
    NotPrivate(#[from] PrivateError),
    /// Another process writes it.
    #[error("{} is being written by another process; stop the stiled that runs already", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// Its last record isn't whole, although its line is.
    #[error(
        "the last record of {} is damaged ({what}), so nothing can be chained to it; run `stile \
         audit verify`, keep the file as evidence, and move it away to begin a new chain",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The system refused.
    #[error("cannot {operation} {}: {cause}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// Not tried, because an earlier operation failed.
    #[error("the audit log is out of use since an earlier error: {first}; restart stiled")]
    Failed {
        /// The first error.
        first: String,
    },
    /// The record can't be written as a line. The log isn't affected.
    #[error("audit record {seq} can't be written as a line of {MAX_LINE} bytes at most: {cause}")]
    Record {
        /// The number that it would have had.
        seq: Seq,
        /// Why not.
        cause: String,
    },
}
