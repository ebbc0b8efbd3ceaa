// SPDX-License-Identifier: Apache-2.0 OR MIT
use super::*;

const GOOD: &str = "stile-guest: lacks MPTCP\r
stile-guest: suite gate\r
test a::b ... ok\r
test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\r
stile-guest: suite bypass\r
test c ... cannot run here: no MPTCP\r
test c ... ok\r
test d ... ok\r
test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\r
2 passed, 0 failed\r
stile-guest: success\r
";

fn report(text: &str) -> Report {
    let mut report = Report::default();
    for line in text.lines() {
        report.line(line);
    }
    report
}

fn problems_of(text: &str, console: &str, ended: Ended) -> Vec<String> {
    let suites = ["gate".to_owned(), "bypass".to_owned()];
    report(text).problems(&suites, console, ended)
}

fn problems(text: &str) -> Vec<String> {
    problems_of(text, "", Ended::ByItself)
}

#[test]
fn a_guest_that_says_so_has_passed() {
    assert_eq!(problems(GOOD), [""; 0]);
    let report = report(GOOD);
    assert!(report.lacks.contains("MPTCP"));
    let outcome = |suite: &str, name: &str| &report.tests[&(suite.to_owned(), name.to_owned())];
    assert_eq!(outcome("gate", "a::b"), &Outcome::Passed);
    assert_eq!(
        outcome("bypass", "c"),
        &Outcome::CannotRun("no MPTCP".to_owned())
    );
    assert_eq!(report.count(|outcome| *outcome == Outcome::Passed), 2);
}

#[test]
fn a_guest_that_ends_without_a_word_has_failed() {
    let silent = GOOD.replace("stile-guest: success", "");
    assert_eq!(problems(&silent), ["it ended without a word"]);
    assert_eq!(problems("").len(), 3);
}

#[test]
fn a_panic_of_the_kernel_is_a_failure_whatever_else_was_said() {
    let console = "[    9.1] Kernel panic - not syncing: Oops\n";
    let said = ["its kernel says: [    9.1] Kernel panic - not syncing: Oops"];
    assert_eq!(problems_of(GOOD, console, Ended::ByItself), said);
}

#[test]
fn a_guest_that_hangs_has_failed() {
    let cut = GOOD.split("test d").next().unwrap();
    let problems = problems_of(cut, "", Ended::Hung(60));
    let said = [
        "it hung, and was ended after 60 s",
        "bypass: it ended without a summary",
        "it ended without a word",
    ];
    assert_eq!(problems, said);
}

#[test]
fn a_suite_without_a_summary_is_a_failure_even_after_success() {
    let cut = GOOD.replace("test result: ok. 2", "test res");
    assert_eq!(problems(&cut), ["bypass: it ended without a summary"]);
}

#[test]
fn a_failed_test_is_named_even_if_the_guest_is_pleased() {
    let bad = GOOD.replace("test d ... ok", "test d ... FAILED");
    assert_eq!(problems(&bad), ["bypass: d"]);
    let bad = bad.replace("stile-guest: success", "stile-guest: failure");
    assert_eq!(problems(&bad), ["bypass: d"]);
    let odd = GOOD.replace("stile-guest: success", "stile-guest: failure");
    assert_eq!(problems(&odd), ["it says that it failed"]);
}

#[test]
fn tests_that_all_cannot_run_are_no_success() {
    let none = GOOD
        .replace("test a::b ... ok", "")
        .replace("test d ... ok", "");
    assert_eq!(problems(&none), ["no test passed"]);
}
