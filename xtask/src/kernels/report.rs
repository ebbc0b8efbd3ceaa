// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What came of a guest, from what it said. It passes only if it said so, in so many words; a
//! guest that says nothing, stops halfway or contradicts itself has failed.

use std::collections::{BTreeMap, BTreeSet};

use super::protocol;
use crate::test::libtest;

/// What came of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Passed,
    /// Why.
    CannotRun(String),
    Failed,
}

/// How a guest's machine ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// By itself.
    ByItself,
    /// It took too long, and was ended after so many seconds.
    Hung(u64),
}

/// What a guest has said.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// By suite and name.
    pub(super) tests: BTreeMap<(String, String), Outcome>,
    /// What its kernel lacks.
    pub(super) lacks: BTreeSet<String>,
    suite: String,
    /// Suites whose harness has printed a summary.
    summaries: BTreeSet<String>,
    end: Option<bool>,
}

impl Report {
    /// Takes a line in.
    pub(super) fn line(&mut self, line: &str) {
        match protocol::parse(line) {
            Some(protocol::Line::Lacks(feature)) => {
                self.lacks.insert(feature.to_owned());
            }
            Some(protocol::Line::Suite(name)) => name.clone_into(&mut self.suite),
            Some(protocol::Line::End(success)) => self.end = Some(success),
            None => self.test_line(line),
        }
    }

    fn test_line(&mut self, line: &str) {
        match libtest::parse(line) {
            Some(libtest::Line::Summary(_)) => {
                self.summaries.insert(self.suite.clone());
            }
            Some(libtest::Line::Passed(name)) => self.note(name, Outcome::Passed),
            Some(libtest::Line::Failed(name)) => self.note(name, Outcome::Failed),
            Some(libtest::Line::CannotRun(text) | libtest::Line::Ignored(text)) => {
                let (name, why) = text.split_once(" ... ").unwrap_or((text, ""));
                let why = why.trim_start_matches("cannot run here: ");
                self.note(name, Outcome::CannotRun(why.to_owned()));
            }
            None => {}
        }
    }

    /// The harness says of a test that can't run that it passed, and a failure outdoes all.
    fn note(&mut self, name: &str, outcome: Outcome) {
        let key = (self.suite.clone(), name.to_owned());
        match self.tests.get(&key) {
            Some(Outcome::Failed) => {}
            Some(Outcome::CannotRun(_)) if outcome == Outcome::Passed => {}
            _ => {
                self.tests.insert(key, outcome);
            }
        }
    }

    /// How many tests there are of an outcome that this is true for.
    pub(super) fn count(&self, is: impl Fn(&Outcome) -> bool) -> usize {
        self.tests.values().filter(|outcome| is(outcome)).count()
    }

    /// Why the guest has not passed; nothing if it has. `suites` had to run, `console` is what
    /// its kernel wrote.
    pub(super) fn problems(&self, suites: &[String], console: &str, ended: Ended) -> Vec<String> {
        let failed = |(key, outcome): (&(String, String), &Outcome)| {
            (*outcome == Outcome::Failed).then(|| format!("{}: {}", key.0, key.1))
        };
        let mut problems: Vec<String> = self.tests.iter().filter_map(failed).collect();
        if let Some(line) = console.lines().find(|line| is_panic(line)) {
            problems.push(format!("its kernel says: {}", line.trim()));
        }
        if let Ended::Hung(seconds) = ended {
            problems.push(format!("it hung, and was ended after {seconds} s"));
        }
        for suite in suites {
            if !self.summaries.contains(suite) {
                problems.push(format!("{suite}: it ended without a summary"));
            }
        }
        match self.end {
            Some(true) if self.count(|outcome| *outcome == Outcome::Passed) == 0 => {
                problems.push("no test passed".to_owned());
            }
            Some(true) => {}
            // If a test failed, that is why.
            Some(false) if problems.is_empty() => {
                problems.push("it says that it failed".to_owned())
            }
            Some(false) => {}
            None => problems.push("it ended without a word".to_owned()),
        }
        problems
    }
}

/// What the kernel prints when it can't go on, or should not have.
fn is_panic(line: &str) -> bool {
    ["Kernel panic", "Oops", "BUG:"]
        .iter()
        .any(|sign| line.contains(sign))
}

#[cfg(test)]
mod tests;
