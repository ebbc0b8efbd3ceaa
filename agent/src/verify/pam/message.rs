// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The lines of `stile-pam`, and what of them people may see.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};
use zeroize::Zeroizing;

use super::failure::PamFailure;
use super::protocol::{Answer, MAX_ANSWER, MAX_LINE, MAX_TEXT, Message};
use crate::classify::escape::printable;

/// How many lines of a text are shown. A menu of Duo's has a dozen.
pub(super) const MAX_LINES: usize = 40;
/// How wide a line of a text is shown, in characters.
pub(super) const MAX_WIDTH: usize = 400;

/// Lines of bounded length.
pub(super) struct Lines<R> {
    from: R,
    /// What was read and isn't told yet.
    read: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(from: R) -> Self {
        let read = Vec::new();
        Self { from, read }
    }

    /// The next line without its end, or `None` after the last one. May be dropped while it
    /// waits.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>, PamFailure> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let rest = self.read.split_off(end + 1);
                let mut line = std::mem::replace(&mut self.read, rest);
                line.truncate(end);
                return Ok(Some(line));
            }
            if self.read.len() > MAX_LINE {
                return Err(garbled("a line without an end"));
            }
            let mut chunk = [0; 4096];
            let read = match self.from.read(&mut chunk).await {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    return Err(PamFailure::System {
                        operation: "read from stile-pam",
                        cause: error.to_string(),
                    });
                }
            };
            if read == 0 {
                let is_whole = self.read.is_empty();
                return is_whole.then_some(None).ok_or(garbled("half a line"));
            }
            self.read.extend_from_slice(&chunk[..read]);
        }
    }
}

/// Reads one line.
pub(super) fn parse(line: &[u8]) -> Result<Message, PamFailure> {
    if line.len() > MAX_LINE {
        return Err(garbled("a line that is too long"));
    }
    let message: Message =
        serde_json::from_slice(line).map_err(|_| garbled("not of the protocol"))?;
    match &message {
        Message::Ask { text, .. } | Message::Tell { text, .. } | Message::Failed { text, .. }
            if text.len() > MAX_TEXT =>
        {
            Err(garbled("a text that is too long"))
        }
        _ => Ok(message),
    }
}

/// The text of a module as people may see it: in lines, each made [`printable`], and no blank ones
/// around them. Its only control character is the end of a line.
pub(super) fn shown(text: &str) -> String {
    let lines: Vec<String> = text
        .trim()
        .lines()
        .take(MAX_LINES)
        .map(|line| printable(line.replace('\t', " ").trim_end().as_bytes(), MAX_WIDTH))
        .collect();
    lines.join("\n")
}

/// An answer as a line.
pub(super) fn answer(text: Zeroizing<String>) -> Result<Zeroizing<Vec<u8>>, PamFailure> {
    // As long as it can become, so that no copy is left behind by growing.
    let mut line = Zeroizing::new(Vec::with_capacity(6 * MAX_ANSWER + 64));
    serde_json::to_writer(&mut *line, &Answer { answer: text }).map_err(|error| {
        PamFailure::System {
            operation: "write an answer to stile-pam",
            cause: error.to_string(),
        }
    })?;
    line.push(b'\n');
    Ok(line)
}

pub(super) fn garbled(what: &'static str) -> PamFailure {
    PamFailure::Garbled { what }
}
