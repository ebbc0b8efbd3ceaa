// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A user's program that connects.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};
use std::time::Duration;

use nix::errno::Errno;

use crate::process::Running;
use crate::wait::patience;

/// How a connect ended, and how long it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What the program got.
    pub result: Result<(), Errno>,
    /// How long it waited for that.
    pub elapsed: Duration,
}

/// A program that is in its connect, or has a connection (`tests/src/bin/stile-test-client.rs`).
#[derive(Debug)]
pub struct Client {
    process: Running,
    lines: Receiver<String>,
}

impl Client {
    /// Starts a command that runs the client; see [`crate::Host::client`].
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Running::new(command);
        let output = BufReader::new(process.child().stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let mut written = output.lines().map_while(Result::ok);
            written.try_for_each(|line| sender.send(line))
        });
        Self { process, lines }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Waits for the end of its connect.
    #[track_caller]
    pub fn outcome(&self) -> Outcome {
        parse(&self.line())
    }

    /// The end of its connect, if it has come.
    #[track_caller]
    pub fn try_outcome(&self) -> Option<Outcome> {
        self.lines.try_recv().ok().map(|line| parse(&line))
    }

    /// Waits until it is connected.
    #[track_caller]
    pub fn connected(&self) -> Duration {
        let outcome = self.outcome();
        assert_eq!(outcome.result, Ok(()), "the connect failed");
        outcome.elapsed
    }

    /// Waits until its connect has failed.
    #[track_caller]
    pub fn refused(&self) -> (Errno, Duration) {
        let outcome = self.outcome();
        let error = outcome.result.expect_err("it was connected");
        (error, outcome.elapsed)
    }

    /// Panics if its connect has ended.
    #[track_caller]
    pub fn still_waits(&self) {
        match self.lines.try_recv() {
            Err(TryRecvError::Empty) => {}
            other => panic!("its connect is over: {other:?}"),
        }
    }

    /// Connects once more, with a new socket.
    pub fn again(&mut self) {
        self.order("again");
    }

    /// Sends a line to the echo server and returns what comes back: `None` if the stream has
    /// ended.
    ///
    /// # Errors
    /// What the socket says.
    #[track_caller]
    pub fn say(&mut self, text: &str) -> Result<Option<String>, Errno> {
        self.write(text);
        self.heard()
    }

    /// Sends a line and waits for nothing: [`Self::heard`] does.
    pub fn write(&mut self, text: &str) {
        self.order(&format!("say {text}"));
    }

    /// Asserts that its connection carries data both ways.
    #[track_caller]
    pub fn talks(&mut self) {
        assert_eq!(self.say("hello"), Ok(Some("hello".to_owned())));
    }

    /// Asserts that what it sends gets no answer, though the connection has not failed. It
    /// listens for half a second: that nothing comes can't be waited for otherwise.
    #[track_caller]
    pub fn is_cut_off(&mut self) {
        self.order("shout anybody?");
        assert_eq!(self.heard(), Err(Errno::EAGAIN));
    }

    /// Asserts that nothing comes to it for half a second; see [`Self::is_cut_off`].
    #[track_caller]
    pub fn hears_nothing(&mut self) {
        self.order("hush");
        assert_eq!(self.heard(), Err(Errno::EAGAIN));
    }

    /// Starts to wait for what the server sends, which ends only with the connection.
    pub fn listen(&mut self) {
        self.order("listen");
    }

    /// Waits for what came of [`Self::listen`].
    ///
    /// # Errors
    /// What the socket says.
    #[track_caller]
    pub fn heard(&self) -> Result<Option<String>, Errno> {
        let line = self.line();
        match line.split_once(' ') {
            Some(("heard", text)) => Ok(Some(text.to_owned())),
            Some(("error", number)) => Err(Errno::from_raw(number.parse().unwrap())),
            None if line == "end" => Ok(None),
            _ => panic!("the client said {line:?}"),
        }
    }

    /// Ends it, as `kill -9` does.
    pub fn kill(self) {
        drop(self);
    }

    fn order(&mut self, line: &str) {
        let input = self.process.child().stdin.as_mut().unwrap();
        writeln!(input, "{line}").unwrap();
    }

    #[track_caller]
    fn line(&self) -> String {
        match self.lines.recv_timeout(patience()) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => {
                panic!("the client said nothing for {} s", patience().as_secs())
            }
            Err(RecvTimeoutError::Disconnected) => panic!("the client has ended"),
        }
    }
}

#[track_caller]
fn parse(line: &str) -> Outcome {
    let words: Vec<&str> = line.split(' ').collect();
    let (result, micros) = match words.as_slice() {
        ["connected", micros] => (Ok(()), micros),
        ["error", number, micros] => (Err(Errno::from_raw(number.parse().unwrap())), micros),
        _ => panic!("the client said {line:?}"),
    };
    Outcome {
        result,
        elapsed: Duration::from_micros(micros.parse().unwrap()),
    }
}
