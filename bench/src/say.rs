// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How far the run is. It goes to stderr, coloured only on a terminal.

use std::fmt::Display;

use anstyle::{AnsiColor, Style};

const STEP: Style = AnsiColor::Cyan.on_default().bold();
const NOTE: Style = AnsiColor::Yellow.on_default().bold();
const FAIL: Style = AnsiColor::Red.on_default().bold();

/// A section begins.
pub(crate) fn step(text: impl Display) {
    anstream::eprintln!("{STEP}==>{STEP:#} {text}");
}

/// A part of it begins.
pub(crate) fn part(text: impl Display) {
    anstream::eprintln!("    {text}");
}

/// Something could not be measured.
pub(crate) fn note(text: impl Display) {
    anstream::eprintln!("  {NOTE}!{NOTE:#} {text}");
}

/// The run failed.
pub(crate) fn failed(text: impl Display) {
    anstream::eprintln!("  {FAIL}✗{FAIL:#} {text}");
}
