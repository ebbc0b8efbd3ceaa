// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The page's tables: the goals, and the numbers behind each chart.

use super::super::{Report, Row, Table, form};
use super::{Text, put};

/// Every goal, with what was reached.
pub(super) fn goals(page: &mut String, report: &Report) {
    if report.goals().next().is_none() {
        return;
    }
    page.push_str(
        "<div class=\"wide\" role=\"region\" aria-label=\"Goals\" tabindex=\"0\">\n\
         <table class=\"goals\">\n<thead><tr><th colspan=\"2\">What</th><th class=\"n\">Goal</th>\
         <th class=\"n\">Reached</th><th class=\"n\">95 % interval</th><th></th></tr></thead>\n\
         <tbody>\n",
    );
    let mut last = None;
    for (table, row, met) in report.goals() {
        let Some(goal) = &row.goal else { continue };
        let first = last.replace(&table.id) != Some(&table.id);
        let class = if first { "first" } else { "more" };
        put(
            page,
            format_args!(
                "<tr class=\"{class}\"><td><a href=\"#{}\">{}</a></td><td>{}</td><td class=\"n\">{}</td>\
                 <td class=\"n\"><b>{}</b></td><td class=\"n dim\">{}</td><td>{}</td></tr>\n",
                Text(&table.id),
                Text(&table.title),
                Text(&row.what),
                form::goal(goal, &row.unit),
                form::reached(row, goal),
                interval(row),
                pill(met),
            ),
        );
    }
    page.push_str("</tbody>\n</table>\n</div>\n");
}

fn interval(row: &Row) -> String {
    row.ratio.as_ref().map_or_else(String::new, form::interval)
}

fn pill(met: bool) -> &'static str {
    if met {
        "<span class=\"pill met\">✓ met</span>"
    } else {
        "<span class=\"pill unmet\">✗ not met</span>"
    }
}

/// The numbers of one table, folded up.
pub(super) fn table(page: &mut String, table: &Table) {
    put(
        page,
        format_args!(
            "<details>\n<summary>The numbers</summary>\n<div class=\"wide\" role=\"region\" \
             aria-label=\"Numbers: {}\" tabindex=\"0\">\n<table>\n<thead><tr><th>What</th>\
             <th>Who</th><th class=\"n\">Median</th><th class=\"n\">p99</th>\
             <th class=\"n\">CPU time</th><th class=\"n\">Ratio</th>\
             <th class=\"n\">95 % interval</th><th class=\"n\">Rounds</th></tr></thead>\n<tbody>\n",
            Text(&table.title)
        ),
    );
    for group in table.groups() {
        for (at, row) in group.iter().enumerate() {
            line(page, row, (at == 0).then_some(group.len()));
        }
    }
    page.push_str("</tbody>\n</table>\n</div>\n</details>\n");
}

/// One row; the first of a group has its name beside all of them.
fn line(page: &mut String, row: &Row, first_of: Option<usize>) {
    let amount = |number: Option<f64>| {
        number.map_or_else(String::new, |number| form::amount(number, &row.unit))
    };
    page.push_str("<tr>");
    if let Some(rows) = first_of {
        let what = Text(&row.what);
        put(
            page,
            format_args!("<th scope=\"rowgroup\" rowspan=\"{rows}\">{what}</th>"),
        );
    }
    let ratio = row.ratio.as_ref();
    put(
        page,
        format_args!(
            "<td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{}</td><td class=\"n dim\">{}</td><td class=\"n dim\">{}</td></tr>\n",
            Text(&row.who),
            form::amount(row.median, &row.unit),
            amount(row.p99),
            amount(row.cpu),
            ratio.map_or_else(String::new, |ratio| form::times(ratio.value)),
            interval(row),
            row.rounds,
        ),
    );
}
