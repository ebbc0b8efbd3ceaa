// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is left on a disk whose power is cut: what it was told to flush. The rest was in its cache.
//!
//! QEMU's driver `blklogwrites` logs what a guest writes and flushes, in the format of the
//! kernel's dm-log-writes (Documentation/admin-guide/device-mapper/log-writes.rst,
//! drivers/md/dm-log-writes.c). The first sector counts the entries up to the last flush; each
//! entry has a sector of its own, and its data behind that.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, bail};

const MAGIC: u64 = 0x006a_7366_7773_6872;
const VERSION: u64 = 1;
const SECTOR: usize = 512;
const FLUSH: u64 = 1;
/// Has no data.
const DISCARD: u64 = 1 << 2;

/// A write to the disk.
#[derive(Debug, PartialEq, Eq)]
struct Write<'a> {
    /// In bytes.
    at: u64,
    data: &'a [u8],
}

/// Does to a disk what the log has, up to the last flush. False, and the disk as it was, if the
/// log was being written just when the power was cut.
///
/// # Errors
/// If it is no such log, or a file can't be read or written.
pub(super) fn replay(log: &Path, disk: &Path) -> Result<bool> {
    let log = fs::read(log).context("could not read the log of a disk")?;
    let Some(writes) = flushed(&log)? else {
        return Ok(false);
    };
    let disk = File::options().write(true).open(disk);
    let disk = disk.context("could not open a disk")?;
    for write in writes {
        let written = disk.write_all_at(write.data, write.at);
        written.context("could not write to a disk")?;
    }
    Ok(true)
}

/// The writes up to the last flush, in their order; `None` if one of them isn't there as a whole.
fn flushed(log: &[u8]) -> Result<Option<Vec<Write<'_>>>> {
    // Without any flush there is no first sector.
    let Some(count) = number(log, 16).filter(|_| number(log, 0) != Some(0)) else {
        return Ok(Some(Vec::new()));
    };
    if (number(log, 0), number(log, 8)) != (Some(MAGIC), Some(VERSION)) {
        bail!("the log of a disk is of an unknown format");
    }
    let mut writes = Vec::new();
    let mut next = SECTOR;
    for _ in 0..count {
        let Some((write, end)) = entry(log, next) else {
            return Ok(None);
        };
        writes.extend(write);
        next = end;
    }
    Ok(Some(writes))
}

/// Reads an entry: what it writes, if anything, and where it ends.
fn entry(log: &[u8], start: usize) -> Option<(Option<Write<'_>>, usize)> {
    let field = |index: usize| number(log, start + 8 * index);
    let (sector, sectors, flags) = (field(0)?, field(1)?, field(2)?);
    let data = start + SECTOR;
    if sectors == 0 {
        // Nothing but a flush has no data: room was left for an entry that never came.
        return (flags & FLUSH != 0).then_some((None, data));
    }
    if flags & DISCARD != 0 {
        return Some((None, data));
    }
    let length = usize::try_from(sectors).ok()?.checked_mul(SECTOR)?;
    let end = data.checked_add(length)?;
    let write = Write {
        at: sector.checked_mul(SECTOR as u64)?,
        data: log.get(data..end)?,
    };
    Some((Some(write), end))
}

fn number(log: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*log.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sector(numbers: [u64; 4]) -> Vec<u8> {
        let mut sector: Vec<u8> = numbers.into_iter().flat_map(u64::to_le_bytes).collect();
        sector.resize(SECTOR, 0);
        sector
    }

    /// A write of a sector of ones to sector 8, a flush, a write of twos to sector 9.
    fn log(count: u64) -> Vec<u8> {
        let mut log = sector([MAGIC, VERSION, count, SECTOR as u64]);
        log.extend(sector([8, 1, 0, 0]));
        log.extend([1; SECTOR]);
        log.extend(sector([0, 0, FLUSH, 0]));
        log.extend(sector([9, 1, 0, 0]));
        log.extend([2; SECTOR]);
        log
    }

    #[test]
    fn only_what_was_flushed_is_kept() {
        let first = Write {
            at: 8 * 512,
            data: &[1; SECTOR],
        };
        assert_eq!(flushed(&log(2)).unwrap(), Some(vec![first]));
        assert_eq!(flushed(&log(3)).unwrap().unwrap().len(), 2);
    }

    #[test]
    fn a_disk_that_was_never_flushed_keeps_nothing() {
        let mut unflushed = log(2);
        unflushed[..SECTOR].fill(0);
        for log in [&unflushed[..], &[]] {
            assert_eq!(flushed(log).unwrap(), Some(Vec::new()));
        }
    }

    #[test]
    fn a_torn_log_is_noticed() {
        let mut torn = log(2);
        torn[SECTOR..2 * SECTOR].fill(0);
        assert_eq!(flushed(&torn).unwrap(), None);
        assert_eq!(flushed(&log(3)[..5 * SECTOR]).unwrap(), None);
        let mut other = log(2);
        other[0] ^= 1;
        assert!(flushed(&other).is_err());
    }
}
