// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is known of a connection when its conditions are asked.

use std::time::Duration;

use jiff::Timestamp;

use crate::classify::Process;
use crate::clock::Now;
use crate::policy::{Fact, Facts, ProgramFacts, SessionFacts, Unknown};

/// A connection whose process may not be known.
pub(super) struct ConnectionFacts<'a> {
    process: Option<&'a Process>,
    now: Now,
}

impl<'a> ConnectionFacts<'a> {
    pub(super) fn new(process: Option<&'a Process>, now: Now) -> Self {
        Self { process, now }
    }

    fn process(&self) -> Fact<&'a Process> {
        self.process
            .ok_or_else(|| Unknown::because("the process can't be looked at"))
    }
}

fn unknown<T>() -> Fact<T> {
    Err(Unknown::because("not known"))
}

impl Facts for ConnectionFacts<'_> {
    fn at(&self) -> Timestamp {
        self.now.wall.into()
    }
    fn program(&self) -> Fact<ProgramFacts> {
        let program = self.process()?.program.as_ref();
        let program = program.ok_or_else(|| Unknown::because("no program"))?;
        Ok(ProgramFacts {
            path: program.path.clone(),
            doubt: (!program.here).then_some("it is not the host's file".into()),
        })
    }
    fn digest(&self) -> Fact<[u8; 32]> {
        unknown()
    }
    fn session(&self) -> Fact<SessionFacts> {
        unknown()
    }
    fn has_terminal(&self) -> Fact<bool> {
        Ok(self.process()?.terminal.is_some())
    }
    fn unit(&self) -> Fact<String> {
        let unit = self.process()?.unit.clone();
        unit.ok_or_else(|| Unknown::because("no unit"))
    }
    fn is_program_new(&self) -> Fact<bool> {
        unknown()
    }
    fn is_destination_new(&self) -> Fact<bool> {
        unknown()
    }
    fn is_address_new(&self) -> Fact<bool> {
        unknown()
    }
    fn is_hour_unusual(&self) -> Fact<bool> {
        unknown()
    }
    fn failures_within(&self, _time: Duration) -> Fact<u32> {
        unknown()
    }
    fn connections_within(&self, _time: Duration) -> Fact<u32> {
        unknown()
    }
}
