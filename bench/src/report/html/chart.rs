// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Bar charts. Each bar is an SVG whose places are percentages, so that it grows with the page
//! and its text doesn't.

use super::super::{Of, Row, Table, form};
use super::{Text, put};
use crate::lane::STILE;

/// From where on the largest bar hides the others: then the scale is logarithmic.
const LARGE: f64 = 20.0;

/// One chart for each unit of a table.
pub(super) fn charts(page: &mut String, table: &Table) {
    let mut units: Vec<&str> = Vec::new();
    for row in &table.rows {
        if !units.contains(&row.unit.as_str()) {
            units.push(&row.unit);
        }
    }
    for unit in units {
        chart(page, table, unit);
    }
}

fn chart(page: &mut String, table: &Table, unit: &str) {
    let of_unit = |row: &&Row| row.unit == unit;
    let all = Scale::of(table.rows.iter().filter(of_unit).map(|row| row.median));
    let groups: Vec<Vec<&Row>> = table
        .groups()
        .map(|group| group.iter().filter(of_unit).collect::<Vec<_>>())
        .filter(|rows| !rows.is_empty())
        .collect();
    // Where only the groups are far apart, each has a scale of its own, and can be linear.
    let own: Vec<Scale> = groups
        .iter()
        .map(|rows| Scale::of(rows.iter().map(|row| row.median)))
        .collect();
    let apart =
        all.log && groups.iter().all(|rows| rows.len() > 1) && own.iter().all(|scale| !scale.log);
    // Where nobody is beside another one, the bars are called by what was done.
    let flat = groups.len() > 1 && groups.iter().all(|rows| rows.len() == 1);
    let better = if unit == "1/s" { "longer" } else { "shorter" };
    let kind = match (apart, all.log) {
        (true, _) => "; each on a scale of its own",
        (false, true) => "; logarithmic scale",
        (false, false) => "",
    };
    put(
        page,
        format_args!(
            "<figure{}>\n<figcaption>Medians; {better} is better{kind}</figcaption>\n",
            if flat { " class=\"flat\"" } else { "" }
        ),
    );
    for (rows, own) in groups.iter().zip(&own) {
        let scale = if apart { own } else { &all };
        if let (false, Some(first)) = (flat, rows.first()) {
            put(page, format_args!("<h3>{}</h3>\n", Text(&first.what)));
        }
        for row in rows {
            bar(
                page,
                table,
                row,
                if flat { &row.what } else { &row.who },
                scale,
            );
        }
        if apart {
            axis(page, scale, unit);
        }
    }
    if !apart {
        axis(page, &all, unit);
    }
    page.push_str("</figure>\n");
}

fn bar(page: &mut String, table: &Table, row: &Row, name: &str, scale: &Scale) {
    let is_baseline = |other: &Row| {
        other
            .ratio
            .as_ref()
            .is_some_and(|ratio| ratio.against == row.id)
    };
    let class = if table.rows.iter().any(is_baseline) {
        "base"
    } else if row.who == STILE || table.rows.iter().all(|row| row.who != STILE) {
        // Without the agent's name, all rows are parts of it.
        "own"
    } else {
        "peer"
    };
    let at = scale.place(row.median);
    let amount = form::amount(row.median, &row.unit);
    let (what, who) = (Text(&row.what), Text(&row.who));
    put(
        page,
        format_args!(
            "<div class=\"row {class}\"><span class=\"who\">{}</span><span class=\"track\">\
             <svg role=\"img\"><title>{what}, {who}: {amount}</title>",
            Text(name)
        ),
    );
    for (tick, _) in scale.ticks(&row.unit) {
        line(page, "grid", tick);
    }
    put(
        page,
        format_args!(
            "<rect width=\"{:.2}%\" height=\"100%\" rx=\"2\"/>",
            at * 100.0
        ),
    );
    if let Some(goal) = goal(table, row) {
        line(page, "goal", scale.place(goal));
    }
    put(
        page,
        format_args!("</svg><span class=\"value\" style=\"--at:{at:.4}\">{amount}"),
    );
    if let Some(ratio) = &row.ratio {
        put(page, format_args!(" <b>{}</b>", form::times(ratio.value)));
    }
    match row.meets_goal() {
        Some(true) => page.push_str(" <i class=\"met\">✓</i>"),
        Some(false) => page.push_str(" <i class=\"unmet\">✗</i>"),
        None => {}
    }
    page.push_str("</span></span></div>\n");
}

/// The goal of a row as one for its median.
fn goal(table: &Table, row: &Row) -> Option<f64> {
    let goal = row.goal.as_ref()?;
    match goal.of {
        Of::Median => Some(goal.value),
        Of::P99 => None,
        Of::Ratio => {
            let against = &row.ratio.as_ref()?.against;
            let base = table.rows.iter().find(|row| row.id == *against)?;
            Some(base.median * goal.value)
        }
    }
}

fn line(page: &mut String, class: &str, at: f64) {
    let at = at * 100.0;
    put(
        page,
        format_args!(
            "<line class=\"{class}\" x1=\"{at:.2}%\" x2=\"{at:.2}%\" y1=\"0\" y2=\"100%\"/>"
        ),
    );
}

