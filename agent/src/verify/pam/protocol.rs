// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the agent and `stile-pam` say to each other: one JSON object in a line, over two pipes.
//!
//! This file is compiled into both, so that neither needs the other's libraries.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Longest text of a message, in bytes. A menu of Duo's has some 300.
pub(crate) const MAX_TEXT: usize = 4096;
/// Longest answer, in bytes: what PAM itself takes (`PAM_MAX_RESP_SIZE` of
/// security/_pam_types.h, which counts the NUL).
pub(crate) const MAX_ANSWER: usize = 511;
/// How many messages a module may send. A login of fprintd's has five tries of two each.
pub(crate) const MAX_MESSAGES: usize = 32;
/// Longest line, in bytes. JSON writes one byte as at most six, and this leaves room for the
/// names around the text.
pub(crate) const MAX_LINE: usize = 6 * MAX_TEXT + 256;

/// What `stile-pam` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Message {
    /// A module asks the person, and waits for an [`Answer`].
    Ask {
        /// The question.
        text: String,
        /// What is typed mustn't be shown.
        secret: bool,
    },
    /// A module tells the person.
    Tell {
        /// What it says.
        text: String,
        /// It says so as an error.
        error: bool,
    },
    /// PAM said yes to both questions: is it this user, and may they? The last message.
    Passed {},
    /// PAM said no, or didn't get so far. The last message.
    Failed {
        /// What kind of no.
        kind: Refusal,
        /// What PAM says about it, for the log.
        text: String,
    },
}

/// What kind of no PAM said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Refusal {
    /// Whoever answered isn't the user: `PAM_AUTH_ERR`.
    Wrong,
    /// No module knows the user, or has a key or finger of theirs: `PAM_USER_UNKNOWN`.
    UnknownUser,
    /// Too many wrong answers: `PAM_MAXTRIES`.
    MaxTries,
    /// The account is closed, or not allowed to: what `pam_acct_mgmt` said.
    Account,
    /// What would tell can't be reached now: `PAM_AUTHINFO_UNAVAIL`.
    Unavailable,
    /// A module went on about somebody else.
    OtherUser,
    /// A question couldn't be put, or stayed without an answer: `PAM_CONV_ERR`.
    Conversation,
    /// A module or the service file is broken: every other error.
    Broken,
}

/// What the agent says after [`Message::Ask`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    /// What the person typed.
    pub(crate) answer: Zeroizing<String>,
}

/// True if the text may be an answer: short enough, and without the NUL that ends it in C.
pub(crate) fn is_answer(text: &str) -> bool {
    text.len() <= MAX_ANSWER && !text.contains('\0')
}
