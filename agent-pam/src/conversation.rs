// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What modules say and ask, passed on to the agent.

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::rc::Rc;

use nonstick::conv::{Conversation, Exchange};
use nonstick::{ErrorCode, Result};

use crate::lines::{Lines, cut};
use crate::protocol::{MAX_MESSAGES, Message};

/// The agent as PAM's modules see it.
pub(crate) struct Forward {
    lines: Rc<Lines>,
    /// How many more messages a module may send.
    left: Cell<usize>,
}

impl Forward {
    pub(crate) fn new(lines: Rc<Lines>) -> Self {
        Self {
            lines,
            left: Cell::new(MAX_MESSAGES),
        }
    }

    fn say(&self, message: &Message) -> Result<()> {
        let left = self.left.get().checked_sub(1);
        self.left.set(left.ok_or(ErrorCode::ConversationError)?);
        self.lines
            .say(message)
            .map_err(|_| ErrorCode::ConversationError)
    }

    fn tell(&self, text: &OsStr, error: bool) -> Result<()> {
        let text = cut(&text.to_string_lossy());
        self.say(&Message::Tell { text, error })
    }

    /// The copy that PAM gets is the module's, and ends with this process at the latest.
    fn ask(&self, text: &OsStr, secret: bool) -> Result<OsString> {
        let text = cut(&text.to_string_lossy());
        self.say(&Message::Ask { text, secret })?;
        let answer = self.lines.answer();
        let mut answer = answer.map_err(|_| ErrorCode::ConversationError)?;
        Ok(std::mem::take(&mut *answer).into())
    }
}

impl Conversation for Forward {
    fn communicate(&self, messages: &[Exchange<'_>]) {
        for message in messages {
            match message {
                Exchange::Prompt(asked) => asked.set_answer(self.ask(asked.question(), false)),
                Exchange::MaskedPrompt(asked) => asked.set_answer(self.ask(asked.question(), true)),
                Exchange::Info(told) => told.set_answer(self.tell(told.question(), false)),
                Exchange::Error(told) => told.set_answer(self.tell(told.question(), true)),
                // Linux-PAM's radio and binary prompts, which no prompter can show.
                other => other.set_error(ErrorCode::ConversationError),
            }
        }
    }
}
