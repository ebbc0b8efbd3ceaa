// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is said of a connection that isn't there.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use crate::policy::{Fact, Facts, ProgramFacts, SessionFacts, Unknown};

/// A connection as somebody describes it. What they don't say is unknown, and each question says
/// how to answer it.
#[derive(Clone, Debug)]
pub struct Given {
    /// When it is.
    pub at: Timestamp,
    /// The program that connects.
    pub program: Option<PathBuf>,
    /// The login session.
    pub session: Option<SessionFacts>,
    /// Whether the process has a terminal.
    pub tty: Option<bool>,
    /// The systemd unit.
    pub unit: Option<String>,
    /// Whether the program is new for the user.
    pub new_program: Option<bool>,
    /// Whether the endpoint is.
    pub new_destination: Option<bool>,
    /// Whether the remote address is.
    pub new_address: Option<bool>,
    /// Whether the hour is unusual.
    pub unusual_hour: Option<bool>,
    /// Wrong answers of late.
    pub failures: Option<u32>,
    /// Connections of late.
    pub connections: Option<u32>,
}

impl Given {
    /// Nothing but the time.
    #[must_use]
    pub fn at(at: Timestamp) -> Self {
        Self {
            at,
            program: None,
            session: None,
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
}

fn said<T: Clone>(fact: Option<&T>, how: &'static str) -> Fact<T> {
    fact.cloned()
        .ok_or_else(|| Unknown::because(Cow::Owned(format!("not said: {how}"))))
}

impl Facts for Given {
    fn at(&self) -> Timestamp {
        self.at
    }

    fn program(&self) -> Fact<ProgramFacts> {
        let path = said(self.program.as_ref(), "say which program (--program)")?;
        Ok(ProgramFacts { path, doubt: None })
    }

    fn digest(&self) -> Fact<[u8; 32]> {
        Err(Unknown::because(
            "the content of a program is only known where it runs",
        ))
    }

    fn session(&self) -> Fact<SessionFacts> {
        said(
            self.session.as_ref(),
            "say from where the session is (--local, --remote)",
        )
    }

    fn has_terminal(&self) -> Fact<bool> {
        said(
            self.tty.as_ref(),
            "say whether it has a terminal (--tty, --no-tty)",
        )
    }

    fn unit(&self) -> Fact<String> {
        said(self.unit.as_ref(), "say in which unit it runs (--unit)")
    }

    fn is_program_new(&self) -> Fact<bool> {
        let how = "say whether the program is new (--new-program, --known-program)";
        said(self.new_program.as_ref(), how)
    }

    fn is_destination_new(&self) -> Fact<bool> {
        let how = "say whether the endpoint is new (--new-destination, --known-destination)";
        said(self.new_destination.as_ref(), how)
    }

    fn is_address_new(&self) -> Fact<bool> {
        let how = "say whether the address is new (--new-address, --known-address)";
        said(self.new_address.as_ref(), how)
    }

    fn is_hour_unusual(&self) -> Fact<bool> {
        let how = "say whether the hour is unusual (--unusual-hour, --usual-hour)";
        said(self.unusual_hour.as_ref(), how)
    }

    fn failures_within(&self, _time: Duration) -> Fact<u32> {
        said(
            self.failures.as_ref(),
            "say how many wrong answers (--failures)",
        )
    }

    fn connections_within(&self, _time: Duration) -> Fact<u32> {
        said(
            self.connections.as_ref(),
            "say how many connections (--connections)",
        )
    }
}
