// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reading a code: from the terminal with echo off, or as a line from stdin.

use std::fs::File;
use std::io::{self, PipeReader, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{
    FlushArg, LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcflush, tcgetattr, tcsetattr,
};
use zeroize::{Zeroize, Zeroizing};

use super::failure::{Exit, Failure};
use crate::clock::{self, BootTime};
use crate::ledger::TotpParameters;

/// The longest line that is read, in bytes: more than any code, and all that PAM takes.
const MAX_LINE: usize = 512;
/// What the terminal's driver takes as "no such key" (`_POSIX_VDISABLE` on Linux).
const NO_KEY: u8 = 0;
const PROMPT: &str = "code: ";

/// What was typed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// Something that may be a code; spaces are taken out.
    Code(Zeroizing<String>),
    /// An empty line, or the end of the input.
    Nothing,
    /// Something that is certainly no code.
    NotACode,
    /// Nothing in time.
    TooLate,
}

/// What was read.
enum Line {
    /// A line, or what came before the end of the input.
    Whole(Zeroizing<Vec<u8>>),
    /// More than a line that anybody means.
    TooLong,
    /// Nothing in time.
    TooLate,
}

impl From<Line> for Typed {
    fn from(line: Line) -> Self {
        match line {
            Line::Whole(line) => typed(&line),
            Line::TooLong => Self::NotACode,
            Line::TooLate => Self::TooLate,
        }
    }
}

/// Where codes come from, and where the user reads what they are for.
pub(super) enum Prompter {
    /// The terminal of this process, whatever its stdin and stdout are.
    Terminal(File),
    /// Stdin; there may be nobody. The user reads stderr.
    Stdin,
}

impl Prompter {
    /// The terminal, or stdin if that is wanted.
    pub(super) fn open(stdin: bool) -> Result<Self, Failure> {
        if stdin {
            return Ok(Self::Stdin);
        }
        let tty = File::options().read(true).write(true).open("/dev/tty");
        tty.map(Self::Terminal).map_err(|error| {
            let text = format!(
                "there is no terminal to ask on: {error}. Run it in a terminal, or pass the \
                 code on stdin"
            );
            Failure::new(Exit::Refused, text)
        })
    }

    /// Whether the user can be asked another time.
    pub(super) fn asks_again(&self) -> bool {
        matches!(self, Self::Terminal(_))
    }

    /// Tells the user something.
    pub(super) fn say(&self, text: &str) -> Result<(), Failure> {
        let written = match self {
            Self::Terminal(tty) => tty
                .try_clone()
                .and_then(|tty| writeln!(anstream::AutoStream::auto(tty), "{text}")),
            Self::Stdin => writeln!(anstream::stderr(), "{text}"),
        };
        written.map_err(|error| Failure::output(&error))
    }

    /// Reads one code. `patience` is how long it is worth waiting for one.
    ///
    /// When this future is dropped, the terminal is put back as it was.
    pub(super) async fn code(&self, patience: Duration) -> Result<Typed, Failure> {
        Ok(self.line(patience, Some(PROMPT.to_owned())).await?.into())
    }

    /// Reads the secret of a token, which isn't shown.
    pub(super) async fn secret(&self, patience: Duration) -> Result<Zeroizing<String>, Failure> {
        let why = match self.line(patience, Some("secret: ".to_owned())).await? {
            Line::TooLong => format!(
                "a secret has at most {} bytes, which are {} letters in base 32, and that line \
                 has more than {MAX_LINE} characters",
                TotpParameters::MAX_SECRET,
                TotpParameters::MAX_SECRET.div_ceil(5) * 8,
            ),
            line => match line.into() {
                Typed::Code(secret) => return Ok(secret),
                Typed::NotACode => "that is no secret".to_owned(),
                Typed::Nothing | Typed::TooLate => "no secret".to_owned(),
            },
        };
        let text = format!("{why}, so nothing has changed");
        Err(Failure::new(Exit::Refused, text))
    }

    /// Asks a question; an answer that is secret isn't shown. `None` if there is none.
    pub(super) async fn answer(
        &self,
        question: &str,
        patience: Duration,
        secret: bool,
    ) -> Result<Option<Zeroizing<String>>, Failure> {
        // On a terminal a secret is asked for once nothing shows it any more.
        let hidden = (secret && self.asks_again()).then(|| format!("{question} "));
        if hidden.is_none() {
            self.say(question)?;
        }
        let Line::Whole(line) = self.line(patience, hidden).await? else {
            return Ok(None);
        };
        let mut text = Zeroizing::new(String::with_capacity(line.len()));
        match std::str::from_utf8(&line) {
            Ok(line) => text.push_str(line.trim_end_matches('\r')),
            Err(_) => return Ok(None),
        }
        Ok(Some(text))
    }

