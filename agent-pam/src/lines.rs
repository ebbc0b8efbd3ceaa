// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The agent's pipes, line by line.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};

use zeroize::Zeroizing;

use crate::protocol::{Answer, MAX_LINE, MAX_TEXT, Message, is_answer};

/// The way to the agent and back.
pub(crate) struct Lines {
    input: RefCell<BufReader<File>>,
    output: RefCell<File>,
}

impl Lines {
    pub(crate) fn new(input: File, output: File) -> Self {
        Self {
            // What the agent says is wiped below; this buffer holds no more than one byte of it.
            input: RefCell::new(BufReader::with_capacity(1, input)),
            output: RefCell::new(output),
        }
    }

    /// Sends one message.
    pub(crate) fn say(&self, message: &Message) -> io::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        self.output.borrow_mut().write_all(&line)
    }

    /// Waits for the answer to what was just asked.
    pub(crate) fn answer(&self) -> io::Result<Zeroizing<String>> {
        // As long as it can become, so that no copy is left behind by growing.
        let mut line = Zeroizing::new(Vec::with_capacity(MAX_LINE));
        let mut input = self.input.borrow_mut();
        input
            .by_ref()
            .take(MAX_LINE as u64)
            .read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Answer { answer } = serde_json::from_slice(&line)?;
        if is_answer(&answer) {
            Ok(answer)
        } else {
            Err(io::ErrorKind::InvalidData.into())
        }
    }
}

/// The text, or as much of it as a message may have.
pub(crate) fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_TEXT)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("Touch the key."), "Touch the key.");
        let long = "ü".repeat(MAX_TEXT);
        assert_eq!(cut(&long).len(), MAX_TEXT);
        assert_eq!(cut(&format!("a{long}")).len(), MAX_TEXT - 1);
    }

    #[test]
    fn the_longest_text_fits_in_a_line() {
        let text = "\u{1}".repeat(MAX_TEXT);
        let message = Message::Ask { text, secret: true };
        assert!(serde_json::to_vec(&message).unwrap().len() < MAX_LINE);
    }
}
