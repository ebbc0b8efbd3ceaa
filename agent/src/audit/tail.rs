// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reading the log from its end, without reading all of it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use serde_json::Value;

use super::AuditError;
use super::open::failed;

/// Most bytes that [`tail`] reads, however many records were asked for.
pub const MAX_TAIL_BYTES: usize = 8 << 20;

const CHUNK: usize = 64 * 1024;

/// The end of a log.
pub(super) struct End {
    /// The last whole lines, oldest first, line feeds included.
    pub(super) lines: Vec<Vec<u8>>,
    /// What follows them without a line feed.
    pub(super) torn: Vec<u8>,
    /// Where `torn` begins.
    pub(super) whole: u64,
}

impl End {
    /// Reads the last `count` lines, or fewer if they don't fit into `max` bytes.
    pub(super) fn read(file: &File, count: usize, max: usize) -> io::Result<Self> {
        let len = file.metadata()?.len();
        let (bytes, start) = read_back(file, len, count, max)?;
        // Without the file's beginning, what comes before the first line feed is no whole line.
        let skip = if start == 0 {
            0
        } else {
            bytes
                .iter()
                .position(|byte| *byte == b'\n')
                .map_or(bytes.len(), |at| at + 1)
        };
        let mut lines: Vec<Vec<u8>> = bytes[skip..]
            .split_inclusive(|byte| *byte == b'\n')
            .map(<[u8]>::to_vec)
            .collect();
        let torn = lines
            .pop_if(|line| !line.ends_with(b"\n"))
            .unwrap_or_default();
        lines.drain(..lines.len().saturating_sub(count));
        Ok(Self {
            lines,
            whole: len - torn.len() as u64,
            torn,
        })
    }
}

/// Reads chunks backwards from `len` until they hold `count` lines, and returns them with
/// their place in the file.
fn read_back(file: &File, len: u64, count: usize, max: usize) -> io::Result<(Vec<u8>, u64)> {
    let mut chunks = Vec::new();
    let mut start = len;
    let mut read = 0;
    let mut line_feeds = 0;
    while start > 0 && line_feeds <= count && read < max {
        let size = CHUNK
            .min(max - read)
            .min(usize::try_from(start).unwrap_or(CHUNK));
        let mut chunk = vec![0; size];
        start -= size as u64;
        file.read_exact_at(&mut chunk, start)?;
        read += size;
        line_feeds += chunk.iter().filter(|byte| **byte == b'\n').count();
        chunks.push(chunk);
    }
    chunks.reverse();
    Ok((chunks.concat(), start))
}

/// The last `count` records, oldest first; fewer if the log has no more, or if they need more
/// than [`MAX_TAIL_BYTES`]. A last line that is not whole yet is passed over. The chain is not
/// checked.
///
/// # Errors
/// If the log can't be read, or a line is no JSON.
pub fn tail(path: &Path, count: usize) -> Result<Vec<Value>, AuditError> {
    let end = File::open(path)
        .and_then(|file| End::read(&file, count, MAX_TAIL_BYTES))
        .map_err(failed("read", path))?;
    end.lines
        .iter()
        .map(|line| serde_json::from_slice(line))
        .collect::<Result<_, _>>()
        .map_err(|cause| AuditError::Damaged {
            path: path.to_owned(),
            what: cause.to_string(),
        })
}
