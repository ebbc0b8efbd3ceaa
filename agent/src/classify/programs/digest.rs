// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The SHA-256 of programs, each read once.

use std::collections::VecDeque;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;

use sha2::{Digest as _, Sha256};

/// Longest file that is hashed, in bytes. It is read while everything else waits, and after
/// two seconds without its daemon the gate refuses: this takes 1.2 s where the CPU has no
/// instructions for it, and 0.2 s where it has.
pub const MAX_HASHED: u64 = 256 << 20;
/// Digests that are remembered: more than there are programs that connect to databases.
const MAX_KNOWN: usize = 256;
const CHUNK: usize = 256 * 1024;

/// Why there is no digest.
#[derive(Debug, thiserror::Error)]
pub enum NoDigest {
    /// Others may change it.
    #[error("{0}")]
    Doubtful(String),
    /// It was changed while it was read, or something else runs now.
    #[error("the program changed while it was read")]
    Changed,
    /// More than [`MAX_HASHED`].
    #[error("the program has {0} bytes; no more than {MAX_HASHED} are hashed")]
    TooLong(u64),
    /// It can't be read.
    #[error("the program can't be read: {0}")]
    Unreadable(#[from] io::Error),
}

/// A file, and the state of its content: another content has another one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FileState {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileState {
    pub(super) fn of(facts: &Metadata) -> Self {
        Self {
            device: facts.dev(),
            inode: facts.ino(),
            size: facts.size(),
            modified: (facts.mtime(), facts.mtime_nsec()),
            changed: (facts.ctime(), facts.ctime_nsec()),
        }
    }
}

/// The digests that are known, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Digests {
    known: VecDeque<(FileState, [u8; 32])>,
}

impl Digests {
    /// The digest of an open file that was seen in this state.
    pub(super) fn of(&mut self, file: File, seen: &FileState) -> Result<[u8; 32], NoDigest> {
        if FileState::of(&file.metadata()?) != *seen {
            return Err(NoDigest::Changed);
        }
        if let Some((_, digest)) = self.known.iter().find(|(state, _)| state == seen) {
            return Ok(*digest);
        }
        if seen.size > MAX_HASHED {
            return Err(NoDigest::TooLong(seen.size));
        }
        let digest = hash(&file)?;
        if FileState::of(&file.metadata()?) != *seen {
            return Err(NoDigest::Changed);
        }
        if self.known.len() >= MAX_KNOWN {
            self.known.pop_front();
        }
        self.known.push_back((seen.clone(), digest));
        Ok(digest)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }
}

fn hash(mut file: &File) -> io::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    let mut left = MAX_HASHED;
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok(hash.finalize().into()),
            Ok(read) => {
                // It may grow as it is read.
                left = left
                    .checked_sub(read as u64)
                    .ok_or(io::ErrorKind::FileTooLarge)?;
                hash.update(&chunk[..read]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
