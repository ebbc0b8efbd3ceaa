// SPDX-License-Identifier: Apache-2.0 OR MIT

use super::super::sample::{self, ratio, row};
use super::*;

const ID: &str = "talk/stile";

/// A report with one guarded row.
fn report(unit: &str, value: f64, around: f64) -> Report {
    let mut one = row(ID, "talk", unit, 100.0);
    one.ratio = Some(ratio("talk/no agent", value, around, true));
    let mut report = sample::report();
    report.tables = vec![Table {
        id: "talk".to_owned(),
        title: String::new(),
        note: String::new(),
        rows: vec![one],
    }];
    report
}

/// A report of counted instructions.
fn counted(count: f64) -> Report {
    let mut report = report("count", 1.0, 0.0);
    report.tables[0].id = INSTRUCTIONS.to_owned();
    report.tables[0].rows[0].ratio = None;
    report.tables[0].rows[0].median = count;
    report
}

fn verdict(before: &Report, now: &Report) -> Verdict {
    compare(&Baseline::of(before), now).unwrap().rows[0].verdict
}

#[test]
fn a_ratio_that_is_a_fifth_higher_is_worse() {
    let before = report("ns", 1.0, 0.01);
    let comparison = compare(&Baseline::of(&before), &report("ns", 1.2, 0.01)).unwrap();
    assert!(!comparison.is_fine());
    let text = comparison.text(&before);
    let expected = "is worse: it was 1.000, is 1.200 [1.190, 1.210], and may be 1.100";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn a_ratio_within_a_tenth_is_the_same() {
    let before = report("ns", 1.0, 0.01);
    for value in [0.92, 1.0, 1.09] {
        assert_eq!(
            verdict(&before, &report("ns", value, 0.005)),
            Verdict::Same,
            "{value}"
        );
    }
}

#[test]
fn a_ratio_whose_interval_reaches_below_the_limit_is_the_same() {
    let before = report("ns", 1.0, 0.01);
    assert_eq!(verdict(&before, &report("ns", 1.2, 0.11)), Verdict::Same);
    assert_eq!(verdict(&before, &report("ns", 1.2, 0.09)), Verdict::Worse);
}

#[test]
fn a_ratio_that_was_noisy_may_move_as_much_as_its_interval_is_wide() {
    let noisy = report("ns", 1.0, 0.15);
    assert_eq!(verdict(&noisy, &report("ns", 1.25, 0.01)), Verdict::Same);
    assert_eq!(verdict(&noisy, &report("ns", 1.35, 0.01)), Verdict::Worse);
}

#[test]
fn a_rate_is_worse_when_it_falls_and_better_when_it_rises() {
    let before = report("1/s", 1.0, 0.01);
    assert_eq!(verdict(&before, &report("1/s", 0.8, 0.01)), Verdict::Worse);
    assert_eq!(verdict(&before, &report("1/s", 0.95, 0.01)), Verdict::Same);
    assert_eq!(verdict(&before, &report("1/s", 1.3, 0.01)), Verdict::Better);
    let comparison = compare(&Baseline::of(&before), &report("1/s", 0.8, 0.01)).unwrap();
    assert!((comparison.rows[0].may_be - 1.0 / 1.1).abs() < 1e-9);
}

#[test]
fn what_is_better_is_fine_and_told() {
    let before = report("ns", 1.0, 0.01);
    let now = report("ns", 0.8, 0.01);
    let comparison = compare(&Baseline::of(&before), &now).unwrap();
    assert!(comparison.is_fine());
    assert!(
        comparison.text(&now).contains("is better"),
        "{comparison:?}"
    );
}

#[test]
fn a_guarded_row_that_the_report_lacks_is_an_error_with_the_reasons_at_hand() {
    let before = report("ns", 1.0, 0.01);
    let now = sample::report();
    let comparison = compare(&Baseline::of(&before), &now).unwrap();
    assert!(!comparison.is_fine());
    let text = comparison.text(&now);
    assert!(
        text.contains("talk/stile is guarded, and the report doesn't have it"),
        "{text}"
    );
    assert!(text.contains("not measured: Tetragon"), "{text}");
}

#[test]
fn a_row_that_is_no_longer_steady_is_missing() {
    let before = report("ns", 1.0, 0.01);
    let mut now = report("ns", 1.0, 0.01);
    now.tables[0].rows[0].ratio.as_mut().unwrap().guarded = false;
    assert_eq!(compare(&Baseline::of(&before), &now).unwrap().missing, [ID]);
}

#[test]
fn a_new_steady_row_is_told_and_is_no_error() {
    let before = report("ns", 1.0, 0.01);
    let mut now = report("ns", 1.0, 0.01);
    now.tables.extend(sample::report().tables);
    let comparison = compare(&Baseline::of(&before), &now).unwrap();
    assert!(comparison.is_fine());
    assert!(
        comparison.new.contains(&"reply/stile".to_owned()),
        "{comparison:?}"
    );
    assert!(
        !comparison.new.contains(&"reply/HAProxy".to_owned()),
        "it isn't steady"
    );
}

#[test]
fn instructions_are_held_against_their_count() {
    let before = counted(1000.0);
    assert_eq!(verdict(&before, &counted(1090.0)), Verdict::Same);
    assert_eq!(verdict(&before, &counted(1110.0)), Verdict::Worse);
    assert_eq!(verdict(&before, &counted(800.0)), Verdict::Better);
}

#[test]
fn counts_of_other_tables_are_not_guarded() {
    let mut other = counted(1000.0);
    other.tables[0].id = "idle".to_owned();
    assert!(Baseline::of(&other).rows.is_empty());
}

#[test]
fn a_ratio_of_too_few_rounds_for_an_interval_counts_by_its_value() {
    let before = report("ns", 1.0, f64::NAN);
    assert_eq!(
        verdict(&before, &report("ns", 1.2, f64::NAN)),
        Verdict::Worse
    );
    assert_eq!(
        verdict(&before, &report("ns", 1.05, f64::NAN)),
        Verdict::Same
    );
}

#[test]
fn reports_of_another_build_are_not_compared() {
    let before = report("ns", 1.0, 0.01);
    let mut now = report("ns", 1.0, 0.01);
    now.machine.build = "debug".to_owned();
    let error = compare(&Baseline::of(&before), &now).unwrap_err();
    assert!(error.to_string().contains("of a debug build"), "{error}");
}

#[test]
fn a_baseline_that_guards_nothing_is_no_baseline() {
    let mut empty = report("ns", 1.0, 0.01);
    empty.tables.clear();
    assert!(compare(&Baseline::of(&empty), &report("ns", 1.0, 0.01)).is_err());
    let dir = tempfile::tempdir().unwrap();
    assert!(update(&empty, &dir.path().join("baseline.json")).is_err());
}

#[test]
fn an_updated_baseline_is_read_back_and_finds_its_own_report_fine() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("baseline.json");
    let report = sample::report();
    assert_eq!(update(&report, &path).unwrap(), 5, "the steady rows");
    let baseline = read(&path).unwrap();
    assert_eq!(baseline, Baseline::of(&report));
    assert!(compare(&baseline, &report).unwrap().is_fine());
}

/// Of sections that were not measured nothing is missing; of those that were, everything is.
#[test]
fn of_a_part_only_what_it_has_is_compared() {
    let mut baseline = Baseline::of(&report("ns", 1.0, 0.01));
    let number = baseline.rows[ID];
    baseline.rows.insert("talk/other".to_owned(), number);
    baseline.rows.insert("talking/other".to_owned(), number);
    let now = report("ns", 1.0, 0.01);
    let comparison = compare(&baseline.within(&now), &now).unwrap();
    assert_eq!(comparison.missing, ["talk/other"]);
}
