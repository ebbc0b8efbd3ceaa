// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The report as text for a terminal.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use super::{Report, Row, Table, form};

const HEAD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const MET: Style = AnsiColor::Green.on_default().bold();
const UNMET: Style = AnsiColor::Red.on_default().bold();

/// How wide prose may be.
const WIDTH: usize = 100;

/// Prints the report to stdout, coloured only on a terminal.
pub(crate) fn print(report: &Report) {
    anstream::print!("{}", page(report));
}

/// The whole text, coloured.
pub(crate) fn page(report: &Report) -> String {
    let mut text = String::new();
    for table in &report.tables {
        put(&mut text, table);
    }
    goals(&mut text, report);
    if !report.missing.is_empty() {
        let _ = writeln!(text, "\n{HEAD}Not measured{HEAD:#}");
        for missing in &report.missing {
            let line = format!("{}: {}", missing.what, missing.why);
            let _ = writeln!(text, "  - {}", wrapped(&line, 4));
        }
    }
    let machine = &report.machine;
    let line = format!(
        "{}, {}{}; Linux {}, {} × {}, {} of memory, load {:.1} before, {} build",
        form::date(report.started),
        form::duration(report.seconds),
        if report.quick { " (a quick run)" } else { "" },
        machine.kernel,
        machine.cpus,
        machine.processor,
        form::amount(machine.memory as f64, "MiB"),
        machine.load,
        machine.build,
    );
    let _ = writeln!(text, "\n{DIM}{}{DIM:#}", wrapped(&line, 0));
    text
}

/// A column: its heading, and what a row has there. Numbers stand right.
type Column = (&'static str, bool, fn(&Row) -> String);

const COLUMNS: [Column; 6] = [
    ("", false, |row| row.who.clone()),
    ("median", true, |row| form::amount(row.median, &row.unit)),
    ("p99", true, |row| optional(row.p99, &row.unit)),
    ("CPU", true, |row| optional(row.cpu, &row.unit)),
    ("ratio", true, |row| {
        row.ratio
            .as_ref()
            .map_or_else(String::new, |ratio| form::times(ratio.value))
    }),
    ("95 %", false, |row| {
        row.ratio.as_ref().map_or_else(String::new, form::interval)
    }),
];

fn optional(number: Option<f64>, unit: &str) -> String {
    number.map_or_else(String::new, |number| form::amount(number, unit))
}

fn put(text: &mut String, table: &Table) {
    let _ = writeln!(text, "\n{HEAD}{}{HEAD:#}", table.title);
    let _ = writeln!(text, "{DIM}{}{DIM:#}", wrapped(&table.note, 0));
    let columns: Vec<(Column, usize)> = COLUMNS
        .into_iter()
        .filter_map(|column| {
            let widths = table.rows.iter().map(|row| width(&column.2(row)));
            let widest = widths.max().unwrap_or(0);
            // A column that no row fills isn't there.
            (widest > 0).then_some((column, widest.max(width(column.0))))
        })
        .collect();
    let whats = table.rows.iter().map(|row| width(&row.what));
    let first = whats.max().unwrap_or(0);
    let mut head = format!("  {}", " ".repeat(first));
    for ((name, right, _), width) in &columns {
        head += "  ";
        head += &padded(name, *width, *right);
    }
    let _ = writeln!(text, "{DIM}{}{DIM:#}", head.trim_end());
    for group in table.groups() {
        for (at, row) in group.iter().enumerate() {
            let what = if at == 0 { row.what.as_str() } else { "" };
            let mut line = format!("  {}", padded(what, first, false));
            for ((_, right, cell), width) in &columns {
                line += "  ";
                line += &padded(&cell(row), *width, *right);
            }
            if let (Some(goal), met) = (&row.goal, row.meets_goal() == Some(true)) {
                let _ = write!(line, "  {} {}", mark(met), form::goal(goal, &row.unit));
            }
            let _ = writeln!(text, "{}", line.trim_end());
        }
    }
}

fn goals(text: &mut String, report: &Report) {
    let all: Vec<_> = report.goals().collect();
    if all.is_empty() {
        return;
    }
    let met = all.iter().filter(|(_, _, met)| *met).count();
    let _ = writeln!(text, "\n{HEAD}Goals: {met} of {} met{HEAD:#}", all.len());
    for (table, row, met) in all {
        let Some(goal) = &row.goal else { continue };
        let _ = writeln!(
            text,
            "  {} {}: {}, {} {DIM}(goal {}){DIM:#}",
            mark(met),
            table.title,
            row.what,
            form::reached(row, goal),
            form::goal(goal, &row.unit),
        );
    }
}

fn mark(met: bool) -> String {
    if met {
        format!("{MET}✓{MET:#}")
    } else {
        format!("{UNMET}✗{UNMET:#}")
    }
}

/// How many columns a text takes: none of those here is wider than one for each character.
fn width(text: &str) -> usize {
    text.chars().count()
}

fn padded(text: &str, to: usize, right: bool) -> String {
    let space = " ".repeat(to.saturating_sub(width(text)));
    if right {
        space + text
    } else {
        text.to_owned() + &space
    }
}

/// The text in lines of [`WIDTH`], the later ones indented.
fn wrapped(text: &str, indent: usize) -> String {
    let mut lines = String::new();
    let mut at = indent;
    for word in text.split_whitespace() {
        if at > indent && at + 1 + width(word) > WIDTH {
            lines.push('\n');
            lines += &" ".repeat(indent);
            at = indent;
        } else if at > indent {
            lines.push(' ');
            at += 1;
        }
        lines += word;
        at += width(word);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn plain(report: &Report) -> String {
        anstream::adapter::strip_str(&page(report)).to_string()
    }

    #[test]
    fn the_columns_of_a_table_are_aligned_and_fit_a_terminal() {
        let mut report = sample::report();
        report.tables.truncate(1);
        let text = plain(&report);
        let lines: Vec<&str> = text.lines().filter(|l| l.contains(" no agent ")).collect();
        assert_eq!(lines.len(), 4, "{text}");
        for word in ["no agent", "10.1 µs"] {
            let places: Vec<_> = lines.iter().map(|line| line.find(word)).collect();
            assert!(places.windows(2).all(|two| two[0] == two[1]), "{text}");
        }
        assert!(text.lines().map(width).max() <= Some(120), "{text}");
    }

    #[test]
    fn each_goal_is_told_met_or_not_with_what_was_reached() {
        let text = plain(&sample::report());
        assert!(text.contains("Goals: 6 of 8 met"), "{text}");
        assert!(
            text.contains("✗ Approval to connected: its slowest of 100, 2.80 ms (goal p99 ≤ 2 ms)")
        );
        assert!(
            text.contains("1,000,000 prefixes, ×1.062 (goal ≤ ×1.05)"),
            "{text}"
        );
    }

    #[test]
    fn a_goal_whose_number_is_missing_is_not_met() {
        let mut report = sample::report();
        report.tables[1].rows[1].ratio = None;
        assert!(plain(&report).contains("first reply, not measured (goal ≤ ×1.1)"));
    }

    #[test]
    fn what_is_missing_is_told_with_its_reason() {
        let text = plain(&sample::report());
        assert!(
            text.contains("- Tetragon: this kernel has no kprobes"),
            "{text}"
        );
    }

    #[test]
    fn a_column_that_no_row_fills_is_not_there() {
        let mut report = sample::report();
        report.tables.truncate(1);
        assert!(plain(&report).contains("CPU"));
        for row in &mut report.tables[0].rows {
            row.cpu = None;
        }
        assert!(!plain(&report).contains("CPU"));
    }
}
