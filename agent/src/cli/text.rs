// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Small pieces of text for people.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};

use crate::classify::is_hidden;
pub(super) use crate::texts::escape;

/// Headings.
pub(super) const HEAD: Style = Style::new().bold();
/// What is as it should be.
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
/// What isn't.
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();

/// The text in this style. Whoever prints it through anstream drops the style where there is
/// no terminal, or where `NO_COLOR` is set.
pub(super) fn styled(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// Seconds as `45s`, `2m 05s`, `1h 00m 09s` or `2d 03h 00m`.
pub(super) fn duration(seconds: u64) -> String {
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    let (minutes, rest) = (seconds / 60 % 60, seconds % 60);
    match seconds {
        0..60 => format!("{rest}s"),
        60..3_600 => format!("{minutes}m {rest:02}s"),
        3_600..86_400 => format!("{hours}h {minutes:02}m {rest:02}s"),
        _ => format!("{days}d {hours:02}h {minutes:02}m"),
    }
}

/// `1 connection`, `2 connections`.
pub(super) fn count(number: u32, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}

/// JSON with the same characters escaped as in other text: serde_json escapes only what JSON says must be, and leaves the
/// other control characters in its strings as they are.
pub(super) fn escape_json(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_control() || is_hidden(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String can't fail.
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(c);
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_read_well() {
        let cases = [
            (0, "0s"),
            (59, "59s"),
            (60, "1m 00s"),
            (125, "2m 05s"),
            (900, "15m 00s"),
            (3_609, "1h 00m 09s"),
            (183_600, "2d 03h 00m"),
        ];
        for (seconds, text) in cases {
            assert_eq!(duration(seconds), text);
        }
    }

    #[test]
    fn one_is_not_many() {
        assert_eq!(count(1, "connection"), "1 connection");
        assert_eq!(count(0, "connection"), "0 connections");
        assert_eq!(count(2, "connection"), "2 connections");
    }

    #[test]
    fn json_that_could_fool_a_terminal_is_escaped() {
        assert_eq!(escape_json("\"\u{e0041}\""), r#""\udb40\udc41""#);
        assert_eq!(escape_json("\"a\u{9b}b\u{202e}\""), r#""a\u009bb\u202e""#);
    }

    proptest! {
        #[test]
        fn no_escaped_text_has_a_control_character(text in ".*") {
            prop_assert!(!escape(&text).chars().any(|c| c.is_control() || is_hidden(c)));
        }

        #[test]
        fn escaped_json_is_the_same_json_without_control_characters(text in ".*") {
            let json = escape_json(&serde_json::to_string(&text).unwrap());
            prop_assert!(!json.chars().any(|c| c.is_control() || is_hidden(c)));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }

        #[test]
        fn a_duration_of_less_than_a_hundred_days_fits_into_eleven_columns(
            seconds in 0..8_640_000u64
        ) {
            prop_assert!(duration(seconds).len() <= 11);
        }
    }
}
