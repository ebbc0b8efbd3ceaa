// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One line on the terminal of a held process: why it waits, and what to type elsewhere.
//!
//! The line must do no harm. It goes only to a terminal that belongs to the person, says only
//! printable ASCII, leaves a screen alone that another program draws on, respects `mesg n`,
//! never waits and never reads. What the person types stays their own program's.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, major, minor};
use nix::sys::termios::{LocalFlags, tcgetattr};

use crate::classify::{ProcFs, Process, Terminal, TtyName};
use crate::ids::{ChallengeId, Uid};
use crate::service::seconds_up;

#[cfg(test)]
mod tests;

/// Longest line. A terminal of 80 columns shows it on three rows.
const COLUMNS: usize = 200;
/// Longest program name and endpoint name in it, so that the command is never cut off.
const NAME_COLUMNS: usize = 32;
/// Longest reason in it.
const REASON_COLUMNS: usize = 80;
/// What rings.
const BELL: u8 = 0x07;

/// What a person is told about a connection.
#[derive(Clone, Copy, Debug)]
pub struct Notice<'a> {
    /// The program's name.
    pub program: &'a str,
    /// The endpoint's name.
    pub endpoint: &'a str,
    /// Where the connection goes.
    pub destination: SocketAddr,
    /// What happens to it.
    pub event: Event<'a>,
}

/// What happens to a connection.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// It waits for the person.
    NeedsApproval {
        /// What to approve.
        challenge: ChallengeId,
        /// How long it will wait.
        left: Duration,
    },
    /// It goes on.
    Approved,
    /// The grant behind it ends soon.
    Ends {
        /// When.
        left: Duration,
        /// True if the connection ends with it.
        closes: bool,
    },
    /// It is over.
    Denied {
        /// Why, as `nobody answered within 60 s`.
        reason: &'a str,
    },
}

/// What became of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeOutcome {
    /// The line was written.
    Shown,
    /// Only the bell was rung: another program has the screen, or the person wants no
    /// messages.
    Rang,
    /// Nothing was written.
    Skipped(Skip),
}

/// Why nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// The process has no terminal, or has exited.
    NoTerminal,
    /// The terminal belongs to somebody else.
    NotTheirs,
    /// It takes nothing now: its output is stopped.
    Busy,
    /// Good news, where only the bell may be used.
    NotWorthABell,
}

/// A terminal that could not be written to.
#[derive(Debug, thiserror::Error)]
pub enum TtyError {
    /// The kernel refused.
    #[error("can't {operation} {}: {source}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// The terminal.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Something else has the terminal's name.
    #[error("{} is not the terminal that it is named after", .0.display())]
    NotATerminal(PathBuf),
}

/// Tells the person at the process's terminal. Call it before the connection is destroyed:
/// most programs exit then.
///
/// # Errors
/// If the terminal can't be opened or written to; worth a line in the log, nothing more.
pub fn notify(
    procfs: &ProcFs,
    process: &Process,
    notice: &Notice<'_>,
) -> Result<NoticeOutcome, TtyError> {
    let Some(terminal) = process.terminal_now(procfs) else {
        return Ok(NoticeOutcome::Skipped(Skip::NoTerminal));
    };
    let person = Person {
        uid: process.uid,
        loginuid: process.loginuid,
    };
    write_to(Path::new("/dev"), &terminal, person, notice)
}

/// Who may own the terminal: the process's user, or who logged in, as in a root shell.
#[derive(Clone, Copy, Debug)]
struct Person {
    uid: Uid,
    loginuid: Option<Uid>,
}

