// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why PAM's answer isn't yes.

use std::time::Duration;

use super::protocol::{MAX_MESSAGES, Refusal};

/// Why somebody hasn't passed, with what to do about it. `text` is what PAM said, made fit for
/// a log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PamFailure {
    /// Whoever answered isn't the user.
    #[error("PAM says no ({text}); try again")]
    Wrong {
        /// What PAM said.
        text: String,
    },
    /// No module knows the user.
    #[error(
        "PAM doesn't know the user ({text}); enroll them where the modules of the service look, \
         as with fprintd-enroll"
    )]
    UnknownUser {
        /// What PAM said.
        text: String,
    },
    /// Too many wrong answers.
    #[error("PAM takes no more tries for now ({text}); wait, or ask an administrator")]
    MaxTries {
        /// What PAM said.
        text: String,
    },
    /// The account is closed, or isn't allowed to.
    #[error("PAM doesn't let this account in ({text}); ask an administrator")]
    Account {
        /// What PAM said.
        text: String,
    },
    /// What would tell can't be reached now.
    #[error(
        "what PAM would ask can't be reached ({text}); look after the reader, the key or the \
         server, or use another factor"
    )]
    Unavailable {
        /// What PAM said.
        text: String,
    },
    /// A module went on about another user.
    #[error(
        "PAM verified somebody else ({text}); take the module that changes the user out of the \
         service file"
    )]
    OtherUser {
        /// What PAM said.
        text: String,
    },
    /// A question could not be put.
    #[error("a question of PAM's could not be asked ({text}); use another factor")]
    Conversation {
        /// What PAM said.
        text: String,
    },
    /// A module or the service file is broken.
    #[error("PAM can't answer ({text}); read the system's log, and mend the service file")]
    Broken {
        /// What PAM said.
        text: String,
    },
    /// The deadline has passed; everything that ran was ended.
    #[error("PAM had not answered after {} s and was stopped; try again", limit.as_secs())]
    TimedOut {
        /// The limit of the run.
        limit: Duration,
    },
    /// A signal ended `stile-pam`.
    #[error("a PAM module crashed (signal {signal}); the system's log tells which")]
    Crashed {
        /// The signal's number.
        signal: i32,
    },
    /// `stile-pam` ended without a verdict: a module ended it.
    #[error(
        "a PAM module ended the process without an answer (exit code {code}); the system's log \
         may tell which"
    )]
    NoVerdict {
        /// Its exit code.
        code: i32,
    },
    /// `stile-pam` could not ask.
    #[error("stile-pam could not ask; its reason stands in the log of stiled")]
    Unable,
    /// It said yes, and didn't stay with that.
    #[error("stile-pam said yes and then {what}, so it counts for nothing; try again")]
    Unconfirmed {
        /// What it did then.
        what: String,
    },
    /// It said something that is no message.
    #[error(
        "stile-pam said what is no message ({what}); install stiled and stile-pam of the same \
         version"
    )]
    Garbled {
        /// What is wrong with it.
        what: &'static str,
    },
    /// The modules said more than anybody would read.
    #[error(
        "the PAM modules said more than {MAX_MESSAGES} things; take the one that talks without \
         end out of the service file"
    )]
    TooMuch,
    /// The kernel refused something.
    #[error("can't {operation}: {cause}; try again")]
    System {
        /// What was tried.
        operation: &'static str,
        /// What the kernel said.
        cause: String,
    },
    /// The run's last step was told before.
    #[error("this run has ended; start another")]
    Over,
}

impl PamFailure {
    pub(super) fn refused(kind: Refusal, text: String) -> Self {
        match kind {
            Refusal::Wrong => Self::Wrong { text },
            Refusal::UnknownUser => Self::UnknownUser { text },
            Refusal::MaxTries => Self::MaxTries { text },
            Refusal::Account => Self::Account { text },
            Refusal::Unavailable => Self::Unavailable { text },
            Refusal::OtherUser => Self::OtherUser { text },
            Refusal::Conversation => Self::Conversation { text },
            Refusal::Broken => Self::Broken { text },
        }
    }

    /// True if it speaks against whoever answered, and so counts as a try. Everything else
    /// speaks against the host.
    #[must_use]
    pub fn is_wrong_answer(&self) -> bool {
        matches!(
            self,
            Self::Wrong { .. } | Self::UnknownUser { .. } | Self::MaxTries { .. }
        )
    }
}
