// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is said of a connection that isn't there.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use crate::policy::{Fact, Facts, ProgramFacts, SessionFacts, SessionType, Unknown};

/// Where what is known was written down, and where what isn't could be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// In the options of a command: `--program`.
    Options,
    /// In the keys of a case: `program`.
    Case,
}

/// A connection of which somebody says what is known. What isn't said can't be told, and the
/// reason names the option or the key that would tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Who says it.
    pub source: Source,
    /// When it is.
    pub at: Timestamp,
    /// The path of what connects; a file that root alone may write.
    pub program: Option<PathBuf>,
    /// The SHA-256 of that file.
    pub sha256: Option<[u8; 32]>,
    /// Whether the login session came over the network.
    pub remote: Option<bool>,
    /// From where.
    pub from: Option<IpAddr>,
    /// The type of the login session.
    pub session: Option<SessionType>,
    /// Its seat; empty if it has none.
    pub seat: Option<String>,
    /// Whether the process has a terminal.
    pub tty: Option<bool>,
    /// Its systemd unit.
    pub unit: Option<String>,
    /// Whether the user has never got through with this program.
    pub new_program: Option<bool>,
    /// Whether the user has never got through to this endpoint.
    pub new_destination: Option<bool>,
    /// Whether the user has never got through from this remote address.
    pub new_address: Option<bool>,
    /// Whether the user hardly ever gets through at this hour.
    pub unusual_hour: Option<bool>,
    /// How many wrong answers the user has given, within whatever time a rule asks for.
    pub failures: Option<u32>,
    /// How many connections the user has tried, within whatever time a rule asks for; this one
    /// included.
    pub connections: Option<u32>,
}

impl Given {
    /// A connection of which nothing is known but when it is.
    #[must_use]
    pub fn at(at: Timestamp) -> Self {
        Self {
            source: Source::Options,
            at,
            program: None,
            sha256: None,
            remote: None,
            from: None,
            session: None,
            seat: None,
            tty: None,
            unit: None,
            new_program: None,
            new_destination: None,
            new_address: None,
            unusual_hour: None,
            failures: None,
            connections: None,
        }
    }

    /// What is known of something; `options` and `key` are where it could have been said.
    fn told<T: Clone>(&self, fact: Option<&T>, what: &str, options: &str, key: &str) -> Fact<T> {
        fact.cloned().ok_or_else(|| {
            Unknown::because(match self.source {
                Source::Options => format!("{what} is not given: say {options}"),
                Source::Case => format!("{what} is not given: add `{key}`"),
            })
        })
    }
}

impl Facts for Given {
    fn at(&self) -> Timestamp {
        self.at
    }

    fn program(&self) -> Fact<ProgramFacts> {
        let path = self.program.as_ref();
        let path = self.told(path, "what connects", "--program", "program")?;
        Ok(ProgramFacts { path, doubt: None })
    }

    fn digest(&self) -> Fact<[u8; 32]> {
        let what = "the SHA-256 of the program";
        self.told(self.sha256.as_ref(), what, "--sha256", "sha256")
    }

    fn session(&self) -> Fact<SessionFacts> {
        let remote = self.is_remote()?;
        Ok(SessionFacts {
            remote,
            remote_address: self.from.filter(|_| remote),
            kind: self.session_type()?,
            seat: self.seat()?,
        })
    }

    fn is_remote(&self) -> Fact<bool> {
        let what = "whether the session came over the network";
        let remote = self.remote.or(self.from.map(|_| true));
        self.told(remote.as_ref(), what, "--remote or --local", "remote")
    }

    fn remote_address(&self) -> Fact<Option<IpAddr>> {
        if !self.is_remote()? {
            return Ok(None);
        }
        let what = "where the session came from";
        let from = self.told(self.from.as_ref(), what, "--from", "from")?;
        Ok(Some(from))
    }

    fn session_type(&self) -> Fact<SessionType> {
        let what = "the type of the session";
        self.told(self.session.as_ref(), what, "--session", "session")
    }

