// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `stile audit`: reads the log, and checks that it is whole (promise S6).

use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::args::{AuditTail, AuditVerify};
use super::failure::{Exit, Failure};
use super::output::{print, print_json};
use super::text::{GOOD, escape, styled};
use crate::audit::{self, AuditError, VerifyError, verify_file};

/// A log that is whole.
#[derive(Debug, Serialize)]
struct Whole {
    records: u64,
    last_hash: String,
}

fn check(log: &Path) -> Result<Whole, Failure> {
    verify_file(log)
        .map(|report| Whole {
            records: report.records,
            last_hash: report.last_hash.to_string(),
        })
        .map_err(|error| match error {
            VerifyError::Io(_) => unreadable(log, &error),
            VerifyError::Faulty { .. } => Failure::new(Exit::Broken, error.to_string()),
        })
}

fn unreadable(log: &Path, error: &dyn std::fmt::Display) -> Failure {
    let text = format!("{}: {error}", log.display());
    Failure::new(Exit::Refused, text)
}

fn last(log: &Path, lines: usize) -> Result<Vec<Value>, Failure> {
    audit::tail(log, lines).map_err(|error| match error {
        AuditError::Damaged { .. } => Failure::new(Exit::Broken, error.to_string()),
        error => unreadable(log, &error),
    })
}

/// `stile audit verify`.
pub(super) fn verify(args: &AuditVerify) -> Result<Exit, Failure> {
    let whole = check(&args.log)?;
    if args.format.json {
        print_json(&whole)?;
    } else {
        let text = format!("whole: {} records", whole.records);
        print(&styled(GOOD, &text))?;
        print(&format!("last hash: {}", escape(&whole.last_hash)))?;
    }
    Ok(Exit::Ok)
}

/// `stile audit tail`.
pub(super) fn tail(args: &AuditTail) -> Result<Exit, Failure> {
    for record in last(&args.log, args.lines)? {
        if args.format.json {
            print_json(&record)?;
        } else {
            print(&line(&record))?;
        }
    }
    Ok(Exit::Ok)
}

/// Keys that come first on a line, in this order.
const FIRST: [&str; 3] = ["seq", "time", "event"];
/// Keys that say nothing to people.
const LEFT_OUT: [&str; 3] = ["prev", "hash", "boot_ns"];

/// A record as one line: `key=value` with single spaces.
fn line(record: &Value) -> String {
    let Value::Object(fields) = record else {
        return escape(&record.to_string());
    };
    let first = FIRST.iter().filter_map(|&key| fields.get_key_value(key));
    let rest = fields
        .iter()
        .filter(|(key, _)| !FIRST.contains(&key.as_str()) && !LEFT_OUT.contains(&key.as_str()));
    let words: Vec<_> = first
        .chain(rest)
        .map(|(key, value)| word(key, value))
        .collect();
    words.join(" ")
}

fn word(key: &str, value: &Value) -> String {
    let value = match value {
        Value::String(text) if is_word(text) => text.clone(),
        other => other.to_string(),
    };
    format!("{}={}", escape(key), escape(&value))
}

/// True for text that needs no quotes.
fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.contains([' ', '"', '=', '\\'])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_is_one_line_that_no_value_can_break() {
        let record = json!({
            "event": "grant",
            "hash": "00",
            "seq": 7,
            "program": "/tmp/a b\n\u{1b}[2J",
            "uid": 1000,
        });
        assert_eq!(
            line(&record),
            r#"seq=7 event=grant program="/tmp/a b\n\u001b[2J" uid=1000"#
        );
    }
}