fn write_to(
    dev: &Path,
    terminal: &Terminal,
    person: Person,
    notice: &Notice<'_>,
) -> Result<NoticeOutcome, TtyError> {
    let path = dev.join(terminal.tty.to_string());
    let mut tty = open(&path, terminal.tty)?;
    let facts = tty.metadata().map_err(failed("look at", &path))?;
    let owner = Uid(facts.uid());
    if owner != person.uid && Some(owner) != person.loginuid {
        return Ok(NoticeOutcome::Skipped(Skip::NotTheirs));
    }
    // mesg(1): the group's right to write.
    let messages = facts.mode() & Mode::S_IWGRP.bits() != 0;
    let show = messages && (terminal.is_in_foreground() || reads_lines(&tty));
    let (bytes, outcome) = match (show, notice.event) {
        (true, _) => (notice.bytes(), NoticeOutcome::Shown),
        (false, Event::Approved) => return Ok(NoticeOutcome::Skipped(Skip::NotWorthABell)),
        (false, _) => (vec![BELL], NoticeOutcome::Rang),
    };
    // Once: what doesn't fit is not worth waiting for.
    match tty.write(&bytes) {
        Ok(_) => Ok(outcome),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Ok(NoticeOutcome::Skipped(Skip::Busy))
        }
        Err(error) => Err(failed("write to", &path)(error)),
    }
}

/// Opens the terminal, without making it ours or waiting for it, and checks that it is it.
fn open(path: &Path, name: TtyName) -> Result<File, TtyError> {
    let flags = OFlag::O_NOCTTY | OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW;
    let tty = OpenOptions::new()
        .write(true)
        .custom_flags(flags.bits())
        .open(path)
        .map_err(failed("open", path))?;
    let facts = tty.metadata().map_err(failed("look at", path))?;
    let device = facts.rdev();
    let numbers = (u32::try_from(major(device)), u32::try_from(minor(device)));
    let found = match numbers {
        (Ok(major), Ok(minor)) => TtyName::from_device(major, minor),
        _ => None,
    };
    if !facts.file_type().is_char_device() || found != Some(name) {
        return Err(TtyError::NotATerminal(path.to_owned()));
    }
    Ok(tty)
}

/// True if the terminal is in canonical mode: nobody draws a screen on it or edits a line.
fn reads_lines(tty: &File) -> bool {
    tcgetattr(tty).is_ok_and(|settings| settings.local_flags.contains(LocalFlags::ICANON))
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> TtyError {
    move |source| TtyError::Io {
        operation,
        path: path.to_owned(),
        source,
    }
}

impl Notice<'_> {
    /// The line: printable ASCII of at most 200 columns, without its end.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = format!(
            "[stile] {} -> {} ({}) ",
            ascii(self.program, NAME_COLUMNS),
            ascii(self.endpoint, NAME_COLUMNS),
            self.destination
        );
        // Writing to a String can't fail.
        let _ = match self.event {
            Event::NeedsApproval { challenge, left } => write!(
                line,
                "needs approval. Run: stile approve {challenge}   ({} s left)",
                seconds_up(left)
            ),
            Event::Approved => write!(line, "approved"),
            Event::Ends { left, closes } => {
                let then = if closes {
                    "closed"
                } else {
                    "kept, new ones are not"
                };
                write!(
                    line,
                    "access ends in {} s: the connection is then {then}",
                    seconds_up(left)
                )
            }
            Event::Denied { reason } => write!(line, "denied: {}", ascii(reason, REASON_COLUMNS)),
        };
        ascii(&line, COLUMNS)
    }

    /// What goes to the terminal: the line on a row of its own, with the bell unless the news
    /// is good.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"\r\n".to_vec();
        if !matches!(self.event, Event::Approved) {
            bytes.push(BELL);
        }
        bytes.extend(self.line().bytes());
        bytes.extend(b"\r\n");
        bytes
    }
}

/// The text with `?` for everything that isn't printable ASCII, cut to `columns`. A terminal
/// that doesn't expect UTF-8 could take a part of another character for a control.
fn ascii(text: &str, columns: usize) -> String {
    const CUT: &str = "...";
    let plain = |character: char| match character {
        ' '..='~' => character,
        _ => '?',
    };
    let mut line: String = text.chars().take(columns + 1).map(plain).collect();
    if line.len() > columns {
        line.truncate(columns.saturating_sub(CUT.len()));
        line.push_str(CUT);
    }
    line
}
