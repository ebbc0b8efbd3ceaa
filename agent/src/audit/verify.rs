// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Checking the chain from its first record to its last.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use serde::Deserialize;

use super::line::{self, Broken, Hash, MAX_LINE, Seq};

/// A chain without a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyReport {
    /// How many records it has.
    pub records: u64,
    /// The random id in its first record.
    pub chain: String,
    /// The hash of its last record. Compare it, or that of any earlier record, with a copy
    /// kept elsewhere, to see that nothing was cut off at the end.
    pub last_hash: Hash,
}

/// Why a chain is not whole.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It could not be read.
    #[error("cannot read the audit log: {0}")]
    Io(#[from] io::Error),
    /// The first fault.
    #[error("line {line}: {fault} (record {expected} should stand there)")]
    Faulty {
        /// The line, from 1.
        line: u64,
        /// The record that should stand there.
        expected: Seq,
        /// What is wrong.
        fault: Fault,
    },
}

/// What is wrong with a line of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The log has no record at all.
    Empty,
    /// The line doesn't have the form of a record, or is longer than any.
    NotARecord,
    /// The record was changed: its hash is not that of its text.
    Changed,
    /// The record is whole and has another number: others were removed, inserted or reordered.
    OutOfOrder {
        /// Its number.
        found: Seq,
    },
    /// The record has the right number, and continues another chain than this one.
    Foreign,
    /// The last line has no end. A crash does that, and the daemon mends it when it starts; so
    /// does reading while the daemon writes.
    Torn,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("there is no record"),
            Self::NotARecord => f.write_str("this is no record"),
            Self::Changed => f.write_str("this record was changed"),
            Self::OutOfOrder { found } => write!(
                f,
                "this is record {found}: records were removed, inserted or reordered"
            ),
            Self::Foreign => f.write_str("this record doesn't follow the one before it"),
            Self::Torn => {
                f.write_str("this record was cut short, by a crash or because it is being written")
            }
        }
    }
}

/// Checks the log in this file. See [`verify`].
///
/// # Errors
/// If the file can't be read, or at the first fault.
pub fn verify_file(path: &Path) -> Result<VerifyReport, VerifyError> {
    verify(BufReader::new(File::open(path)?))
}

/// Checks a log from its first record on, and holds one line at a time.
///
/// Whole records that were cut off at the end can't be missed from the log alone.
///
/// # Errors
/// If it can't be read, or at the first fault.
pub fn verify(mut reader: impl BufRead) -> Result<VerifyReport, VerifyError> {
    let mut expected = Seq::FIRST;
    let mut last_hash = Hash::ZERO;
    let mut chain = None;
    let mut line = Vec::new();
    loop {
        let fault = |fault| VerifyError::Faulty {
            line: expected.0,
            expected,
            fault,
        };
        line.clear();
        // One byte more than a line may have tells that it is too long.
        let limit = MAX_LINE as u64 + 1;
        reader.by_ref().take(limit).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            break;
        }
        let hash = check(&line, expected, last_hash).map_err(fault)?;
        if chain.is_none() {
            chain = Some(chain_id(&line).ok_or(fault(Fault::NotARecord))?);
        }
        last_hash = hash;
        expected = expected.next();
    }
    Ok(VerifyReport {
        records: expected.0 - 1,
        chain: chain.ok_or(VerifyError::Faulty {
            line: 1,
            expected,
            fault: Fault::Empty,
        })?,
        last_hash,
    })
}

/// Checks one line against its predecessor, and returns its hash.
fn check(line: &[u8], expected: Seq, last_hash: Hash) -> Result<Hash, Fault> {
    if line.len() > MAX_LINE {
        return Err(Fault::NotARecord);
    }
    if !line.ends_with(b"\n") {
        return Err(Fault::Torn);
    }
    let links = line::parse(line).map_err(|broken| match broken {
        Broken::Form => Fault::NotARecord,
        Broken::Hash => Fault::Changed,
    })?;
    if links.seq != expected {
        return Err(Fault::OutOfOrder { found: links.seq });
    }
    if links.prev != last_hash {
        return Err(Fault::Foreign);
    }
    Ok(links.hash)
}

/// The random id of the chain, if this is the line of its first record.
fn chain_id(line: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Genesis {
        event: String,
        chain: String,
    }
    let genesis: Genesis = serde_json::from_slice(line).ok()?;
    (genesis.event == "genesis").then_some(genesis.chain)
}
