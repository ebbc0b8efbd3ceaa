// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The `stile` command in the hands of users.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::authenticator::Authenticator;
use crate::host::Host;
use crate::process::Running;
use crate::sandbox::{self, ROOT, User};
use crate::wait::until;

/// What a command said, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The exit code.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Said {
    /// The JSON that it printed.
    #[track_caller]
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// Asserts that it succeeded.
    #[track_caller]
    pub fn succeeded(&self) -> &Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }

    /// Asserts that it failed with this exit code, and said this on stderr.
    #[track_caller]
    pub fn failed(&self, code: i32, saying: &str) -> &Self {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.stderr.contains(saying), "{self:?}");
        self
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }
}

/// A user with a fresh secret, about to type its first code.
#[derive(Debug)]
pub struct Enrolling {
    process: Running,
    /// The app that has the secret.
    pub authenticator: Authenticator,
}

impl Enrolling {
    /// Types the code.
    #[track_caller]
    pub fn confirm(mut self, code: &str) -> (Said, Authenticator) {
        let mut input = self.process.child().stdin.take().unwrap();
        writeln!(input, "{code}").unwrap();
        drop(input);
        (self.process.output().into(), self.authenticator)
    }
}

impl Host {
    /// Runs `stile` as this user.
    #[track_caller]
    pub fn stile(&self, user: User, arguments: &[&str]) -> Said {
        let mut command = self.stile_command(user, arguments);
        Running::start(&mut command).output().into()
    }

    fn stile_command(&self, user: User, arguments: &[&str]) -> Command {
        let mut command = self.as_user(user, sandbox::bin("stile"));
        command.args(arguments);
        command
    }

    /// Runs `stile` as this user, who types this into it.
    #[track_caller]
    pub fn stile_typing(&self, user: User, arguments: &[&str], typed: &str) -> Said {
        let mut command = self.stile_command(user, arguments);
        let mut process = Running::start(command.stdin(Stdio::piped()));
        let mut input = process.child().stdin.take().unwrap();
        // It may have ended already, when there is nothing to ask.
        let _ = writeln!(input, "{typed}");
        drop(input);
        process.output().into()
    }

    /// Answers a challenge as this user; the only one there is, without an id.
    #[track_caller]
    pub fn answer(&self, user: User, id: Option<u64>, code: &str) -> Said {
        let id = id.map(|id| id.to_string());
        let mut arguments = vec!["approve", "--stdin", "--json"];
        arguments.extend(id.as_deref());
        self.stile_typing(user, &arguments, code)
    }

    /// Approves the only challenge of this user. Asserts that it worked, and returns the
    /// answer.
    #[track_caller]
    pub fn approve(&self, user: User, authenticator: &Authenticator) -> Value {
        let said = self.answer(user, None, &authenticator.fresh_code());
        said.succeeded().json()
    }

    /// Starts to enroll this user by themselves.
    #[track_caller]
    #[must_use]
    pub fn begin_enrolling(&self, user: User) -> Enrolling {
        let begun = self.enrolling(user, &["enroll", "--json"], None);
        begun.unwrap_or_else(|said| panic!("no enrollment: {said:?}"))
    }

    /// Starts to enroll this user by root, who may replace a secret.
    #[track_caller]
    #[must_use]
    pub fn begin_replacing(&self, user: User) -> Enrolling {
        let begun = self.enrolling(ROOT, &["enroll", "--json", "--user", user.name], None);
        begun.unwrap_or_else(|said| panic!("no enrollment: {said:?}"))
    }

