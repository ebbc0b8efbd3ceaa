// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The `stile` command against an agent, piped and on a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Output, Stdio};

use nix::pty::openpty;
use nix::sys::termios::{LocalFlags, tcgetattr};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::support::{Bus, agent, fake_pipeline};

/// A bus with an agent, and somebody who runs `stile` there.
struct Scene {
    bus: Bus,
    _service: stile::bus::BusService,
}

impl Scene {
    async fn start() -> Self {
        let bus = Bus::start();
        let (service, requests) = agent(&bus).await;
        tokio::spawn(fake_pipeline(requests));
        Self {
            bus,
            _service: service,
        }
    }

    fn stile(&self, line: &[&str]) -> Command {
        stile_on(&self.bus.address, line)
    }

    /// Runs it with this on stdin.
    async fn run(&self, line: &[&str], stdin: &str) -> Output {
        let mut child = self
            .stile(line)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let written = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        let output = spawn_blocking(move || child.wait_with_output().unwrap());
        // One that reads nothing may have gone already.
        drop(written);
        output.await.unwrap()
    }
}

fn stile_on(address: &str, line: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stile"));
    command
        .args(line)
        .env("DBUS_SYSTEM_BUS_ADDRESS", address)
        .env("TERM", "xterm")
        .env("LC_ALL", "C")
        .env_remove("NO_COLOR");
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn json_lines(bytes: &[u8]) -> Vec<Value> {
    text(bytes)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// `stile` on a terminal of its own, and the person in front of it.
struct Session {
    child: Child,
    tty: File,
    person: File,
    screen: String,
}

impl Session {
    fn start(command: &Command) -> Self {
        let pair = openpty(None, None).unwrap();
        let tty = File::from(pair.slave);
        // setsid makes this terminal the controlling one, as a login does.
        let mut session = Command::new("setsid");
        session
            .args(["--ctty", "--wait"])
            .arg(command.get_program())
            .args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => session.env(key, value),
                None => session.env_remove(key),
            };
        }
        let child = session
            .stdin(tty.try_clone().unwrap())
            .stdout(tty.try_clone().unwrap())
            .stderr(tty.try_clone().unwrap())
            .spawn()
            .expect("setsid starts; is util-linux installed?");
        Self {
            child,
            tty,
            person: pair.master.into(),
            screen: String::new(),
        }
    }

    fn types(&mut self, keys: &str) {
        self.person.write_all(keys.as_bytes()).unwrap();
    }

    /// Reads the screen until this shows up behind what was seen before.
    fn sees(&mut self, expected: &str) -> String {
        let mut buffer = [0; 4096];
        loop {
            if let Some(at) = self.screen.find(expected) {
                let rest = self.screen.split_off(at + expected.len());
                return std::mem::replace(&mut self.screen, rest);
            }
            let length = self.person.read(&mut buffer).unwrap();
            assert_ne!(length, 0, "{:?}", self.screen);
            self.screen
                .push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
    }

    fn echoes(&self) -> bool {
        let flags = tcgetattr(&self.tty).unwrap().local_flags;
        flags.contains(LocalFlags::ECHO)
    }

    fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

#[tokio::test]
async fn a_wrong_code_is_asked_again_and_a_right_one_approves() {
    let scene = Scene::start().await;
    let mut session = Session::start(&scene.stile(&["approve"]));
    spawn_blocking(move || {
        let block = session.sees("code: ");
        assert!(block.contains("/usr/bin/psql"), "{block}");
        assert!(block.contains("10.0.0.1:5432"), "{block}");
        assert!(!session.echoes());
        session.types("111111\n");
        session.sees("2 tries are left");
        session.sees("code: ");
        session.types("123 456\n");
        let last = session.sees("approved: prod-db for 15 minutes, 1 connection goes on");
        assert!(!last.contains("123"), "{last}");
        assert_eq!(session.exit_code(), Some(0));
        assert!(session.echoes());
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn an_interrupted_prompt_leaves_the_terminal_as_it_was() {
    let scene = Scene::start().await;
    let mut session = Session::start(&scene.stile(&["approve", "7"]));
    spawn_blocking(move || {
        session.sees("code: ");
        assert!(!session.echoes());
        // Ctrl-C.
        session.types("12\x03");
        assert_eq!(session.exit_code(), Some(130));
        assert!(session.echoes());
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn an_empty_line_leaves_without_an_answer() {
    let scene = Scene::start().await;
    let mut session = Session::start(&scene.stile(&["approve"]));
    spawn_blocking(move || {
        session.sees("code: ");
        session.types("\n");
        session.sees("stile: approve: not answered; it waits on. `stile deny 7`");
        assert_eq!(session.exit_code(), Some(1));
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_code_from_stdin_is_tried_once() {
    let scene = Scene::start().await;
    let line = ["approve", "--stdin", "--json"];
    let output = scene.run(&line, "123456\n").await;
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        json_lines(&output.stdout),
        [json!({ "outcome": "accepted", "until_seconds": 900, "released": 1 })]
    );
    let output = scene.run(&line, "111111\n123456\n").await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        json_lines(&output.stdout),
        [json!({ "outcome": "wrong", "tries_left": 2 })]
    );
    assert!(text(&output.stderr).contains("stile: approve: wrong code; 2 tries are left"));
}

#[tokio::test]
async fn every_view_is_json_where_that_is_wanted() {
    let scene = Scene::start().await;
    let pending = scene.run(&["pending", "--json"], "").await;
    let pending = json_lines(&pending.stdout);
    assert_eq!(pending[0][0]["id"], 7);
    assert_eq!(pending[0][0]["uid"], 0);
    let status = scene.run(&["status", "--json"], "").await;
    assert_eq!(json_lines(&status.stdout)[0]["state"], "enforcing");
    // The fake agent has a problem.
    assert_eq!(status.status.code(), Some(1));
    let grants = scene.run(&["grants", "--json"], "").await;
    assert_eq!(json_lines(&grants.stdout), [json!([])]);
    let denied = scene.run(&["deny", "--json"], "").await;
    assert_eq!(json_lines(&denied.stdout), [json!({ "denied": 7 })]);
    let revoked = scene.run(&["revoke", "--all", "--json"], "").await;
    assert_eq!(json_lines(&revoked.stdout), [json!({ "revoked": 5 })]);
}

#[tokio::test]
async fn enrolling_as_json_is_two_lines() {
    let scene = Scene::start().await;
    let output = scene.run(&["enroll", "--json"], "123456\n").await;
    assert_eq!(
        json_lines(&output.stdout),
        [
            json!({
                "url": "otpauth://totp/0", "secret": "GEZDGNBV", "confirm_seconds": 300
            }),
            json!({ "outcome": "throttled", "retry_seconds": 30 }),
        ]
    );
    assert_eq!(output.status.code(), Some(1));
}

#[tokio::test]
async fn enrolling_shows_a_qr_code_and_the_secret() {
    let scene = Scene::start().await;
    let mut session = Session::start(&scene.stile(&["enroll"]));
    spawn_blocking(move || {
        let page = session.sees("code: ");
        assert!(page.contains('█'), "{page}");
        assert!(page.contains("GEZD GNBV"), "{page}");
        session.types("123456\n");
        session.sees("stile: enroll: too many wrong codes. Try again in 30 seconds");
        assert_eq!(session.exit_code(), Some(1));
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn nothing_to_do_and_nobody_there_are_told_apart() {
    let scene = Scene::start().await;
    let nothing = scene.run(&["approve", "8", "--stdin"], "123456\n").await;
    assert_eq!(nothing.status.code(), Some(3));
    assert_eq!(
        text(&nothing.stderr),
        "stile: approve: no challenge 8 of yours is pending; it may be over. `stile pending` lists \
         them\n"
    );
    let nothing = scene.run(&["revoke"], "").await;
    assert_eq!(nothing.status.code(), Some(3));

    let nobody = Bus::start();
    let output = stile_on(&nobody.address, &["status"]).output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert_eq!(
        text(&output.stderr),
        "stile: status: stiled isn't running. Start it with `systemctl start stiled`\n"
    );
    let output = stile_on("unix:path=/nonexistent/socket", &["pending"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert!(text(&output.stderr).contains("Is dbus running?"));
}

#[tokio::test]
async fn a_pipe_gets_no_colours() {
    let scene = Scene::start().await;
    let output = scene.run(&["pending"], "").await;
    let table = text(&output.stdout);
    assert!(table.starts_with("ID  LEFT"), "{table}");
    assert!(!table.contains('\x1b'), "{table:?}");
}
