// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads what Rust's test harness prints.

/// How the reason of an ignored test begins that is the child process of another one.
const NOT_A_TEST: &str = "ignored, not a test";

/// What one run of the harness counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

/// A line that says something to us.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// `test result: ok. 3 passed; 0 failed; …`
    Summary(Counts),
    /// `test a::b ... ok`
    Passed(&'a str),
    /// `test a::b ... FAILED`
    Failed(&'a str),
    /// `test a::b ... ignored, why`: the name with the reason.
    Ignored(&'a str),
    /// `test a::b ... cannot run here: why`: the name with the reason. It is no result: the
    /// harness counts the test as passed.
    CannotRun(&'a str),
}

/// Reads one line; `None` for any other.
pub(crate) fn parse(line: &str) -> Option<Line<'_>> {
    let rest = line.trim_end().strip_prefix("test ")?;
    if let Some(result) = rest.strip_prefix("result: ") {
        return Some(Line::Summary(Counts {
            passed: count(result, " passed")?,
            failed: count(result, " failed")?,
        }));
    }
    let (name, outcome) = rest.split_once(" ... ")?;
    if outcome == "ok" {
        return Some(Line::Passed(name));
    }
    if outcome.starts_with("FAILED") {
        return Some(Line::Failed(name));
    }
    if outcome.starts_with("cannot run here: ") {
        return Some(Line::CannotRun(rest));
    }
    // A child process that a test starts from its own binary is no test that could have run.
    let is_test = outcome.starts_with("ignored") && !outcome.contains(NOT_A_TEST);
    is_test.then_some(Line::Ignored(rest))
}

/// The number before a word, as in `ok. 3 passed; 0 failed`.
fn count(result: &str, word: &str) -> Option<u64> {
    result
        .split(&['.', ';'][..])
        .find_map(|part| part.trim().strip_suffix(word))?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_counted() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; \
            0 filtered out; finished in 0.01s\n";
        let counts = Counts {
            passed: 12,
            failed: 3,
        };
        assert_eq!(parse(line), Some(Line::Summary(counts)));
    }

    #[test]
    fn passed_failed_and_ignored_tests_are_named() {
        assert_eq!(parse("test a::b ... ok\n"), Some(Line::Passed("a::b")));
        assert_eq!(parse("test a::b ... FAILED\n"), Some(Line::Failed("a::b")));
        assert_eq!(
            parse("test c ... ignored, needs a VM\n"),
            Some(Line::Ignored("c ... ignored, needs a VM"))
        );
    }

    #[test]
    fn a_test_that_cannot_run_is_named_with_its_reason() {
        let line = "test a::b ... cannot run here: no MPTCP\n";
        let named = "a::b ... cannot run here: no MPTCP";
        assert_eq!(parse(line), Some(Line::CannotRun(named)));
    }

    #[test]
    fn the_child_process_of_a_test_is_not_named() {
        assert_eq!(parse("test c ... ignored, not a test: x kills it\n"), None);
    }

    #[test]
    fn anything_else_says_nothing() {
        assert_eq!(parse("test result: nonsense\n"), None);
        assert_eq!(parse("testing\n"), None);
        assert_eq!(parse(""), None);
    }
}
