// SPDX-License-Identifier: Apache-2.0 OR MIT
//! JSON whose text can't harm a terminal, and whose length is bounded.

use std::io::{self, Write};

use serde_json::ser::{CharEscape, CompactFormatter, Formatter};

/// Longest text, in bytes of JSON. Longer than any sensible path, and shorter than the longest
/// possible one.
const MAX_TEXT: usize = 4096;

/// All text of a record together. With the fixed parts of a record it stays below
/// [`super::MAX_LINE`], so no process can make its own record too long to be written.
const MAX_ALL_TEXT: usize = 40 * 1024;

/// Writes compact JSON. Escapes, beyond what JSON asks for, everything that a terminal acts on
/// or that reorders or hides text. Text beyond the bounds ends with `…+N`, where N counts the
/// bytes left out.
#[derive(Default)]
pub(super) struct SafeFormatter {
    /// Bytes of the current string that were written.
    written: usize,
    /// Bytes of the current string that were left out.
    left_out: usize,
    /// Bytes of all strings before this one.
    before: usize,
}

impl SafeFormatter {
    /// Writes `text`, the escaped form of one character, if it still fits. Once one was left
    /// out, all others of its string are too.
    fn put<W: ?Sized + Write>(&mut self, writer: &mut W, text: &[u8]) -> io::Result<()> {
        let room = MAX_TEXT.min(MAX_ALL_TEXT.saturating_sub(self.before));
        if self.left_out > 0 || self.written + text.len() > room {
            self.left_out += text.len();
            return Ok(());
        }
        self.written += text.len();
        writer.write_all(text)
    }
}

impl Formatter for SafeFormatter {
    fn end_string<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        if self.left_out > 0 {
            write!(writer, "…+{}", self.left_out)?;
        }
        self.before += self.written;
        self.written = 0;
        self.left_out = 0;
        writer.write_all(b"\"")
    }

    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        for character in fragment.chars() {
            if is_unsafe(character) {
                let mut units = [0; 2];
                let mut escaped = Vec::with_capacity(12);
                for unit in character.encode_utf16(&mut units) {
                    write!(escaped, "\\u{unit:04x}")?;
                }
                self.put(writer, &escaped)?;
            } else {
                self.put(writer, character.encode_utf8(&mut [0; 4]).as_bytes())?;
            }
        }
        Ok(())
    }

    fn write_char_escape<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        let mut escaped = Vec::with_capacity(6);
        CompactFormatter.write_char_escape(&mut escaped, escape)?;
        self.put(writer, &escaped)
    }
}

/// True for DEL, the C1 controls, line and paragraph separators, and Unicode's invisible
/// format characters (general category Cf), among them those that reorder text (UAX 9).
/// JSON itself escapes the C0 controls.
fn is_unsafe(character: char) -> bool {
    matches!(character,
        '\u{7f}'..='\u{9f}'
        | '\u{ad}'
        | '\u{600}'..='\u{605}'
        | '\u{61c}'
        | '\u{6dd}'
        | '\u{70f}'
        | '\u{890}'..='\u{891}'
        | '\u{8e2}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{110bd}'
        | '\u{110cd}'
        | '\u{13430}'..='\u{1343f}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}
