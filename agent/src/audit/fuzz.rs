// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Any bytes as a log, and any change to a log that was whole.

use super::line::{Hash, Seq, encode};
use super::{Event, Record, verify};
use crate::clock::{BootTime, Now, WallTime};

/// Most records of a log that is made to be changed.
const MAX_RECORDS: usize = 8;

/// Verifies the bytes themselves; then makes a log with texts out of them, changes it as they
/// say, and verifies that.
pub(crate) fn fuzz(data: &[u8]) {
    if let Ok(report) = verify(data) {
        assert!(data.ends_with(b"\n"));
        let lines = data.iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(report.records, lines as u64);
    }
    let [what, at, with, texts @ ..] = data else {
        return;
    };
    let lines = log(texts);
    let whole = lines.concat();
    let report = verify(&*whole);
    assert!(
        report.is_ok_and(|report| report.records == lines.len() as u64),
        "a log of ours is refused"
    );
    let changed = change(&lines, *what, usize::from(*at), *with);
    // Whole records that are missing from the end can't be missed (`docs/security.md`, S6).
    if !whole.starts_with(&changed) {
        assert!(verify(&*changed).is_err(), "a change was not noticed");
    }
}

/// A whole log: the genesis, then one record for each line of the texts.
fn log(texts: &[u8]) -> Vec<Vec<u8>> {
    let now = Now {
        boot: BootTime(1),
        wall: WallTime(1_700_000_000_000_000_000),
    };
    let genesis = Event::Genesis {
        chain: "fuzz".to_owned(),
        host: None,
    };
    let faults = texts
        .split(|byte| *byte == b'\n')
        .take(MAX_RECORDS)
        .map(|text| Event::Fault {
            what: String::from_utf8_lossy(text).into_owned(),
        });
    let (mut seq, mut prev, mut lines) = (Seq::FIRST, Hash::ZERO, Vec::new());
    for event in std::iter::once(genesis).chain(faults) {
        let Ok((line, hash)) = encode(seq, prev, &Record::new(now, event)) else {
            continue;
        };
        lines.push(line);
        (seq, prev) = (seq.next(), hash);
    }
    lines
}

/// One change: a byte, a missing, doubled or moved record, or an end that is cut off.
fn change(lines: &[Vec<u8>], what: u8, at: usize, with: u8) -> Vec<u8> {
    let mut lines = lines.to_vec();
    let record = at % lines.len();
    match what % 5 {
        0 => {
            let mut bytes = lines.concat();
            let place = (at << 8 | usize::from(with)) % bytes.len();
            bytes[place] ^= with.max(1);
            return bytes;
        }
        1 => {
            lines.remove(record);
        }
        2 => lines.insert(record, lines[record].clone()),
        3 => {
            let other = usize::from(with) % lines.len();
            lines.swap(record, other);
        }
        _ => {
            let mut bytes = lines.concat();
            bytes.truncate((at << 8 | usize::from(with)) % bytes.len());
            return bytes;
        }
    }
    lines.concat()
}
