// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What can go wrong with the ledger. Each of these means that nothing is granted.

use std::path::PathBuf;

use super::PrivateError;

/// Why the ledger could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The directory or the file is not the daemon's alone.
    #[error(transparent)]
    NotPrivate(#[from] PrivateError),
    /// Another process has it open.
    #[error("{} is in use; stop the stiled that runs already", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// A newer version wrote it.
    #[error(
        "{} has schema {found}, and this stiled knows none above {known}; install the version \
         that wrote it or a later one",
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
    /// It is no ledger, damaged, or can't be read.
    #[error(
        "cannot open {}: {cause}; restore it from a backup, or move it away to start afresh: \
         then every user has to enroll again",
        path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// What the engine says.
        cause: Box<redb::Error>,
    },
    /// A read or a write failed. What it would have changed may or may not be on disk.
    #[error("the ledger could not {operation}: {cause}; mend the disk and restart stiled")]
    Engine {
        /// What was tried.
        operation: &'static str,
        /// What the engine says.
        cause: Box<redb::Error>,
    },
    /// There is no key to open the secrets with.
    #[error(
        "the ledger's secrets are sealed, and there is no key: neither the credential \
         \"stile-key\" nor {}; restore it, or move the ledger away to start afresh: then every \
         user has to enroll again",
        file.display()
    )]
    NoKey {
        /// Where it would lie without a credential.
        file: PathBuf,
    },
    /// The key is another one.
    #[error(
        "the ledger's secrets are sealed with another key than that of {source_of_key}; restore \
         that key (as credential \"stile-key-previous\", if it is being replaced)"
    )]
    WrongKey {
        /// What was tried.
        source_of_key: String,
    },
    /// What should be a key is none.
    #[error(
        "{} is no key: it has {bytes} bytes; a key is 32 random bytes, or 64 hex digits",
        path.display()
    )]
    BadKey {
        /// What was read.
        path: PathBuf,
        /// How long it is.
        bytes: usize,
    },
    /// A ledger without the key that seals its secrets.
    #[error("the ledger has no data key: it is damaged; restore a backup")]
    NoDataKey,
    /// The kernel gave no random numbers.
    #[error("no secret can be made or sealed: {cause}")]
    Random {
        /// Why not.
        cause: String,
    },
    /// Too many devices.
    #[error("there are {} devices already; remove one first", super::MAX_DEVICES)]
    TooManyDevices,
    /// Two devices of one name.
    #[error("there is a device called {name:?} already")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// The user has no such device.
    #[error("no such device of yours; `stile factor list` shows them")]
    NoSuchDevice,
    /// Not tried, because an earlier operation failed.
    #[error("the ledger is out of use since an earlier error: {first}")]
    Failed {
        /// The first error.
        first: String,
    },
    /// One record can't be understood. The others are not affected.
    #[error("the ledger's record of {object} is damaged: {cause}; restore a backup")]
    Record {
        /// Whose record of what.
        object: String,
        /// What is wrong with it.
        cause: String,
    },
}
