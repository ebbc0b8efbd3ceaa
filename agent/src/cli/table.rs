// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Tables of plain text.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::text::{HEAD, styled};

/// Between two columns.
pub(super) const GAP: &str = "  ";
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
    heads: Vec<(String, Cut)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub(super) fn new<T: ToString>(heads: &[(T, Cut)]) -> Self {
        Self {
            heads: heads
                .iter()
                .map(|(head, cut)| (head.to_string(), *cut))
                .collect(),
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
        let (head, rows) = self.cells(columns);
        let mut text = styled(HEAD, &line(&head));
        for row in &rows {
            text.push('\n');
            text.push_str(&line(row));
        }
        text
    }

    /// The heading and the rows, each cell as wide as its column; with [`GAP`] between them not
    /// wider than `columns` if that can be had.
    pub(super) fn cells(&self, columns: Option<usize>) -> (Vec<String>, Vec<Vec<String>>) {
        let widths = self.widths(columns);
        let heads: Vec<String> = self.heads.iter().map(|(head, _)| head.clone()).collect();
        let rows = self.rows.iter().map(|row| self.fitted(row, &widths));
        (self.fitted(&heads, &widths), rows.collect())
    }

    fn widths(&self, columns: Option<usize>) -> Vec<usize> {
        let mut widths: Vec<usize> = self.heads.iter().map(|(head, _)| head.len()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(columns_of(cell));
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

    fn fitted(&self, cells: &[String], widths: &[usize]) -> Vec<String> {
        let cells = cells.iter().zip(widths).zip(&self.heads);
        cells
            .map(|((cell, &width), (_, cut))| fit(cell, width, *cut))
            .collect()
    }
}

fn line(cells: &[String]) -> String {
    cells.join(GAP).trim_end().to_owned()
}

/// The cell, exactly this wide.
pub(super) fn fit(cell: &str, width: usize, cut: Cut) -> String {
    let mut cell = if columns_of(cell) <= width {
        cell.to_owned()
    } else {
        match cut {
            Cut::Never => cell.to_owned(),
            Cut::Front => {
                let end: Vec<char> = most(cell.chars().rev(), width - 1).collect();
                format!("…{}", end.into_iter().rev().collect::<String>())
            }
            Cut::Back => format!("{}…", most(cell.chars(), width - 1).collect::<String>()),
        }
    };
    let blank = width.saturating_sub(cell.width());
    cell.extend(std::iter::repeat_n(' ', blank));
    cell
}

/// As many of these characters as fit into so many columns.
fn most(chars: impl Iterator<Item = char>, width: usize) -> impl Iterator<Item = char> {
    let mut left = width;
    chars.map_while(move |c| {
        left = left.checked_sub(column_of(c))?;
        Some(c)
    })
}

/// How many columns a text may take. One that takes no column of its own, such as an accent,
/// counts as one too: a name of nothing else shall not be endless.
fn columns_of(text: &str) -> usize {
    text.chars().map(column_of).sum()
}

fn column_of(c: char) -> usize {
    c.width().unwrap_or(0).max(1)
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

    #[test]
    fn wide_characters_take_two_columns_and_accents_are_bounded() {
        assert_eq!(fit("数据库数据库", 8, Cut::Back), "数据库… ");
        assert_eq!(fit("数据库", 8, Cut::Back), "数据库  ");
        assert_eq!(fit("数据库数据库", 8, Cut::Front), "…数据库 ");
        let endless = format!("a{}", "\u{301}".repeat(10_000));
        assert_eq!(fit(&endless, 8, Cut::Back).chars().count(), 7 + 1 + 6);
    }

    proptest! {
        #[test]
        fn a_table_fits_into_eighty_columns(cells in prop::array::uniform2("[a-zé/数\u{301}]{0,200}")) {
            let text = table(&[["1", &cells[0], &cells[1]]]).render(Some(80));
            for line in anstream::adapter::strip_str(&text).to_string().lines() {
                prop_assert!(line.width() <= 80, "{}", line);
            }
        }
    }
}
