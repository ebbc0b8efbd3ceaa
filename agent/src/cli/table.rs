// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Tables of plain text.

use super::text::{HEAD, styled};

/// Between two columns.
const GAP: &str = "  ";
/// No column is cut to less than this.
const NARROWEST: usize = 8;

/// What is cut off a column that is too wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// The front, as of a path: its end says more.
    Front,
    /// The back.
    Back,
    /// Nothing.
    Never,
}

/// A table with a heading. Cells are escaped already.
pub(super) struct Table {
    heads: Vec<(&'static str, Cut)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub(super) fn new(heads: &[(&'static str, Cut)]) -> Self {
        Self {
            heads: heads.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row, with a cell for each column.
    pub(super) fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.heads.len());
        self.rows.push(cells);
    }

    /// The table, not wider than `columns` if that can be had.
    pub(super) fn render(&self, columns: Option<usize>) -> String {
        let widths = self.widths(columns);
        let heads: Vec<String> = self.heads.iter().map(|(head, _)| (*head).into()).collect();
        let mut text = styled(HEAD, &self.line(&heads, &widths));
        for row in &self.rows {
            text.push('\n');
            text.push_str(&self.line(row, &widths));
        }
        text
    }

    fn widths(&self, columns: Option<usize>) -> Vec<usize> {
        let mut widths: Vec<usize> = self.heads.iter().map(|(head, _)| head.len()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let gaps = GAP.len() * widths.len().saturating_sub(1);
        // The widest column gives first.
        while columns.is_some_and(|most| widths.iter().sum::<usize>() + gaps > most) {
            let widest = (0..widths.len())
                .filter(|&i| self.heads[i].1 != Cut::Never && widths[i] > NARROWEST)
                .max_by_key(|&i| widths[i]);
            let Some(widest) = widest else { break };
            widths[widest] -= 1;
        }
        widths
    }

    fn line(&self, cells: &[String], widths: &[usize]) -> String {
        let mut line = String::new();
        for ((cell, &width), (_, cut)) in cells.iter().zip(widths).zip(&self.heads) {
            if !line.is_empty() {
                line.push_str(GAP);
            }
            line.push_str(&fit(cell, width, *cut));
        }
        line.trim_end().to_owned()
    }
}

/// The cell, exactly this wide.
fn fit(cell: &str, width: usize, cut: Cut) -> String {
    let length = cell.chars().count();
    if length <= width {
        return format!("{cell:width$}");
    }
    match cut {
        Cut::Never => cell.to_owned(),
        Cut::Front => {
            let end: String = cell.chars().skip(length + 1 - width).collect();
            format!("…{end}")
        }
        Cut::Back => {
            let start: String = cell.chars().take(width - 1).collect();
            format!("{start}…")
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table(rows: &[[&str; 3]]) -> Table {
        let mut table = Table::new(&[
            ("ID", Cut::Never),
            ("NAME", Cut::Back),
            ("PROGRAM", Cut::Front),
        ]);
        for row in rows {
            table.row(row.iter().map(|&cell| cell.to_owned()).collect());
        }
        table
    }

    #[test]
    fn columns_stand_below_each_other() {
        let text = table(&[["1", "prod", "/bin/a"], ["23", "x", "/bin/b"]]).render(None);
        assert_eq!(
            anstream::adapter::strip_str(&text).to_string(),
            "ID  NAME  PROGRAM\n1   prod  /bin/a\n23  x     /bin/b"
        );
    }

    #[test]
    fn a_path_keeps_its_end_and_a_name_its_beginning() {
        assert_eq!(fit("/usr/bin/psql", 8, Cut::Front), "…in/psql");
        assert_eq!(fit("production", 8, Cut::Back), "product…");
        assert_eq!(fit("production", 8, Cut::Never), "production");
    }

    proptest! {
        #[test]
        fn a_table_fits_into_eighty_columns(cells in prop::array::uniform2("[a-zé/]{0,200}")) {
            let text = table(&[["1", &cells[0], &cells[1]]]).render(Some(80));
            for line in anstream::adapter::strip_str(&text).to_string().lines() {
                prop_assert!(line.chars().count() <= 80, "{}", line);
            }
        }
    }
}
