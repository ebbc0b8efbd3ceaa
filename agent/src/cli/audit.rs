// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `stile audit`: reads the log, and checks that it is whole (promise S6).

use std::fmt::Write;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::args::{AuditTail, AuditVerify};
use super::failure::{Exit, Failure};
use super::output::{print, print_json};
use super::text::{GOOD, escape, styled};

/// A log that is whole.
#[derive(Debug, Serialize)]
struct Whole {
    records: u64,
    last_hash: String,
}

/// WIRING: the only place that calls `crate::audit::verify`. A chain that is broken is
/// [`Exit::Broken`]; a file that can't be read is [`Exit::Refused`].
fn check(_log: &Path) -> Result<Whole, Failure> {
    Err(Failure::new(Exit::Refused, "this build has no audit log"))
}

/// WIRING: the only place that calls `crate::audit::tail`.
fn last(_log: &Path, _lines: usize) -> Result<Vec<Value>, Failure> {
    Err(Failure::new(Exit::Refused, "this build has no audit log"))
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

/// A record as one line: `key=value` with single spaces, and the hashes left out, which only
/// `verify` needs.
fn line(record: &Value) -> String {
    let Value::Object(fields) = record else {
        return escape(&record.to_string());
    };
    let mut line = String::new();
    for (key, value) in fields {
        if matches!(key.as_str(), "hash" | "prev") {
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        let value = match value {
            Value::String(text) if is_word(text) => text.clone(),
            other => other.to_string(),
        };
        // Writing to a String can't fail.
        let _ = write!(line, "{}={}", escape(key), escape(&value));
    }
    line
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
            "program": "/tmp/a b\n\u{1b}[2J",
            "uid": 1000,
        });
        assert_eq!(
            line(&record),
            r#"event=grant program="/tmp/a b\n\u001b[2J" uid=1000"#
        );
    }
}
