// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What conditions learn of a real connection. Each fact is looked up when a rule first asks,
//! and once for each connection.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;
use tracing::error;

use super::{Pipeline, Problem};
use crate::classify::{Classified, Examined, Logins, Process, Programs};
use crate::clock::Now;
use crate::decide::Question;
use crate::history::{History, Passed, Unanswered};
use crate::policy::{Fact, Facts, ProgramFacts, SessionFacts, Unknown};

/// Where facts come from.
#[derive(Clone, Copy)]
pub(super) struct Sources<'a> {
    pub(super) history: &'a History,
    pub(super) logins: &'a Logins,
    pub(super) programs: &'a Programs,
}

/// The facts of one connection.
pub(super) struct ConnectionFacts<'a> {
    question: Question,
    process: Fact<&'a Process>,
    from: Sources<'a>,
    now: Now,
    program: OnceCell<Fact<Examined>>,
    digest: OnceCell<Fact<[u8; 32]>>,
    session: OnceCell<Fact<SessionFacts>>,
}

impl<'a> ConnectionFacts<'a> {
    /// Those of a connection that a process makes, or has made. Nothing is known of a process
    /// that isn't there.
    pub(super) fn new(
        question: Question,
        process: Option<&'a Process>,
        from: Sources<'a>,
        now: Now,
    ) -> Self {
        let gone = || Unknown::because("its process can't be looked at any more");
        Self {
            question,
            process: process.ok_or_else(gone),
            from,
            now,
            program: OnceCell::new(),
            digest: OnceCell::new(),
            session: OnceCell::new(),
        }
    }

    fn process(&self) -> Fact<&'a Process> {
        self.process.clone()
    }

    fn examined(&self) -> Fact<&Examined> {
        let examined = self.program.get_or_init(|| {
            let examined = self.from.programs.examine(self.process()?);
            examined.map_err(|error| Unknown::because(error.to_string()))
        });
        examined.as_ref().map_err(Unknown::clone)
    }

    /// What is to be remembered of it once it got through.
    pub(super) fn passed(&self) -> Passed {
        let program = self.examined().ok();
        let program = program.filter(|program| program.doubt.is_none());
        let session = self.session().ok();
        Passed {
            program: program.map(|program| program.path.clone()),
            address: session.and_then(|session| session.remote_address),
        }
    }
}

impl Facts for ConnectionFacts<'_> {
    fn at(&self) -> Timestamp {
        self.now.wall.into()
    }

    fn program(&self) -> Fact<ProgramFacts> {
        let examined = self.examined()?;
        let doubt = examined.doubt.as_ref().map(|doubt| doubt.to_string());
        Ok(ProgramFacts {
            path: examined.path.clone(),
            doubt: doubt.map(Into::into),
        })
    }

    fn digest(&self) -> Fact<[u8; 32]> {
        let digest = self.digest.get_or_init(|| {
            let digest = self.from.programs.digest(self.process()?, self.examined()?);
            digest.map_err(|error| Unknown::because(error.to_string()))
        });
        digest.clone()
    }

    fn session(&self) -> Fact<SessionFacts> {
        let session = self.session.get_or_init(|| {
            let session = self.from.logins.of(self.process()?, self.question.subject);
            session.map_err(|error| Unknown::because(error.to_string()))
        });
        session.clone()
    }

    fn has_terminal(&self) -> Fact<bool> {
        Ok(self.process()?.has_terminal)
    }

    fn unit(&self) -> Fact<String> {
        let unit = self.from.logins.unit_of(self.process()?);
        unit.ok_or_else(|| Unknown::because("it runs in no unit that systemd has named"))
    }

    fn is_program_new(&self) -> Fact<bool> {
        let program = self.examined()?;
        if let Some(doubt) = &program.doubt {
            return Err(Unknown::because(doubt.to_string()));
        }
        let user = self.question.subject;
        answer(self.from.history.is_program_new(user, &program.path))
    }

    fn is_destination_new(&self) -> Fact<bool> {
        let Question { subject, endpoint } = self.question;
        answer(self.from.history.is_destination_new(subject, endpoint))
    }

    fn is_address_new(&self) -> Fact<bool> {
        let session = self.session()?;
        match session.remote_address {
            Some(address) => answer(
                self.from
                    .history
                    .is_address_new(self.question.subject, address),
            ),
            None if session.remote => {
                Err(Unknown::because("where the session came from is not known"))
            }
            None => Ok(false),
        }
    }

    fn is_hour_unusual(&self) -> Fact<bool> {
        let user = self.question.subject;
        answer(self.from.history.is_hour_unusual(user, self.now))
    }

    fn failures_within(&self, time: Duration) -> Fact<u32> {
        let user = self.question.subject;
        answer(self.from.history.failures_within(user, time, self.now))
    }

    fn connections_within(&self, time: Duration) -> Fact<u32> {
        let Question { subject, endpoint } = self.question;
        let history = self.from.history;
        answer(history.connections_within(subject, endpoint, time, self.now))
    }
}

fn answer<T>(answer: Result<T, Unanswered>) -> Fact<T> {
    answer.map_err(|error| Unknown::because(error.to_string()))
}

impl Pipeline {
    /// Where facts come from.
    pub(super) fn sources(&self) -> Sources<'_> {
        Sources {
            history: &self.history,
            logins: &self.logins,
            programs: &self.programs,
        }
    }

    /// Saves what is remembered, when it is time.
    pub(super) fn save_history(&mut self, now: Now) {
        if self.history.save_due().is_some_and(|due| due <= now.boot) {
            self.history.save(now);
            self.report_history();
        }
    }

    /// A history that is broken is a problem: conditions on it can't be judged.
    pub(super) fn report_history(&mut self) {
        let Some(problem) = self.history.problem().map(str::to_owned) else {
            return;
        };
        if self.problems.get(&Problem::History) != Some(&problem) {
            error!("conditions on what users did before can't be judged: {problem}");
            self.problems.insert(Problem::History, problem);
        }
    }

    /// Remembers with what and where to somebody got through. Connections of one process to one
    /// endpoint are one: a thousand may get through at a time.
    pub(super) fn remember<'c>(
        &mut self,
        through: impl IntoIterator<Item = &'c Classified>,
        now: Now,
    ) {
        let mut known = HashSet::new();
        for facts in through {
            let (Some(subject), endpoint) = (facts.subject.uid(), facts.endpoint) else {
                continue;
            };
            let process = facts.process();
            if !known.insert((subject, endpoint, process.map(Process::id))) {
                continue;
            }
            let question = Question { subject, endpoint };
            let passed = ConnectionFacts::new(question, process, self.sources(), now).passed();
            self.history.note_passed(subject, endpoint, &passed, now);
        }
    }
}

#[cfg(test)]
mod tests;
