// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A program that draws on all of a terminal, and what a person sees of it.

use std::fs::File;
use std::num::NonZeroU16;
use std::process::{Command, ExitStatus};

use nix::sys::signal::Signal;
use nix::sys::termios::{Termios, tcgetattr};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::host::Host;
use crate::installed::Installed;
use crate::process::Running;
use crate::pty::Terminal;
use crate::sandbox::{self, User};
use crate::wait::until;

/// A `stile` command that runs on a terminal of its own.
pub struct Screen {
    process: Running,
    terminal: Terminal,
    /// Keeps the terminal there, also when the command has ended.
    tty: File,
    before: Termios,
    parser: vt100::Parser,
    /// Everything that was written.
    written: Vec<u8>,
}

impl Host {
    /// `stile` run by this user on a terminal of so many columns and rows, with these variables.
    #[must_use]
    pub fn on_screen(
        &self,
        user: User,
        arguments: &[&str],
        (columns, rows): (u16, u16),
        variables: &[(&str, &str)],
    ) -> Screen {
        let terminal = Terminal::of(user);
        let mut command = self.on_terminal(&terminal, user, &sandbox::bin("stile"));
        command
            .args(arguments)
            .env_remove("NO_COLOR")
            .envs(variables.iter().copied());
        Screen::start(terminal, &mut command, (columns, rows))
    }

    /// A tmux of this user's, in a session where stile is installed.
    #[must_use]
    pub fn tmux(&self, installed: &Installed, user: User, size: (u16, u16)) -> Screen {
        let terminal = Terminal::of(user);
        let mut command = self.in_session_on(installed, user, &terminal, "/usr/bin/tmux");
        command
            .args(["-f", "/dev/null", "new-session", "/bin/sh"])
            .env("LC_ALL", "C.UTF-8");
        Screen::start(terminal, &mut command, size)
    }
}

impl Screen {
    fn start(terminal: Terminal, command: &mut Command, (columns, rows): (u16, u16)) -> Self {
        let open = || {
            let mut options = File::options();
            options.read(true).write(true);
            std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, nix::libc::O_NOCTTY);
            options.open(terminal.path()).unwrap()
        };
        let tty = open();
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&tty, size).unwrap();
        let before = tcgetattr(&tty).unwrap();
        command
            .env("TERM", "xterm-256color")
            .env("TZ", "UTC")
            .stdin(open())
            .stdout(open())
            .stderr(open());
        let (rows, columns) = (NonZeroU16::new(rows), NonZeroU16::new(columns));
        Self {
            process: Running::new(command),
            terminal,
            tty,
            before,
            parser: vt100::Parser::new(rows.unwrap(), columns.unwrap(), 0),
            written: Vec::new(),
        }
    }

    /// What is to be seen now.
    pub fn contents(&mut self) -> String {
        let new = self.terminal.take();
        self.parser.process(&new);
        self.written.extend(new);
        self.parser.screen().contents()
    }

    /// Waits until this is to be seen, and returns everything that is.
    #[track_caller]
    pub fn shows(&mut self, text: &str) -> String {
        until(&format!("the screen shows {text:?}"), || {
            let contents = self.contents();
            contents.contains(text).then_some(contents)
        })
    }

    /// Waits until this isn't to be seen.
    #[track_caller]
    pub fn shows_no(&mut self, text: &str) {
        until(&format!("the screen shows no {text:?}"), || {
            (!self.contents().contains(text)).then_some(())
        });
    }

    /// Types these keys.
    pub fn types(&mut self, keys: &str) {
        self.terminal.send(keys);
    }

    /// True if this was ever written, whatever became of it.
    pub fn has_written(&mut self, text: &str) -> bool {
        self.contents();
        String::from_utf8_lossy(&self.written).contains(text)
    }

    /// True if something to be seen now has a colour.
    pub fn has_colour(&mut self) -> bool {
        self.contents();
        let screen = self.parser.screen();
        let (rows, columns) = screen.size();
        let mut places = (0..rows.get()).flat_map(|row| (0..columns.get()).map(move |c| (row, c)));
        places.any(|(row, column)| {
            let cell = screen.cell(row, column).unwrap();
            cell.fgcolor() != vt100::Color::Default || cell.bgcolor() != vt100::Color::Default
        })
    }

    /// Sends the command a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits for the command's end.
    #[track_caller]
    pub fn ended(&mut self) -> ExitStatus {
        self.process.wait()
    }

    /// Asserts that the terminal is as it was before the command: its modes, its cursor, its
    /// screen, and that nothing that was typed is left for the next to read.
    #[track_caller]
    pub fn is_as_before(&mut self) {
        assert_eq!(self.contents(), "");
        let screen = self.parser.screen();
        assert!(!screen.alternate_screen(), "the alternate screen is on");
        assert!(!screen.hide_cursor(), "the cursor is hidden");
        assert_eq!(tcgetattr(&self.tty).unwrap(), self.before);
        assert_eq!(rustix::io::ioctl_fionread(&self.tty).unwrap(), 0);
    }
}
