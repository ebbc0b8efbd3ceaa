// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The rows of the panes.

use jiff::Timestamp;
use ratatui::style::{Color, Style};

use super::super::super::table::{Cut, GAP, Table};
use super::super::super::text::{duration, escape};
use super::super::model::{Model, Pane};
use super::Look;

/// From so many columns on there is room for all of a row.
const WIDE: usize = 72;
/// Before each row: what is chosen is marked there.
const MARGIN: usize = 2;
/// Fewer seconds than this are nearly over.
const HURRY: u64 = 10;

/// Cells, each as wide as its column, and how they look.
pub(super) type Row = Vec<(String, Style)>;

/// The rows of a pane, and what stands above them.
pub(super) struct Rows {
    pub(super) head: String,
    pub(super) rows: Vec<Row>,
}

/// The rows of this pane on a screen of this width.
pub(super) fn of(model: &Model, look: &Look, pane: Pane, width: usize) -> Rows {
    let wide = width >= WIDE;
    let heads = heads(model, pane, wide).into_iter();
    let heads: Vec<_> = heads
        .map(|(message, cut)| (model.texts.say(message), cut))
        .collect();
    let mut table = Table::new(&heads);
    let mut styles = Vec::new();
    match pane {
        Pane::Pending => {
            for view in &model.seen.pending {
                let mut row = vec![duration(view.seconds_left)];
                row.extend(model.sees_all().then(|| model.user(view.uid)));
                row.push(escape(&view.endpoint));
                row.extend(wide.then(|| escape(&view.destination)));
                row.push(escape(&view.program));
                table.row(row);
                styles.push(left_style(view.seconds_left, look));
            }
        }
        Pane::Grants => {
            for view in &model.seen.grants {
                let mut row = vec![duration(view.seconds_left)];
                row.extend(model.sees_all().then(|| model.user(view.uid)));
                row.push(escape(&view.endpoint));
                row.push(escape(&view.scope));
                if wide {
                    row.push(escape(&view.factor));
                    row.push(view.connections.to_string());
                    row.push(escape(&view.rule));
                }
                table.row(row);
                styles.push(left_style(view.seconds_left, look));
            }
        }
        Pane::Recent => {
            for view in &model.seen.recent {
                let mut row = vec![time(view.time, look, wide)];
                row.extend(model.sees_all().then(|| model.user(view.uid)));
                row.push(escape(&view.outcome));
                row.push(escape(&view.endpoint));
                if wide {
                    row.push(escape(&view.destination));
                    row.push(escape(&view.program));
                    row.push(escape(&view.reason));
                }
                table.row(row);
                styles.push(outcome_style(&view.outcome, look));
            }
        }
    }
    let (head, rows) = table.cells(Some(width.saturating_sub(MARGIN)));
    let coloured = match pane {
        Pane::Pending | Pane::Grants => 0,
        Pane::Recent => 1 + usize::from(model.sees_all()),
    };
    let rows = rows.into_iter().zip(styles).map(|(row, style)| {
        let cells = row.into_iter().enumerate();
        let styled = cells.map(|(i, cell)| match i == coloured {
            true => (cell, style),
            false => (cell, Style::new()),
        });
        styled.collect()
    });
    Rows {
        head: head.join(GAP),
        rows: rows.collect(),
    }
}

/// The messages of the heads of columns, and where a column may be cut.
fn heads(model: &Model, pane: Pane, wide: bool) -> Vec<(&'static str, Cut)> {
    let first = match pane {
        Pane::Pending | Pane::Grants => "top-head-left",
        Pane::Recent => "top-head-time",
    };
    let mut heads = vec![(first, Cut::Never)];
    heads.extend(model.sees_all().then_some(("top-head-user", Cut::Back)));
    match pane {
        Pane::Pending => {
            heads.push(("top-head-endpoint", Cut::Back));
            heads.extend(wide.then_some(("top-head-destination", Cut::Back)));
            heads.push(("top-head-program", Cut::Front));
        }
        Pane::Grants => {
            heads.extend([
                ("top-head-endpoint", Cut::Back),
                ("top-head-scope", Cut::Back),
            ]);
            if wide {
                heads.extend([
                    ("top-head-by", Cut::Back),
                    ("top-head-conns", Cut::Never),
                    ("top-head-rule", Cut::Back),
                ]);
            }
        }
        Pane::Recent => {
            heads.extend([
                ("top-head-outcome", Cut::Back),
                ("top-head-endpoint", Cut::Back),
            ]);
            if wide {
                heads.extend([
                    ("top-head-destination", Cut::Back),
                    ("top-head-program", Cut::Front),
                    ("top-head-why", Cut::Back),
                ]);
            }
        }
    }
    heads
}

/// As `14:03:59`, or `14:03` where there is little room; `?` for what is no time.
fn time(seconds: u64, look: &Look, wide: bool) -> String {
    let seconds = i64::try_from(seconds).ok();
    let Some(Ok(time)) = seconds.map(Timestamp::from_second) else {
        return "?".to_owned();
    };
    let format = if wide { "%H:%M:%S" } else { "%H:%M" };
    time.to_zoned(look.zone.clone())
        .strftime(format)
        .to_string()
}

fn left_style(seconds: u64, look: &Look) -> Style {
    if seconds < HURRY {
        look.colour(Color::Yellow)
    } else {
        Style::new()
    }
}

fn outcome_style(outcome: &str, look: &Look) -> Style {
    match outcome {
        "allow" | "elevated" | "approved" => look.colour(Color::Green),
        "deny" | "denied" | "timed-out" | "failed" => look.colour(Color::Red),
        _ => Style::new(),
    }
}