    /// Starts to enroll somebody with these arguments of `stile`, and types a code of a factor
    /// that is there already, if it asks for one.
    ///
    /// # Errors
    /// What it said, if it refuses.
    #[track_caller]
    pub fn enrolling(
        &self,
        by: User,
        arguments: &[&str],
        code: Option<&str>,
    ) -> Result<Enrolling, Said> {
        let mut command = self.stile_command(by, arguments);
        let mut process = Running::start(command.stdin(Stdio::piped()));
        if let Some(code) = code {
            let input = process.child().stdin.as_mut().unwrap();
            let _ = writeln!(input, "{code}");
        }
        let mut line = String::new();
        BufReader::new(process.child().stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let Ok(enrollment) = serde_json::from_str::<Value>(&line) else {
            return Err(process.output().into());
        };
        Ok(Enrolling {
            process,
            authenticator: Authenticator::new(enrollment["secret"].as_str().unwrap()),
        })
    }

    /// Enrolls this user. It uses up one code: see [`Authenticator::fresh_code`].
    #[track_caller]
    #[must_use]
    pub fn enroll(&self, user: User) -> Authenticator {
        let enrolling = self.begin_enrolling(user);
        let code = enrolling.authenticator.fresh_code();
        let (said, authenticator) = enrolling.confirm(&code);
        said.succeeded();
        authenticator
    }

    /// Calls a method of the agent as this user, without the `stile` command and its checks.
    #[track_caller]
    pub fn call(&self, user: User, member: &str, arguments: &[&str]) -> Said {
        self.call_interface(user, &format!("org.stile.Agent1.{member}"), arguments)
    }

    /// The same for a method of `org.stile.Factors1`.
    #[track_caller]
    pub fn call_factors(&self, user: User, member: &str, arguments: &[&str]) -> Said {
        self.call_interface(user, &format!("org.stile.Factors1.{member}"), arguments)
    }

    /// The same for a method of `org.stile.Proofs1`.
    #[track_caller]
    pub fn call_proofs(&self, user: User, member: &str, arguments: &[&str]) -> Said {
        self.call_interface(user, &format!("org.stile.Proofs1.{member}"), arguments)
    }

    #[track_caller]
    fn call_interface(&self, user: User, method: &str, arguments: &[&str]) -> Said {
        let mut command = self.as_user(user, "/usr/bin/dbus-send");
        command
            .args(["--system", "--print-reply", "--dest=org.stile.Agent1"])
            .arg("/org/stile/Agent1")
            .arg(method)
            .args(arguments);
        Running::start(&mut command).output().into()
    }

    /// The factors of this user, as they see them.
    #[track_caller]
    #[must_use]
    pub fn factors(&self, user: User) -> Vec<Value> {
        let said = self.stile(user, &["factor", "list", "--json"]);
        match said.succeeded().json() {
            Value::Array(list) => list,
            other => panic!("no list: {other}"),
        }
    }

    /// What waits for an answer, as this user sees it.
    #[track_caller]
    #[must_use]
    pub fn pending(&self, user: User) -> Vec<Value> {
        self.list(user, "pending")
    }

    /// Live grants, as this user sees them.
    #[track_caller]
    #[must_use]
    pub fn grants(&self, user: User) -> Vec<Value> {
        self.list(user, "grants")
    }

    /// Waits until this user has no live grant.
    #[track_caller]
    pub fn wait_for_no_grants(&self, user: User) {
        until(&format!("{} has no grant", user.name), || {
            self.grants(user).is_empty().then_some(())
        });
    }

    #[track_caller]
    fn list(&self, user: User, what: &str) -> Vec<Value> {
        let said = self.stile(user, &[what, "--json"]);
        match said.succeeded().json() {
            Value::Array(list) => list,
            other => panic!("no list: {other}"),
        }
    }

    /// Waits until this user is asked, and returns the challenge.
    #[track_caller]
    pub fn wait_for_challenge(&self, user: User) -> Value {
        self.wait_for_challenges(user, 1).remove(0)
    }

    /// Waits until this user is asked so many questions.
    #[track_caller]
    pub fn wait_for_challenges(&self, user: User, count: usize) -> Vec<Value> {
        let what = format!("{count} challenges of {}", user.name);
        until(&what, || {
            let pending = self.pending(user);
            (pending.len() == count).then_some(pending)
        })
    }

    /// Waits until so many connections wait on this user's only challenge.
    #[track_caller]
    pub fn wait_for_waiting(&self, user: User, connections: u64) {
        until(&format!("{connections} connections wait"), || {
            let pending = self.pending(user);
            let [challenge] = pending.as_slice() else {
                return None;
            };
            (challenge["waiting"] == connections).then_some(())
        });
    }

    /// How often the agent has counted a fault of any of these kinds, as root sees it.
    #[track_caller]
    #[must_use]
    pub fn faults(&self, kinds: &[&str]) -> u64 {
        let status = self.stile(ROOT, &["status", "--json"]).json();
        let counted = status["faults"].as_array().unwrap().iter();
        counted
            .filter(|fault| kinds.iter().any(|kind| fault[0] == *kind))
            .map(|fault| fault[1].as_u64().unwrap())
            .sum()
    }

    /// Runs `stile audit verify` on this log, as root.
    #[track_caller]
    pub fn verify_audit(&self, log: &std::path::Path) -> Said {
        self.stile(ROOT, &["audit", "verify", "--log", log.to_str().unwrap()])
    }
}
