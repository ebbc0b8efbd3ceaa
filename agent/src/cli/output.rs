// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Printing to stdout.

use std::io::{IsTerminal, Write};

use serde::Serialize;
use zeroize::Zeroizing;

use super::failure::{Exit, Failure};
use super::text::escape_json;

/// The width that tables fit into on a terminal.
const COLUMNS: usize = 80;

/// Prints the text and a newline.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    writeln!(out, "{}", text.trim_end())
        .and_then(|()| out.flush())
        .map_err(|error| Failure::output(&error))
}

/// Says something beside what is printed, and a newline.
pub(super) fn note(text: &str) -> Result<(), Failure> {
    let mut out = anstream::stderr().lock();
    writeln!(out, "{text}").map_err(|error| Failure::output(&error))
}

/// Prints the value as one line of JSON.
pub(super) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    // Wiped, because an enrollment is printed this way too.
    let json = serde_json::to_string(value)
        .map(|json| Zeroizing::new(escape_json(&Zeroizing::new(json))))
        .map_err(|error| Failure::new(Exit::Refused, format!("can't print it as JSON: {error}")))?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", json.as_str())
        .and_then(|()| out.flush())
        .map_err(|error| Failure::output(&error))
}

/// How wide a table may be; what reads it through a pipe gets all of it.
pub(super) fn columns() -> Option<usize> {
    std::io::stdout().is_terminal().then_some(COLUMNS)
}