    /// Reads a line; hidden, after this prompt, if there is one.
    async fn line(&self, patience: Duration, hidden: Option<String>) -> Result<Line, Failure> {
        let broken =
            |error: io::Error| Failure::new(Exit::Refused, format!("can't read it: {error}"));
        let deadline = clock::now().boot.after(patience);
        // The other end of the pipe closes when this future is dropped.
        let (cancelled, _cancel) = io::pipe().map_err(broken)?;
        let tty = match self {
            Self::Terminal(tty) => Some(tty.try_clone().map_err(broken)?),
            Self::Stdin => None,
        };
        let reading = tokio::task::spawn_blocking(move || match tty {
            Some(tty) => match hidden {
                Some(prompt) => read_hidden(&tty, &prompt, &cancelled, deadline),
                None => read_line(tty.as_fd(), &cancelled, deadline),
            },
            None => read_line(io::stdin().as_fd(), &cancelled, deadline),
        });
        reading
            .await
            .map_err(|error| broken(error.into()))?
            .map_err(broken)
    }
}

/// Reads a line from the terminal without showing it.
fn read_hidden(
    tty: &File,
    prompt: &str,
    cancelled: &PipeReader,
    deadline: BootTime,
) -> io::Result<Line> {
    let _hidden = EchoOff::new(tty.as_fd())?;
    let mut screen = tty;
    screen.write_all(prompt.as_bytes())?;
    let line = read_line(tty.as_fd(), cancelled, deadline);
    if !matches!(&line, Ok(Line::Whole(line)) if !line.is_empty()) {
        // The terminal shows the newline that ends a line, and nothing else.
        screen.write_all(b"\n")?;
    }
    line
}

/// A terminal that shows nothing of what is typed but the newline. It is as it was before once
/// this is dropped.
struct EchoOff<'tty> {
    tty: BorrowedFd<'tty>,
    before: Termios,
}

impl<'tty> EchoOff<'tty> {
    /// Also drops what was typed before: that was meant for something else.
    fn new(tty: BorrowedFd<'tty>) -> io::Result<Self> {
        let before = tcgetattr(tty)?;
        let mut quiet = before.clone();
        quiet.local_flags &= !(LocalFlags::ECHO | LocalFlags::ECHOE | LocalFlags::ECHOK);
        quiet.local_flags |= LocalFlags::ECHONL | LocalFlags::ICANON | LocalFlags::ISIG;
        // A stopped process couldn't put the terminal back: no Ctrl-Z here.
        quiet.control_chars[SpecialCharacterIndices::VSUSP as usize] = NO_KEY;
        tcflush(tty, FlushArg::TCIFLUSH)?;
        // TCSAFLUSH drops what came between the two calls.
        tcsetattr(tty, SetArg::TCSAFLUSH, &quiet)?;
        Ok(Self { tty, before })
    }
}

impl Drop for EchoOff<'_> {
    fn drop(&mut self) {
        // Drops the rest of a line that was not read, which must not reach the shell. There is
        // nothing to be done about a terminal that has gone.
        let _ = tcsetattr(self.tty, SetArg::TCSAFLUSH, &self.before);
    }
}

/// Reads up to a newline, the end, the deadline, or until the pipe closes.
fn read_line(
    input: BorrowedFd<'_>,
    cancelled: &PipeReader,
    deadline: BootTime,
) -> io::Result<Line> {
    // Its whole capacity at once, so that no copy is left behind by growing.
    let mut line = Zeroizing::new(Vec::with_capacity(MAX_LINE));
    loop {
        match wait(input, cancelled.as_fd(), deadline)? {
            Event::Input => {}
            Event::Cancelled => return Err(io::ErrorKind::Interrupted.into()),
            Event::Late => return Ok(Line::TooLate),
        }
        // A byte at a time: what follows the line is for somebody else.
        let mut byte = [0];
        match nix::unistd::read(input, &mut byte) {
            Ok(0) => return Ok(Line::Whole(line)),
            Ok(_) if byte == *b"\n" => return Ok(Line::Whole(line)),
            Ok(_) if line.len() == MAX_LINE => return Ok(Line::TooLong),
            Ok(_) => line.push(byte[0]),
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Err(error) => return Err(error.into()),
        }
        byte.zeroize();
    }
}

enum Event {
    Input,
    Cancelled,
    Late,
}

fn wait(input: BorrowedFd<'_>, cancelled: BorrowedFd<'_>, until: BootTime) -> io::Result<Event> {
    loop {
        let left = until.since(clock::now().boot);
        if left.is_zero() {
            return Ok(Event::Late);
        }
        // Rounded up, so that it doesn't spin in the last millisecond.
        let left = left.saturating_add(Duration::from_millis(1));
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut fds = [
            PollFd::new(cancelled, PollFlags::POLLIN),
            PollFd::new(input, PollFlags::POLLIN),
        ];
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        if fds[0].any() == Some(true) {
            return Ok(Event::Cancelled);
        }
        if fds[1].any() == Some(true) {
            return Ok(Event::Input);
        }
    }
}

/// What this line is. Authenticator apps show a code in two groups, so people type the space.
fn typed(line: &[u8]) -> Typed {
    let Ok(text) = std::str::from_utf8(line) else {
        return Typed::NotACode;
    };
    let mut code = Zeroizing::new(String::with_capacity(text.len()));
    code.extend(text.chars().filter(|c| !c.is_whitespace()));
    match code.as_str() {
        "" => Typed::Nothing,
        text if text.chars().all(|c| c.is_ascii_graphic()) => Typed::Code(code),
        _ => Typed::NotACode,
    }
}

#[cfg(test)]
mod tests;