fn axis(page: &mut String, scale: &Scale, unit: &str) {
    page.push_str(
        "<div class=\"row axis\" aria-hidden=\"true\"><span class=\"who\"></span>\
         <span class=\"track\"><svg>",
    );
    for (at, label) in scale.ticks(unit) {
        let at = at * 100.0;
        put(
            page,
            format_args!("<text x=\"{at:.2}%\" y=\"12\">{label}</text>"),
        );
    }
    page.push_str("</svg></span></div>\n");
}

/// From numbers to places between 0 and 1.
#[derive(Debug)]
struct Scale {
    low: f64,
    high: f64,
    log: bool,
}

impl Scale {
    fn of(numbers: impl Iterator<Item = f64>) -> Self {
        let numbers: Vec<f64> = numbers.filter(|number| number.is_finite()).collect();
        let high = numbers.iter().copied().fold(0.0, f64::max);
        let low = numbers.iter().copied().fold(f64::INFINITY, f64::min);
        if high <= 0.0 {
            return Self {
                low: 0.0,
                high: 1.0,
                log: false,
            };
        }
        let log = low > 0.0 && high / low > LARGE;
        // The shortest bar is still one.
        let low = if log {
            10f64.powf((low * 0.7).log10().floor())
        } else {
            0.0
        };
        Self { low, high, log }
    }

    fn place(&self, number: f64) -> f64 {
        let place = if self.log {
            (number / self.low).ln() / (self.high / self.low).ln()
        } else {
            number / self.high
        };
        // f64::clamp keeps a NaN.
        if place.is_finite() {
            place.clamp(0.0, 1.0)
        } else {
            0.0
        }
    }

    /// Round numbers, each with its place.
    fn ticks(&self, unit: &str) -> Vec<(f64, String)> {
        let numbers: Vec<f64> = if self.log {
            let decades = (self.high / self.low).log10();
            let step = 10f64.powf((decades / 6.0).ceil().max(1.0));
            std::iter::successors(Some(self.low), |last| Some(last * step))
                .take_while(|number| *number <= self.high * 1.001)
                .collect()
        } else {
            let large = unit == "B" && self.high > 1024.0;
            let base = if large { 1024.0 } else { 1.0 };
            let step = round_step(self.high / 5.0 / base) * base;
            (0..=10)
                .map(|at| f64::from(at) * step)
                .take_while(|number| *number <= self.high * 1.001)
                .collect()
        };
        let label = |number: f64| {
            let unit = if number == 0.0 { "" } else { unit };
            (self.place(number), form::amount(number, unit))
        };
        numbers.into_iter().map(label).collect()
    }
}

/// The next 1, 2 or 5 with zeros.
fn round_step(number: f64) -> f64 {
    let power = 10f64.powf(number.log10().floor());
    [1.0, 2.0, 5.0]
        .map(|step| step * power)
        .into_iter()
        .find(|step| *step >= number * 0.999)
        .unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::super::super::sample;
    use super::*;

    fn scale(numbers: &[f64]) -> Scale {
        Scale::of(numbers.iter().copied())
    }

    #[test]
    fn numbers_of_one_size_start_at_zero() {
        let scale = scale(&[4.0, 10.0]);
        assert!(!scale.log);
        assert_eq!((scale.place(0.0), scale.place(10.0)), (0.0, 1.0));
        let labels = scale.ticks("count").into_iter().map(|(_, label)| label);
        assert_eq!(labels.collect::<Vec<_>>(), ["0", "2", "4", "6", "8", "10"]);
    }

    #[test]
    fn numbers_of_many_sizes_are_on_a_logarithmic_scale_and_each_has_a_bar() {
        let scale = scale(&[10.0, 900.0, 40_000.0]);
        assert!(scale.log);
        assert!(scale.place(10.0) > 0.1 && scale.place(10.0) < scale.place(900.0));
        assert_eq!(scale.place(40_000.0), 1.0);
    }

    #[test]
    fn nothing_and_less_than_nothing_have_no_bar() {
        assert_eq!(scale(&[0.0, 0.0]).place(0.0), 0.0);
        let scale = scale(&[-3.0, 50.0, f64::NAN]);
        assert_eq!((scale.place(-3.0), scale.place(f64::NAN)), (0.0, 0.0));
    }

    #[test]
    fn groups_that_are_far_apart_have_scales_of_their_own() {
        let mut table = sample::report().tables.swap_remove(0);
        let mut page = String::new();
        charts(&mut page, &table);
        assert_eq!(page.matches("axis").count(), 1, "{page}");
        for row in table.rows.iter_mut().take(3) {
            row.median *= 1000.0;
        }
        page.clear();
        charts(&mut page, &table);
        assert!(page.contains("each on a scale of its own"), "{page}");
        assert_eq!(page.matches("axis").count(), 4, "{page}");
    }

    #[test]
    fn rows_without_others_beside_them_are_called_by_what_was_done() {
        let mut page = String::new();
        charts(&mut page, &sample::report().tables[3]);
        assert!(
            page.contains("<span class=\"who\">approval to connected</span>"),
            "{page}"
        );
    }

    #[test]
    fn the_baseline_stile_and_the_others_are_told_apart() {
        let table = sample::report().tables.swap_remove(0);
        let mut page = String::new();
        charts(&mut page, &table);
        for class in ["row base", "row own", "row peer"] {
            assert_eq!(page.matches(class).count(), 4, "{class}");
        }
    }

    #[test]
    fn steps_are_round() {
        assert_eq!(
            [0.9, 1.1, 30.0, 60.0].map(round_step),
            [1.0, 2.0, 50.0, 100.0]
        );
    }
}