    fn seat(&self) -> Fact<Option<String>> {
        // A session that came over the network sits nowhere here.
        if self.seat.is_none() && self.is_remote() == Ok(true) {
            return Ok(None);
        }
        let what = "the seat of the session";
        let seat = self.told(self.seat.as_ref(), what, "--seat", "seat")?;
        Ok(Some(seat).filter(|seat| !seat.is_empty()))
    }

    fn has_terminal(&self) -> Fact<bool> {
        let what = "whether it has a terminal";
        self.told(self.tty.as_ref(), what, "--tty or --no-tty", "tty")
    }

    fn unit(&self) -> Fact<String> {
        self.told(self.unit.as_ref(), "its unit", "--unit", "unit")
    }

    fn is_program_new(&self) -> Fact<bool> {
        self.told(
            self.new_program.as_ref(),
            "whether the program is new",
            "--new-program or --known-program",
            "new_program",
        )
    }

    fn is_destination_new(&self) -> Fact<bool> {
        self.told(
            self.new_destination.as_ref(),
            "whether the destination is new",
            "--new-destination or --known-destination",
            "new_destination",
        )
    }

    fn is_address_new(&self) -> Fact<bool> {
        // A session that isn't remote has no address that could be new.
        if self.new_address.is_none() && self.is_remote() == Ok(false) {
            return Ok(false);
        }
        self.told(
            self.new_address.as_ref(),
            "whether the remote address is new",
            "--new-address or --known-address",
            "new_address",
        )
    }

    fn is_hour_unusual(&self) -> Fact<bool> {
        self.told(
            self.unusual_hour.as_ref(),
            "whether the hour is unusual",
            "--unusual-hour or --usual-hour",
            "unusual_hour",
        )
    }

    fn failures_within(&self, _time: Duration) -> Fact<u32> {
        let what = "how many wrong answers the user gave";
        self.told(self.failures.as_ref(), what, "--failures", "failures")
    }

    fn connections_within(&self, _time: Duration) -> Fact<u32> {
        let what = "how many connections the user tried";
        let connections = self.connections.as_ref();
        self.told(connections, what, "--connections", "connections")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(source: Source) -> Given {
        Given {
            source,
            ..Given::at("2026-01-05T03:00:00Z".parse().unwrap())
        }
    }

    fn why<T: std::fmt::Debug>(fact: Fact<T>) -> String {
        fact.unwrap_err().to_string()
    }

    #[test]
    fn what_is_not_given_names_what_would_tell() {
        let options = nothing(Source::Options);
        let case = nothing(Source::Case);
        assert_eq!(
            why(options.program()),
            "what connects is not given: say --program"
        );
        assert_eq!(
            why(case.is_program_new()),
            "whether the program is new is not given: add `new_program`"
        );
        assert!(why(options.session()).contains("--remote or --local"));
        assert!(why(options.failures_within(Duration::ZERO)).contains("--failures"));
    }

    #[test]
    fn one_thing_of_a_session_can_be_known_without_the_others() {
        let mut facts = nothing(Source::Options);
        facts.remote = Some(true);
        assert_eq!(facts.is_remote(), Ok(true));
        assert!(why(facts.session_type()).contains("--session"));
        assert!(why(facts.remote_address()).contains("--from"));
        assert_eq!(facts.seat(), Ok(None));
        facts.from = Some([192, 0, 2, 7].into());
        assert_eq!(facts.remote_address(), Ok(facts.from));
    }

    #[test]
    fn a_session_of_this_host_has_no_address_that_could_be_new() {
        let mut facts = nothing(Source::Case);
        assert!(facts.is_address_new().is_err());
        facts.remote = Some(false);
        assert_eq!(facts.is_address_new(), Ok(false));
        assert_eq!(facts.remote_address(), Ok(None));
        assert!(why(facts.seat()).contains("`seat`"));
        facts.seat = Some(String::new());
        assert_eq!(facts.seat(), Ok(None), "an empty one is none");
    }
}
