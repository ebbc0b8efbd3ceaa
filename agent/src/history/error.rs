// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What can go wrong with the history. Each of these means that its answers are "unknown".

use std::path::PathBuf;

use crate::ledger::PrivateError;

/// Why the history could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The directory or the file is not the daemon's alone.
    #[error(transparent)]
    NotPrivate(#[from] PrivateError),
    /// It is no history, damaged, or can't be read.
    #[error(
        "cannot open {}: {cause}; move it away to start afresh: then everything is new once more",
        path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// What the engine says.
        cause: Box<redb::Error>,
    },
    /// A newer version wrote it.
    #[error(
        "{} has schema {found}, and this stiled knows none above {known}; install the version \
         that wrote it, or move it away to start afresh",
        path.display()
    )]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: u64,
        /// The newest that is known.
        known: u64,
    },
    /// The engine or the disk.
    #[error("the history can't be read or written: {0}")]
    Engine(Box<redb::Error>),
    /// The engine met what it takes to be impossible.
    #[error("the history is damaged; move history.redb away to start afresh")]
    Damaged,
    /// One record.
    #[error("a record of the history can't be understood: {0}")]
    Record(#[from] serde_json::Error),
}

macro_rules! from_engine {
    ($($error:ident),+) => {$(
        impl From<redb::$error> for HistoryError {
            fn from(error: redb::$error) -> Self {
                Self::Engine(Box::new(error.into()))
            }
        }
    )+};
}
from_engine!(
    CommitError,
    SetDurabilityError,
    StorageError,
    TableError,
    TransactionError
);

/// Why the history has no answer. Whoever asks takes the stricter one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// It is broken; see [`super::History::problem`].
    #[error("what is known of users can't be had: {0}")]
    Broken(String),
    /// Habits take a while to show.
    #[error("the user's habits are not known yet: {hours} hours on {days} days")]
    TooLittle {
        /// Hours in which the user got through.
        hours: u32,
        /// Days.
        days: u16,
    },
    /// The daemon was killed, or more was going on than is remembered.
    #[error("not all that happened within this time is known")]
    NotAll,
}
