// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Text that a process chooses, made fit for people: logs, prompts, the command line.

/// The bytes as text that can't move a cursor, end a line, change the direction of what
/// follows or hide a part of itself, of at most `max_chars` characters.
///
/// Control characters, DEL and bytes that aren't UTF-8 become `\xNN`; C1 controls, the
/// characters that steer bidirectional text (Unicode TR 36, 2.2) or show nothing, and the
/// Unicode line ends become `\u{N}`; a backslash becomes two. So the result is unambiguous.
/// What doesn't fit is cut before an escape or a character, and `…` says so.
///
/// Escape once, where the text comes in.
#[must_use]
pub fn printable(bytes: &[u8], max_chars: usize) -> String {
    let mut line = Line::new(max_chars);
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if !line.push(&escape_char(character)) {
                return line.cut();
            }
        }
        for byte in chunk.invalid() {
            if !line.push(&format!("\\x{byte:02x}")) {
                return line.cut();
            }
        }
    }
    line.text
}

fn escape_char(character: char) -> String {
    match character {
        '\\' => "\\\\".to_owned(),
        '\0'..='\x1f' | '\x7f' => format!("\\x{:02x}", u32::from(character)),
        _ if is_hidden(character) => format!("\\u{{{:x}}}", u32::from(character)),
        _ => character.to_string(),
    }
}

/// C1 controls, and what shows nothing itself yet changes what is seen.
pub(crate) fn is_hidden(character: char) -> bool {
    matches!(character,
        '\u{80}'..='\u{9f}'
        | '\u{ad}' // soft hyphen
        | '\u{61c}' | '\u{200e}' | '\u{200f}' // direction marks
        | '\u{180e}' | '\u{200b}'..='\u{200d}' // of no width
        | '\u{2028}' | '\u{2029}' // line and paragraph ends
        | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' // embeddings, overrides, isolates
        | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' // invisible operators
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}' // tags
    )
}

/// A text that grows piece by piece up to a limit.
struct Line {
    text: String,
    chars: usize,
    max_chars: usize,
    /// Where to cut so that the ellipsis still fits.
    cut_at: usize,
}

impl Line {
    fn new(max_chars: usize) -> Self {
        Self {
            text: String::new(),
            chars: 0,
            max_chars,
            cut_at: 0,
        }
    }

    /// Appends a piece; false if it doesn't fit.
    fn push(&mut self, piece: &str) -> bool {
        let chars = self.chars + piece.chars().count();
        if chars > self.max_chars {
            return false;
        }
        self.text.push_str(piece);
        self.chars = chars;
        if chars < self.max_chars {
            self.cut_at = self.text.len();
        }
        true
    }

    fn cut(mut self) -> String {
        self.text.truncate(self.cut_at);
        if self.max_chars > 0 {
            self.text.push('…');
        }
        self.text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_text_of_any_script_stays_as_it_is() {
        assert_eq!(
            printable("psql Größe 数据 🐘".as_bytes(), 80),
            "psql Größe 数据 🐘"
        );
    }

    #[test]
    fn what_could_steer_a_terminal_is_escaped() {
        assert_eq!(
            printable(b"\x1b]0;pwn\x07\r\n\x7f\\ \xff\xc3", 80),
            r"\x1b]0;pwn\x07\x0d\x0a\x7f\\ \xff\xc3"
        );
        assert_eq!(printable("\u{9b}31m".as_bytes(), 80), r"\u{9b}31m");
    }

    #[test]
    fn what_could_turn_or_hide_text_is_escaped() {
        for hidden in [
            0x61c, 0x200b, 0x200e, 0x200f, 0x2028, 0x2029, 0x202a, 0x202e, 0x2066, 0x2069, 0xfeff,
        ] {
            let character = char::from_u32(hidden).unwrap();
            assert_eq!(
                printable(character.to_string().as_bytes(), 80),
                format!("\\u{{{hidden:x}}}")
            );
        }
    }

    #[test]
    fn a_long_text_is_cut_with_an_ellipsis_and_never_within_an_escape() {
        assert_eq!(printable(b"abcdef", 6), "abcdef");
        assert_eq!(printable(b"abcdefg", 6), "abcde…");
        assert_eq!(printable(b"abc\x1b", 6), "abc…");
        assert_eq!(printable(b"ab\x1b", 6), r"ab\x1b");
        assert_eq!(printable(b"ab\x1bc", 6), "ab…");
        assert_eq!(printable(b"a", 0), "");
        assert_eq!(printable(b"", 0), "");
    }

    proptest! {
        #[test]
        fn no_bytes_become_control_characters_or_exceed_the_limit(
            bytes in prop::collection::vec(any::<u8>(), 0..100),
            limit in 0_usize..50,
        ) {
            let text = printable(&bytes, limit);
            prop_assert!(text.chars().count() <= limit);
            prop_assert!(!text.chars().any(|c| c.is_control() || is_hidden(c)));
        }

        #[test]
        fn two_different_texts_never_look_the_same(
            one in prop::collection::vec(any::<u8>(), 0..6),
            two in prop::collection::vec(any::<u8>(), 0..6),
        ) {
            prop_assert_eq!(one == two, printable(&one, 99) == printable(&two, 99));
        }
    }
}
