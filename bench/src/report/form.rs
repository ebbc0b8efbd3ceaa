// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Numbers as people read them.

use super::{Bound, Goal, Of, Ratio, Row};

/// Units of time, each with how many of it make the next one.
const TIMES: [(&str, f64); 4] = [("ns", 1e3), ("µs", 1e3), ("ms", 1e3), ("s", f64::INFINITY)];
const SIZES: [(&str, f64); 4] = [
    ("B", 1024.0),
    ("KiB", 1024.0),
    ("MiB", 1024.0),
    ("GiB", f64::INFINITY),
];
const RATES: [(&str, f64); 3] = [("/s", 1e3), ("k/s", 1e3), ("M/s", f64::INFINITY)];

/// An amount with its unit, in the step of the unit that keeps it short: `4,552` `ns` is `4.55 µs`.
pub(crate) fn amount(number: f64, unit: &str) -> String {
    if !number.is_finite() {
        return "?".to_owned();
    }
    let unit = if unit == "1/s" { "/s" } else { unit };
    let scales = [&TIMES[..], &SIZES[..], &RATES[..]];
    let found = scales.into_iter().find_map(|steps| {
        let at = steps.iter().position(|(name, _)| *name == unit)?;
        Some((steps, at))
    });
    let Some((steps, mut at)) = found else {
        return match unit {
            "" | "count" => digits(number),
            other => format!("{} {other}", digits(number)),
        };
    };
    let mut number = number;
    while at > 0 && number != 0.0 && number.abs() < 0.9995 {
        at -= 1;
        number *= steps[at].1;
    }
    // What would be shown as 1,000 is one of the next.
    while number.abs() >= steps[at].1 * 0.9995 {
        number /= steps[at].1;
        at += 1;
    }
    let name = steps[at].0;
    let space = if name.ends_with("/s") { "" } else { " " };
    format!("{}{space}{name}", digits(number))
}

/// Three digits that count, and thousands apart.
pub(crate) fn digits(number: f64) -> String {
    let size = number.abs();
    let decimals = match size {
        _ if size >= 99.95 || number == number.trunc() => 0,
        _ if size >= 9.995 => 1,
        _ if size >= 0.9995 => 2,
        _ => 3,
    };
    let text = format!("{number:.decimals$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut apart = String::new();
    for (at, digit) in whole.chars().enumerate() {
        let left = whole.len() - at;
        let first = apart.is_empty() || apart == "-";
        if left % 3 == 0 && !first {
            apart.push(',');
        }
        apart.push(digit);
    }
    apart + rest
}

/// `×1.042`, as exact as a ratio near 1 has to be.
pub(crate) fn times(ratio: f64) -> String {
    match ratio {
        _ if !ratio.is_finite() => "×?".to_owned(),
        _ if ratio < 10.0 => format!("×{ratio:.3}"),
        _ => format!("×{}", digits(ratio)),
    }
}

/// The interval of a ratio: `1.031–1.055`; empty if there is none.
pub(crate) fn interval(ratio: &Ratio) -> String {
    if !ratio.low.is_finite() || !ratio.high.is_finite() {
        return String::new();
    }
    let end = |number| times(number).replace('×', "");
    format!("{}–{}", end(ratio.low), end(ratio.high))
}

/// `≤ ×1.05`, `≤ 500 µs`, `p99 ≤ 2 ms`.
pub(crate) fn goal(goal: &Goal, unit: &str) -> String {
    let sign = match goal.bound {
        Bound::AtMost => "≤",
        Bound::AtLeast => "≥",
    };
    match goal.of {
        Of::Ratio => format!("{sign} ×{}", goal.value),
        Of::Median => format!("{sign} {}", amount(goal.value, unit)),
        Of::P99 => format!("p99 {sign} {}", amount(goal.value, unit)),
    }
}

/// The number that the goal of a row is about.
pub(crate) fn reached(row: &Row, goal: &Goal) -> String {
    let number = match goal.of {
        Of::Ratio => row.ratio.as_ref().map(|ratio| times(ratio.value)),
        Of::Median => Some(amount(row.median, &row.unit)),
        Of::P99 => row.p99.map(|p99| amount(p99, &row.unit)),
    };
    number.unwrap_or_else(|| "not measured".to_owned())
}

/// When a run began, in UTC.
pub(crate) fn date(seconds: u64) -> String {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .map_or_else(
            || format!("{seconds} s after 1970"),
            |time| time.strftime("%-d %B %Y, %H:%M UTC").to_string(),
        )
}

/// How long a run took.
pub(crate) fn duration(seconds: u64) -> String {
    match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_told_in_the_step_that_keeps_it_short() {
        for (number, unit, expected) in [
            (378.0, "ns", "378 ns"),
            (4552.0, "ns", "4.55 µs"),
            (999.8, "ns", "1.00 µs"),
            (0.0, "ms", "0 ms"),
            (0.3, "ms", "300 µs"),
            (1500.0, "ms", "1.50 s"),
            (75_000.0, "s", "75,000 s"),
            (3_120_000.0, "1/s", "3.12M/s"),
            (2048.0, "KiB", "2 MiB"),
            (1_234_567.0, "count", "1,234,567"),
            (1234.6, "count", "1,235"),
            (7.0, "rows", "7 rows"),
            (f64::NAN, "ns", "?"),
        ] {
            assert_eq!(amount(number, unit), expected, "{number} {unit}");
        }
    }

    #[test]
    fn thousands_stand_apart_in_negative_numbers_too() {
        assert_eq!(digits(-123_456.0), "-123,456");
        assert_eq!(digits(-5.0), "-5");
    }

    #[test]
    fn a_ratio_near_one_has_three_decimals() {
        assert_eq!(times(1.0423), "×1.042");
        assert_eq!(times(92.41), "×92.4");
        assert_eq!(times(1250.0), "×1,250");
    }

    #[test]
    fn a_date_is_one_of_the_calendar() {
        assert_eq!(date(1_700_000_000), "14 November 2023, 22:13 UTC");
    }
}
