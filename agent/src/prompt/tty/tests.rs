// SPDX-License-Identifier: Apache-2.0 OR MIT
//! These need root, as the terminals change hands. The terminals are the tests' own.

use std::io::Read;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use nix::fcntl::{FcntlArg, fcntl};
use nix::pty::openpty;
use nix::sys::stat::fchmod;
use nix::sys::termios::{FlowArg, SetArg, cfmakeraw, tcflow, tcsetattr};
use nix::unistd::fchown;
use proptest::prelude::*;
use stile_common::{Attempt, disposition, protocol, record_kind};

use super::*;
use crate::classify::Classifier;
use crate::clock::now;

const OWNER: Uid = Uid(4242);

/// A terminal, and what its person sees.
struct Screen {
    seen: File,
    slave: File,
    terminal: Terminal,
}

impl Screen {
    /// A terminal of [`OWNER`], in canonical mode, that takes messages; a process of group 40
    /// runs in its foreground.
    fn new() -> Self {
        let pty = openpty(None, None).unwrap();
        let slave = File::from(pty.slave);
        fcntl(&pty.master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        let index = minor(slave.metadata().unwrap().rdev());
        let screen = Self {
            seen: pty.master.into(),
            slave,
            terminal: Terminal {
                tty: TtyName::Pts(index.try_into().unwrap()),
                group: 40,
                foreground: Some(40),
            },
        };
        fchown(screen.slave.as_fd(), Some(OWNER.0.into()), None).unwrap();
        screen.mode(0o620);
        screen
    }

    fn mode(&self, mode: u32) {
        fchmod(self.slave.as_fd(), Mode::from_bits(mode).unwrap()).unwrap();
    }

    fn raw(&self) {
        let mut settings = tcgetattr(&self.slave).unwrap();
        cfmakeraw(&mut settings);
        tcsetattr(&self.slave, SetArg::TCSANOW, &settings).unwrap();
    }

    /// Another program takes the foreground.
    fn background(&mut self) {
        self.terminal.foreground = Some(41);
    }

    fn tell(&self, notice: &Notice<'_>) -> NoticeOutcome {
        let person = Person {
            uid: OWNER,
            loginuid: None,
        };
        write_to(Path::new("/dev"), &self.terminal, person, notice).unwrap()
    }

    /// What has been written, without the carriage returns that the terminal doubles.
    fn read(&mut self) -> String {
        let mut seen = Vec::new();
        let mut buffer = [0; 1024];
        while let Ok(length @ 1..) = self.seen.read(&mut buffer) {
            seen.extend(&buffer[..length]);
        }
        String::from_utf8(seen).unwrap().replace('\r', "")
    }
}

fn needs_approval<'a>() -> Notice<'a> {
    Notice {
        program: "psql",
        endpoint: "prod-db",
        destination: "10.0.0.5:5432".parse().unwrap(),
        event: Event::NeedsApproval {
            challenge: ChallengeId(7),
            left: Duration::from_millis(57_200),
        },
    }
}

fn with(event: Event<'_>) -> Notice<'_> {
    Notice {
        event,
        ..needs_approval()
    }
}

const LINE: &str =
    "[stile] psql -> prod-db (10.0.0.5:5432) needs approval. Run: stile approve 7   (58 s left)";

#[test]
fn the_line_says_who_waits_for_what_and_what_to_type() {
    assert_eq!(needs_approval().line(), LINE);
    assert_eq!(
        with(Event::Approved).line(),
        "[stile] psql -> prod-db (10.0.0.5:5432) approved"
    );
    let left = Duration::from_secs(60);
    let ends = |closes| with(Event::Ends { left, closes }).line();
    assert_eq!(
        [ends(true), ends(false)],
        [
            "[stile] psql -> prod-db (10.0.0.5:5432) access ends in 60 s: the connection is then closed",
            "[stile] psql -> prod-db (10.0.0.5:5432) access ends in 60 s: the connection is then kept, \
             new ones are not",
        ]
    );
    let reason = "nobody answered within 60 s";
    assert_eq!(
        with(Event::Denied { reason }).line(),
        "[stile] psql -> prod-db (10.0.0.5:5432) denied: nobody answered within 60 s"
    );
}

#[test]
fn hostile_names_steer_no_terminal_and_cut_no_command_off() {
    let long = "x".repeat(500);
    let notice = Notice {
        program: "\u{1b}]0;a\u{7}\r\n\u{9b}2Jé",
        endpoint: &long,
        destination: "[2001:db8:1111:2222:3333:4444:5555:6666]:65535"
            .parse()
            .unwrap(),
        event: Event::NeedsApproval {
            challenge: ChallengeId(u64::MAX),
            left: Duration::from_secs(60),
        },
    };
    let line = notice.line();
    assert!(line.starts_with("[stile] ?]0;a????2J? -> xxxxx"), "{line}");
    assert!(line.ends_with(&format!("stile approve {}   (60 s left)", u64::MAX)));
    assert!(line.len() <= COLUMNS);
}

#[test]
fn the_line_is_shown_to_the_program_in_the_foreground_even_if_it_edits_lines() {
    let mut screen = Screen::new();
    screen.raw();
    assert_eq!(screen.tell(&needs_approval()), NoticeOutcome::Shown);
    assert_eq!(screen.read(), format!("\n\u{7}{LINE}\n"));
}

#[test]
fn the_line_is_shown_beside_another_program_that_reads_lines() {
    let mut screen = Screen::new();
    screen.background();
    assert_eq!(screen.tell(&needs_approval()), NoticeOutcome::Shown);
    assert_eq!(screen.read(), format!("\n\u{7}{LINE}\n"));
}

#[test]
fn a_screen_that_another_program_draws_only_rings() {
    let mut screen = Screen::new();
    screen.background();
    screen.raw();
    assert_eq!(screen.tell(&needs_approval()), NoticeOutcome::Rang);
    assert_eq!(screen.read(), "\u{7}");
    let good = screen.tell(&with(Event::Approved));
    assert_eq!(good, NoticeOutcome::Skipped(Skip::NotWorthABell));
    assert_eq!(screen.read(), "");
}

#[test]
fn who_said_mesg_n_hears_only_the_bell() {
    let mut screen = Screen::new();
    screen.mode(0o600);
    assert_eq!(screen.tell(&needs_approval()), NoticeOutcome::Rang);
    assert_eq!(screen.read(), "\u{7}");
}

#[test]
fn good_news_comes_without_a_bell() {
    let mut screen = Screen::new();
    assert_eq!(screen.tell(&with(Event::Approved)), NoticeOutcome::Shown);
    assert!(!screen.read().contains('\u{7}'));
}

#[test]
fn nothing_is_written_to_somebody_elses_terminal() {
    let mut screen = Screen::new();
    let stranger = Person {
        uid: Uid(4243),
        loginuid: Some(Uid(4244)),
    };
    let outcome = write_to(
        Path::new("/dev"),
        &screen.terminal,
        stranger,
        &needs_approval(),
    );
    assert_eq!(outcome.unwrap(), NoticeOutcome::Skipped(Skip::NotTheirs));
    assert_eq!(screen.read(), "");
}

#[test]
fn a_root_shell_is_told_on_the_terminal_of_who_logged_in() {
    let mut screen = Screen::new();
    let root = Person {
        uid: Uid(0),
        loginuid: Some(OWNER),
    };
    let outcome = write_to(Path::new("/dev"), &screen.terminal, root, &needs_approval());
    assert_eq!(outcome.unwrap(), NoticeOutcome::Shown);
    assert!(screen.read().contains(LINE));
}

#[test]
fn a_terminal_whose_output_is_stopped_is_not_waited_for() {
    let screen = Screen::new();
    tcflow(&screen.slave, FlowArg::TCOOFF).unwrap();
    let outcome = screen.tell(&needs_approval());
    tcflow(&screen.slave, FlowArg::TCOON).unwrap();
    assert_eq!(outcome, NoticeOutcome::Skipped(Skip::Busy));
}

#[test]
fn what_only_has_the_name_of_a_terminal_is_not_written_to() {
    let screen = Screen::new();
    let Terminal { tty, .. } = screen.terminal;
    let person = Person {
        uid: Uid(0),
        loginuid: None,
    };
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("pts")).unwrap();
    let fake = dir.path().join(tty.to_string());
    let tell = || write_to(dir.path(), &screen.terminal, person, &needs_approval());

    std::fs::write(&fake, "").unwrap();
    assert!(matches!(tell(), Err(TtyError::NotATerminal(_))));
    assert_eq!(std::fs::read(&fake).unwrap(), b"");

    std::fs::remove_file(&fake).unwrap();
    std::os::unix::fs::symlink(Path::new("/dev").join(tty.to_string()), &fake).unwrap();
    assert!(matches!(
        tell(),
        Err(TtyError::Io {
            operation: "open",
            ..
        })
    ));

    let other = Terminal {
        tty: TtyName::Pts(u32::MAX - 1),
        ..screen.terminal
    };
    std::os::unix::fs::symlink("/dev/null", dir.path().join(other.tty.to_string())).unwrap();
    assert!(write_to(dir.path(), &other, person, &needs_approval()).is_err());
}

#[test]
fn a_real_process_is_told_on_its_own_terminal() {
    let mut screen = Screen::new();
    fchown(screen.slave.as_fd(), Some(nix::unistd::getuid()), None).unwrap();
    // It says when it has its terminal, and ends when its terminal does.
    let mut child = Command::new("setsid")
        .args(["--ctty", "sh", "-c", "echo ready; exec cat"])
        .stdin(screen.slave.try_clone().unwrap())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let ready = child.stdout.as_mut().unwrap();
    ready.read_exact(&mut [0; 6]).unwrap();
    let procfs = ProcFs::new();
    let mut classifier = Classifier::new(procfs.clone(), "/user.slice");
    let classified = classifier.classify(&attempt_of(child.id()), now().boot);
    let process = classified.process().unwrap();
    assert_eq!(
        process.terminal.unwrap().tty.to_string(),
        screen.terminal.tty.to_string()
    );
    assert!(process.terminal.unwrap().is_in_foreground());
    let outcome = notify(&procfs, process, &needs_approval()).unwrap();
    assert_eq!(outcome, NoticeOutcome::Shown);
    assert!(screen.read().contains(LINE));

    child.kill().unwrap();
    child.wait().unwrap();
    let outcome = notify(&procfs, process, &needs_approval()).unwrap();
    assert_eq!(outcome, NoticeOutcome::Skipped(Skip::NoTerminal));
}

fn attempt_of(pid: u32) -> Attempt {
    Attempt {
        kind: record_kind::ATTEMPT,
        protocol: protocol::TCP,
        disposition: disposition::HELD,
        port: 5432,
        cookie: 1,
        boot_ns: now().boot.0,
        cgroup: 1,
        netns: 1,
        grant: 0,
        pid,
        tid: pid,
        uid: nix::unistd::getuid().as_raw(),
        gid: 0,
        subject: 1000,
        endpoint: 9,
        address: [0; 16],
        comm: [0; 16],
    }
}

proptest! {
    #[test]
    fn every_line_is_printable_ascii_of_at_most_200_columns(
        program in any::<String>(),
        endpoint in any::<String>(),
        reason in any::<String>(),
    ) {
        let event = Event::Denied { reason: &reason };
        let notice = Notice { program: &program, endpoint: &endpoint, ..with(event) };
        let line = notice.line();
        prop_assert!(line.len() <= COLUMNS);
        prop_assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    }
}
