// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a guest says to the host on its serial line, between the lines of Rust's test harness.

const PREFIX: &str = "stile-guest: ";

/// A line of a guest's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// The kernel lacks a feature.
    Lacks(&'a str),
    /// A suite begins.
    Suite(&'a str),
    /// All is over; true if everything went well.
    End(bool),
}

/// Says that the kernel lacks a feature.
pub(super) fn lacks(feature: &str) -> String {
    format!("{PREFIX}lacks {feature}")
}

/// Says that a suite begins.
pub(super) fn suite(name: &str) -> String {
    format!("{PREFIX}suite {name}")
}

/// Says that all is over. No other line makes a guest pass.
pub(super) fn end(success: bool) -> String {
    let word = if success { "success" } else { "failure" };
    format!("{PREFIX}{word}")
}

/// Reads a line; `None` for any other.
pub(super) fn parse(line: &str) -> Option<Line<'_>> {
    let said = line.trim_end().strip_prefix(PREFIX)?;
    match said.split_once(' ') {
        Some(("lacks", feature)) => Some(Line::Lacks(feature)),
        Some(("suite", name)) => Some(Line::Suite(name)),
        None if said == "success" => Some(Line::End(true)),
        None if said == "failure" => Some(Line::End(false)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        assert_eq!(parse(&suite("hold")), Some(Line::Suite("hold")));
        assert_eq!(parse(&lacks("BPF LSM")), Some(Line::Lacks("BPF LSM")));
        assert_eq!(parse(&end(true)), Some(Line::End(true)));
        assert_eq!(parse(&end(false)), Some(Line::End(false)));
    }

    #[test]
    fn nothing_else_is() {
        for line in ["stile-guest: succes", "success", "test success ... ok", ""] {
            assert_eq!(parse(line), None);
        }
    }
}
