// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Keeps count of what passed, failed and could not run.

use std::process::{ExitCode, ExitStatus};

use super::libtest::Counts;
use super::suites::Suite;
use crate::say;

/// The count over all suites.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    counts: Counts,
    failures: Vec<String>,
    not_run: Vec<String>,
    /// Of those that the harness counts as passed.
    cannot_run: u64,
    blocked: bool,
}

impl Tally {
    /// A harness has printed its summary.
    pub(super) fn add(&mut self, counts: Counts) {
        self.counts.passed += counts.passed;
        self.counts.failed += counts.failed;
    }

    /// A test has failed; its summary counts it.
    pub(super) fn failed(&mut self, suite: &Suite, test: &str) {
        self.failures.push(format!("{suite}: {test}"));
    }

    /// A test says itself that it doesn't run here.
    pub(super) fn ignored(&mut self, suite: &Suite, test: &str) {
        self.not_run.push(format!("{suite}: {test}"));
    }

    /// A test has found out that it can't run here. The harness will count it as passed.
    pub(super) fn cannot_run(&mut self, suite: &Suite, test: &str) {
        self.cannot_run += 1;
        self.not_run.push(format!("{suite}: {test}"));
    }

    /// A suite could not run for a reason that has a remedy: that is a failure too.
    pub(super) fn blocked(&mut self, suite: &Suite, why: &str) {
        self.blocked = true;
        self.not_run.push(format!("{suite}: {why}"));
    }

    /// A suite has ended otherwise than by failing tests: it crashed, hung or didn't build.
    pub(super) fn broken(&mut self, suite: &Suite, why: &str) {
        self.counts.failed += 1;
        self.failures.push(format!("{suite}: {why}"));
    }

    /// A suite has ended. `summaries` is how many harnesses have printed one.
    pub(super) fn finished(&mut self, suite: &Suite, summaries: usize, status: ExitStatus) {
        let explained = self
            .failures
            .iter()
            .any(|failure| failure.starts_with(&format!("{suite}: ")));
        if !status.success() && !explained {
            self.broken(suite, &format!("ended with {status}"));
        } else if summaries == 0 {
            self.broken(suite, "ended without a summary");
        }
    }

    /// Prints the closing lines. Success takes at least one test, and no failure.
    pub(crate) fn close(&self) -> ExitCode {
        for name in &self.not_run {
            say::note(format!("not run: {name}"));
        }
        for name in &self.failures {
            say::failed(name);
        }
        let Counts { failed, .. } = self.counts;
        let passed = self.passed();
        if passed + failed == 0 {
            say::failed("no test was run");
        }
        println!("{passed} passed, {failed} failed");
        if self.is_success() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }

    fn passed(&self) -> u64 {
        self.counts.passed.saturating_sub(self.cannot_run)
    }

    fn is_success(&self) -> bool {
        self.counts.failed == 0 && self.failures.is_empty() && !self.blocked && self.passed() > 0
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn passed(passed: u64) -> Tally {
        let mut tally = Tally::default();
        tally.add(Counts { passed, failed: 0 });
        tally
    }

    #[test]
    fn zero_tests_are_a_failure() {
        assert!(!passed(0).is_success());
        assert!(passed(1).is_success());
    }

    #[test]
    fn a_harness_that_dies_halfway_is_a_failure() {
        let mut tally = passed(5);
        tally.finished(&Suite::Unit, 1, ExitStatus::from_raw(9));
        assert!(!tally.is_success());
        let mut tally = passed(5);
        tally.finished(&Suite::Unit, 0, ExitStatus::from_raw(0));
        assert!(!tally.is_success());
    }

    #[test]
    fn a_test_that_cannot_run_has_not_passed() {
        let mut tally = passed(1);
        tally.cannot_run(&Suite::Gate, "a ... cannot run here: no MPTCP");
        assert!(!tally.is_success());
    }

    #[test]
    fn a_failed_test_is_counted_once() {
        let mut tally = Tally::default();
        tally.failed(&Suite::Gate, "a");
        tally.add(Counts {
            passed: 1,
            failed: 1,
        });
        tally.finished(&Suite::Gate, 1, ExitStatus::from_raw(101 << 8));
        assert_eq!(tally.counts.failed, 1);
        assert!(!tally.is_success());
    }

    #[test]
    fn a_suite_without_root_is_a_failure_and_an_ignored_test_is_not() {
        let mut tally = passed(1);
        tally.ignored(&Suite::Unit, "x ... ignored, needs a VM");
        assert!(tally.is_success());
        tally.blocked(&Suite::Unit, "needs root");
        assert!(!tally.is_success());
    }
}
