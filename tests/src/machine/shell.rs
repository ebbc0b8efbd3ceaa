// SPDX-License-Identifier: Apache-2.0 OR MIT
//! People who log in to a machine.

use std::io::{Read, Write as _};
use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Machine;
use crate::process::Running;
use crate::sandbox::User;
use crate::ssh::Sshd;
use crate::wait::until;

/// A user's login shell, and what its terminal shows.
#[derive(Debug)]
pub struct Shell {
    process: Running,
    session: String,
    screen: Screen,
}

/// What was written to a terminal.
#[derive(Clone, Debug, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Machine {
    /// Logs a user in, on a terminal of the machine's own, which belongs to no seat.
    #[track_caller]
    #[must_use]
    pub fn login(&self, user: User) -> Shell {
        self.login_with(user, &[])
    }

    /// Logs a user in at the machine's seat. It has no virtual consoles, and so who comes last
    /// is who sees the screen, until logind is told otherwise.
    #[track_caller]
    #[must_use]
    pub fn login_at_seat(&self, user: User) -> Shell {
        self.login_with(user, &["XDG_SEAT=seat0"])
    }

    #[track_caller]
    fn login_with(&self, user: User, variables: &[&str]) -> Shell {
        let mut command = self.inside();
        command
            .arg("env")
            .args(variables)
            .args(["script", "--quiet", "--command"])
            .arg(format!("login -p -f {}", user.name))
            .arg("/dev/null");
        self.shell(user, &mut command)
    }

    /// Logs a user in over ssh from this address, with a terminal.
    #[track_caller]
    #[must_use]
    pub fn login_over(&self, sshd: &Sshd, user: User, from: IpAddr) -> Shell {
        let line = sshd.client(user, from);
        self.shell(user, Command::new(&line[0]).args(&line[1..]))
    }

    /// The shell of a login, once logind knows that.
    #[track_caller]
    fn shell(&self, user: User, login: &mut Command) -> Shell {
        let before = self.sessions(user);
        let mut process = Running::start(login.stdin(Stdio::piped()));
        let screen = Screen::default();
        let child = process.child();
        screen.collect(child.stdout.take().unwrap());
        screen.collect(child.stderr.take().unwrap());
        let session = until("the login has a session", || {
            if let Some(status) = process.ended() {
                panic!("the login ended, {status}: {}", screen.text());
            }
            self.sessions(user)
                .into_iter()
                .find(|id| !before.contains(id))
        });
        Shell {
            process,
            session,
            screen,
        }
    }

    /// The sessions of a user, as logind lists them.
    #[must_use]
    pub fn sessions(&self, user: User) -> Vec<String> {
        let said = self.run(&["loginctl", "list-sessions", "--no-legend"]);
        let lines = said
            .stdout
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>());
        lines
            .filter(|fields| fields.get(1) == Some(&user.uid.to_string().as_str()))
            .map(|fields| fields[0].to_owned())
            .collect()
    }

    /// A property of a session, as logind tells it.
    #[must_use]
    pub fn of_session(&self, session: &str, property: &str) -> String {
        let call = ["loginctl", "show-session", "--value", "--property"];
        let said = self.run(&[&call[..], &[property, session]].concat());
        said.succeeded().stdout.trim().to_owned()
    }
}

impl Shell {
    /// logind's id of its session.
    #[must_use]
    pub fn session(&self) -> &str {
        &self.session
    }

    /// Types a line.
    pub fn types(&mut self, line: &str) {
        let input = self.process.child().stdin.as_mut().unwrap();
        writeln!(input, "{line}").unwrap();
    }

    /// Waits until its terminal has shown this.
    #[track_caller]
    pub fn shows(&self, text: &str) {
        until(&format!("the terminal shows {text:?}"), || {
            self.screen.text().contains(text).then_some(())
        });
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let (session, screen) = (&self.session, self.screen.text());
            eprintln!("--- the terminal of session {session} ---\n{screen}\n---");
        }
    }
}

impl Screen {
    /// Takes what is written, so that who writes never waits.
    fn collect(&self, mut output: impl Read + Send + 'static) {
        let screen = self.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut buffer) {
                screen.lock().extend_from_slice(&buffer[..length]);
            }
        });
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.lock()).into_owned()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
