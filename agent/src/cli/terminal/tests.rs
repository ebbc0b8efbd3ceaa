// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The reader on a real pseudo-terminal.

use std::io::{Read, Write};
use std::thread;

use nix::pty::openpty;
use nix::sys::termios::tcgetattr;

use super::*;

/// A terminal, and the keyboard and screen of who sits at it.
struct Desk {
    tty: File,
    person: File,
}

impl Desk {
    fn new() -> Self {
        let pair = openpty(None, None).unwrap();
        Self {
            tty: pair.slave.into(),
            person: pair.master.into(),
        }
    }

    fn types(&self, text: &str) {
        (&self.person).write_all(text.as_bytes()).unwrap();
    }

    /// Reads the screen until this shows up, and returns all that was read.
    fn sees(&self, text: &str) -> String {
        let mut screen = String::new();
        let mut buffer = [0; 256];
        while !screen.contains(text) {
            let length = (&self.person).read(&mut buffer).unwrap();
            screen.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
        }
        screen
    }

    fn flags(&self) -> LocalFlags {
        tcgetattr(&self.tty).unwrap().local_flags
    }
}

fn soon() -> BootTime {
    clock::now().boot.after(Duration::from_secs(60))
}

fn code(text: &str) -> Typed {
    Typed::Code(Zeroizing::new(text.to_owned()))
}

#[test]
fn what_is_typed_is_read_and_not_shown_and_the_terminal_is_as_before() {
    let desk = Desk::new();
    let before = desk.flags();
    assert!(before.contains(LocalFlags::ECHO));
    let (cancelled, _cancel) = io::pipe().unwrap();
    thread::scope(|scope| {
        let reader =
            scope.spawn(|| read_hidden(&desk.tty, PROMPT, &cancelled, soon()).map(Typed::from));
        // The prompt comes once echo is off.
        assert_eq!(desk.sees("code: "), "code: ");
        assert!(!desk.flags().contains(LocalFlags::ECHO));
        desk.types("123 456\n");
        assert_eq!(reader.join().unwrap().unwrap(), code("123456"));
    });
    assert_eq!(desk.sees("\n"), "\r\n");
    assert_eq!(desk.flags(), before);
}

#[test]
fn what_was_typed_before_the_prompt_is_no_code() {
    let desk = Desk::new();
    desk.types("999999\n");
    // It has arrived once it is echoed.
    desk.sees("999999\r\n");
    let (cancelled, _cancel) = io::pipe().unwrap();
    thread::scope(|scope| {
        let reader =
            scope.spawn(|| read_hidden(&desk.tty, PROMPT, &cancelled, soon()).map(Typed::from));
        desk.sees("code: ");
        desk.types("123456\n");
        assert_eq!(reader.join().unwrap().unwrap(), code("123456"));
    });
}

#[test]
fn a_cancelled_reader_puts_the_terminal_back() {
    let desk = Desk::new();
    let before = desk.flags();
    let (cancelled, cancel) = io::pipe().unwrap();
    thread::scope(|scope| {
        let reader =
            scope.spawn(|| read_hidden(&desk.tty, PROMPT, &cancelled, soon()).map(Typed::from));
        desk.sees("code: ");
        desk.types("123");
        drop(cancel);
        let error = reader.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Interrupted);
    });
    assert_eq!(desk.flags(), before);
}

#[test]
fn nobody_waits_for_a_code_that_would_come_too_late() {
    let desk = Desk::new();
    let before = desk.flags();
    let (cancelled, _cancel) = io::pipe().unwrap();
    let now = clock::now().boot;
    let typed = read_hidden(&desk.tty, PROMPT, &cancelled, now)
        .map(Typed::from)
        .unwrap();
    assert_eq!(typed, Typed::TooLate);
    assert_eq!(desk.flags(), before);
}

#[test]
fn a_line_without_end_is_no_code() {
    let desk = Desk::new();
    let (cancelled, _cancel) = io::pipe().unwrap();
    thread::scope(|scope| {
        let reader =
            scope.spawn(|| read_hidden(&desk.tty, PROMPT, &cancelled, soon()).map(Typed::from));
        desk.sees("code: ");
        desk.types(&format!("{}\n", "1".repeat(MAX_LINE + 1)));
        assert_eq!(reader.join().unwrap().unwrap(), Typed::NotACode);
    });
}

#[test]
fn a_pipe_is_read_to_the_end_of_the_line_and_no_further() {
    let (mut input, mut output) = io::pipe().unwrap();
    let (cancelled, _cancel) = io::pipe().unwrap();
    output.write_all(b"123456\nrest").unwrap();
    drop(output);
    let typed = read_line(input.as_fd(), &cancelled, soon())
        .map(Typed::from)
        .unwrap();
    assert_eq!(typed, code("123456"));
    let mut rest = String::new();
    input.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "rest");
}

#[test]
fn lines_are_told_apart() {
    let cases: [(&[u8], Typed); 6] = [
        (b"123456", code("123456")),
        (b" 123 456\r", code("123456")),
        (b"", Typed::Nothing),
        (b"  ", Typed::Nothing),
        (b"12\x1a34", Typed::NotACode),
        (b"\xff\xfe", Typed::NotACode),
    ];
    for (line, expected) in cases {
        assert_eq!(typed(line), expected, "{line:?}");
    }
}
