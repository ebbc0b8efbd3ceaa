// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Values that somebody else chose, made fit to stand in a sentence: harmless, and not too wide.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthChar as _;

use crate::classify::is_hidden;

/// What stands for what was left out.
const CUT: &str = "…";

/// The text with everything escaped that could move the cursor, change colours, or make the
/// rest look like something else. The agent has escaped it already; this is for an agent that
/// didn't.
pub(crate) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_hidden(c) {
            // Writing to a String can't fail.
            let _ = write!(safe, "{}", c.escape_unicode());
        } else {
            safe.push(c);
        }
    }
    safe
}

/// The text escaped, its end left out if it is wider than `columns`.
pub(super) fn start(text: &str, columns: usize) -> String {
    elide(&escape(text), columns, columns.saturating_sub(1))
}

/// The text escaped, its middle left out if it is wider than `columns`: of a path, the end says
/// most.
pub(super) fn middle(text: &str, columns: usize) -> String {
    elide(&escape(text), columns, columns.saturating_sub(1) / 3)
}

/// How many columns the text takes at most. A character that combines with the one before
/// counts too: thousands of them are no value to be shown.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(1).max(1)).sum()
}

/// Keeps up to `front` columns of the front, and as much of the end as there is room for. An
/// escape is left out whole or not at all.
fn elide(text: &str, columns: usize, front: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let pieces = pieces(text);
    let (mut head, mut used) = (0, 0);
    while let Some(piece) = pieces
        .get(head)
        .filter(|piece| used + width(piece) <= front)
    {
        used += width(piece);
        head += 1;
    }
    let (mut tail, mut left) = (pieces.len(), columns.saturating_sub(front + 1));
    while tail > head && width(pieces[tail - 1]) <= left {
        left -= width(pieces[tail - 1]);
        tail -= 1;
    }
    [&pieces[..head], &[CUT], &pieces[tail..]].concat().concat()
}

/// Characters, and escapes: `\\`, `\x1b`, `\u{202e}`.
fn pieces(mut text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    while let Some(first) = text.chars().next() {
        let length = escape_length(text).unwrap_or(first.len_utf8());
        let (piece, rest) = text.split_at(length);
        pieces.push(piece);
        text = rest;
    }
    pieces
}

/// The length of the escape at the front of the text, if there is one.
fn escape_length(text: &str) -> Option<usize> {
    let rest = text.strip_prefix('\\')?;
    let hex = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
    if rest.starts_with('\\') {
        return Some(2);
    }
    if let Some(digits) = rest.strip_prefix('x') {
        return digits.get(..2).is_some_and(hex).then_some(4);
    }
    let (digits, _) = rest.strip_prefix("u{")?.split_once('}')?;
    (digits.len() <= 6 && hex(digits)).then_some(digits.len() + 4)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_that_could_fool_a_terminal_is_escaped() {
        assert_eq!(escape("a\x1b[31mb"), "a\\u{1b}[31mb");
        assert_eq!(escape("a\u{202e}b\u{ad}"), "a\\u{202e}b\\u{ad}");
        assert_eq!(escape("a\u{9b}b\nc"), "a\\u{9b}b\\u{a}c");
        assert_eq!(escape("/usr/bin/größe"), "/usr/bin/größe");
    }

    #[test]
    fn a_long_path_keeps_its_front_and_more_of_its_end() {
        assert_eq!(middle("/usr/bin/psql", 13), "/usr/bin/psql");
        assert_eq!(middle("/home/alice/build/bin/psql", 16), "/home…d/bin/psql");
        assert_eq!(start("a very long reason", 10), "a very lo…");
        assert_eq!(start("数据数据", 6), "数据…");
    }

    #[test]
    fn an_escape_is_left_out_whole() {
        assert_eq!(start(r"ab\x1bcdef", 5), "ab…");
        assert_eq!(start(r"ab\u{202e}cdefgh", 9), "ab…");
        assert_eq!(start(r"ab\\cdef", 4), "ab…");
        assert_eq!(middle("\u{202e}abcdefghijk", 12), "…defghijk");
    }

    proptest! {
        #[test]
        fn no_text_is_wider_than_asked_or_has_a_control_character(
            text in "\\PC{0,80}|.{0,80}|(\\\\\\\\|\\\\x1b|\\\\u\\{202e\\}|a){0,40}",
            columns in 1..40_usize,
        ) {
            for shown in [start(&text, columns), middle(&text, columns)] {
                prop_assert!(width(&shown) <= columns, "{shown:?}");
                prop_assert!(!shown.chars().any(|c| c.is_control() || is_hidden(c)));
            }
        }
    }
}
