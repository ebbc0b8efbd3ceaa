// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Any bytes as what `stile-pam` says.

use super::message::{MAX_LINES, MAX_WIDTH, parse, shown};
use super::protocol::{MAX_TEXT, Message};
use crate::classify::is_hidden;

/// Reads each line. What is shown of a text moves no cursor and hides nothing, and a message
/// that is written and read again is the same.
pub(crate) fn fuzz(data: &[u8]) {
    for line in data.split(|byte| *byte == b'\n') {
        let Ok(message) = parse(line) else { continue };
        let written = serde_json::to_vec(&message).unwrap_or_default();
        assert_eq!(parse(&written).as_ref(), Ok(&message));
        let (Message::Ask { text, .. } | Message::Tell { text, .. } | Message::Failed { text, .. }) =
            message
        else {
            continue;
        };
        assert!(text.len() <= MAX_TEXT);
        let shown = shown(&text);
        let lines: Vec<&str> = shown.split('\n').collect();
        assert!(lines.len() <= MAX_LINES);
        for line in lines {
            assert!(line.chars().count() <= MAX_WIDTH, "{line:?}");
            assert!(
                !line.chars().any(|c| c.is_control() || is_hidden(c)),
                "{line:?}"
            );
        }
    }
}
