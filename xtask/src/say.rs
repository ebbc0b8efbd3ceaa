// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the tasks print of themselves. Everything goes to stderr, so that the output of what
//! they run stays clean.

use std::fmt::Display;

use anstyle::{AnsiColor, Style};

const STEP: Style = AnsiColor::Cyan.on_default().bold();
const DONE: Style = AnsiColor::Green.on_default().bold();
const NOTE: Style = AnsiColor::Yellow.on_default().bold();
const FAIL: Style = AnsiColor::Red.on_default().bold();

/// A step begins.
pub(crate) fn step(text: impl Display) {
    anstream::eprintln!("{STEP}==>{STEP:#} {text}");
}

/// Something was seen or done.
pub(crate) fn done(text: impl Display) {
    anstream::eprintln!("  {DONE}✓{DONE:#} {text}");
}

/// More of what was seen.
pub(crate) fn more(text: impl Display) {
    anstream::eprintln!("          {text}");
}

/// Something that the reader should know, but that doesn't end the task.
pub(crate) fn note(text: impl Display) {
    anstream::eprintln!("  {NOTE}!{NOTE:#} {text}");
}

/// Something failed.
pub(crate) fn failed(text: impl Display) {
    anstream::eprintln!("  {FAIL}✗{FAIL:#} {text}");
}
