// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How a command ends: its exit code, and what it says on stderr if it fails.

use std::process::ExitCode;

use tokio::signal::unix::SignalKind;

use super::text::escape;
use crate::bus::{ClientError, Refused};
use crate::texts::{Texts, refused};

/// How a command ends. The numbers are documented in `stile --help` and don't change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// 0: done.
    Ok,
    /// 1: refused or failed, such as a wrong code.
    Refused,
    /// 2: not clear what is meant.
    Usage,
    /// 3: nothing to do, such as no such challenge.
    Nothing,
    /// 4: the agent or the bus can't be reached.
    Unreachable,
    /// 5: a broken policy or a broken log was found.
    Broken,
    /// 6: the policies that were compared differ.
    Differ,
    /// 126: a command can't be run, as shells have it.
    NotRun,
    /// 127: there is no such command, as shells have it.
    NoCommand,
    /// 128 and the number of the signal, as shells have it.
    Signal(SignalKind),
}

impl Exit {
    fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Refused => 1,
            Self::Usage => 2,
            Self::Nothing => 3,
            Self::Unreachable => 4,
            Self::Broken => 5,
            Self::Differ => 6,
            Self::NotRun => 126,
            Self::NoCommand => 127,
            Self::Signal(kind) => 128 | u8::try_from(kind.as_raw_value()).unwrap_or(0),
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// Why a command did not do what it was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    exit: Exit,
    /// `<why>. <remedy>`; empty where there is nobody to read it.
    text: String,
}

impl Failure {
    /// A failure with a text that is safe to print.
    pub(super) fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self {
            exit,
            text: text.into(),
        }
    }

    /// What the output can't take. A reader that went away needs no message.
    pub(super) fn output(error: &std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::new(Exit::Refused, ""),
            _ => Self::new(Exit::Refused, format!("can't write the output: {error}")),
        }
    }

    pub(super) fn exit(&self) -> Exit {
        self.exit
    }

    /// What would be said.
    pub(super) fn into_text(self) -> String {
        self.text
    }

    #[cfg(test)]
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Says on stderr what failed in this command.
    pub(super) fn report(&self, command: &str) {
        if !self.text.is_empty() {
            anstream::eprintln!("stile: {command}: {}", self.text);
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let exit = match &error {
            ClientError::Refused(refused) => match refused {
                Refused::NoSuchChallenge(_)
                | Refused::NoSuchGrant(_)
                | Refused::NoEnrollment(_) => Exit::Nothing,
                Refused::Stopping(_) => Exit::Unreachable,
                _ => Exit::Refused,
            },
            ClientError::NoBus { .. }
            | ClientError::NoAgent
            | ClientError::AccessDenied(_)
            | ClientError::NoAnswer(_)
            | ClientError::Garbled(_) => Exit::Unreachable,
        };
        let text = refused(&Texts::of_environment(), &error.to_string());
        Self::new(exit, escape(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Refusal;

    #[test]
    fn the_exit_codes_are_the_documented_ones() {
        let codes = [
            (Exit::Ok, 0),
            (Exit::Refused, 1),
            (Exit::Usage, 2),
            (Exit::Nothing, 3),
            (Exit::Unreachable, 4),
            (Exit::Broken, 5),
            (Exit::Differ, 6),
            (Exit::Signal(SignalKind::interrupt()), 130),
        ];
        for (exit, code) in codes {
            assert_eq!(exit.code(), code, "{exit:?}");
        }
    }

    #[test]
    fn each_kind_of_error_has_its_exit_code() {
        let refused = |refusal: Refusal| ClientError::Refused(refusal.into());
        let cases = [
            (refused(Refusal::NoSuchChallenge), Exit::Nothing),
            (refused(Refusal::NoSuchGrant), Exit::Nothing),
            (refused(Refusal::NoEnrollment), Exit::Nothing),
            (refused(Refusal::NotPermitted), Exit::Refused),
            (refused(Refusal::Busy), Exit::Refused),
            (ClientError::NoAgent, Exit::Unreachable),
            (ClientError::NoAnswer("late".into()), Exit::Unreachable),
            (ClientError::AccessDenied("no".into()), Exit::Unreachable),
        ];
        for (error, exit) in cases {
            assert_eq!(Failure::from(error).exit(), exit);
        }
    }

    #[test]
    fn what_the_agent_says_cannot_move_the_cursor() {
        let refusal = Refusal::Storage("\x1b[2Jgone".into());
        let failure = Failure::from(ClientError::Refused(refusal.into()));
        assert_eq!(failure.text(), "nothing can be granted now: \\u{1b}[2Jgone");
    }
}
