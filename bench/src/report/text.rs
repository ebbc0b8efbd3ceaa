// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The tables as text.

use super::Report;

/// Prints them to stdout.
pub(crate) fn print(report: &Report) {
    for row in report.tables.iter().flat_map(|table| &table.rows) {
        let ratio = row.ratio.as_ref().map(|ratio| {
            let (low, high) = (ratio.low, ratio.high);
            format!("×{:.3} [{low:.3}, {high:.3}]", ratio.value)
        });
        let (unit, ratio) = (&row.unit, ratio.unwrap_or_default());
        let goal = match row.meets_goal() {
            Some(true) => "met",
            Some(false) => "not met",
            None => "",
        };
        anstream::println!("{:48} {:>12.1} {unit:4} {ratio} {goal}", row.id, row.median);
    }
}
