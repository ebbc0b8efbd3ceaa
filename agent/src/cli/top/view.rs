// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How the state looks on a screen of some size. Pure; reads nothing but what it is given.

mod rows;

use jiff::tz::TimeZone;
use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr as _;

use super::super::table::{Cut, GAP, fit};
use super::super::text::{duration, escape};
use super::model::{Mode, Model, Pane};
use crate::service::ChallengeView;
use crate::texts::Value::Text;
use crate::texts::{Texts, details, warning};
use rows::{Row, Rows};

/// From so many lines on there is room for the heads of columns and for all of a question.
const TALL: u16 = 16;

/// What a picture depends on besides the state.
pub(super) struct Look {
    /// Times are shown in it.
    pub(super) zone: TimeZone,
    /// False if the user wants none (`NO_COLOR`).
    pub(super) colours: bool,
}

impl Look {
    fn colour(&self, colour: Color) -> Style {
        if self.colours {
            Style::new().fg(colour)
        } else {
            Style::new()
        }
    }
}

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);

/// Keys, and the messages that say what they do.
const HELP: [(&str, &str); 8] = [
    ("Tab", "top-help-pane"),
    ("j k ↑ ↓", "top-help-choose"),
    ("a", "top-help-approve"),
    ("d", "top-help-deny"),
    ("r  R", "top-help-revoke"),
    ("Esc", "top-help-leave"),
    ("?", "top-help-help"),
    ("q Ctrl-C", "top-help-quit"),
];

/// Draws the state.
pub(super) fn draw(model: &Model, look: &Look, frame: &mut Frame<'_>) {
    let area = frame.area();
    let mut rest = area;
    put(frame, &mut rest, header(model, area.width));
    if let Some(trouble) = &model.trouble {
        let line = Line::styled(trouble.as_str(), look.colour(Color::Red).patch(BOLD));
        put(frame, &mut rest, line);
    }
    let bottom = bottom(model, look, area);
    let lines = u16::try_from(bottom.lines.len()).unwrap_or(u16::MAX);
    let above = rest.height.saturating_sub(lines);
    let mut foot = Rect {
        y: rest.y + above,
        height: rest.height - above,
        ..rest
    };
    rest.height = above;
    if model.mode == Mode::Help {
        for (keys, message) in HELP {
            let line = format!("{keys:11}{}", model.texts.say(message));
            put(frame, &mut rest, Line::raw(line));
        }
    } else {
        panes(model, look, frame, rest);
    }
    for line in bottom.lines {
        if let (Some(column), true) = (bottom.cursor, foot.height == 1) {
            let column = column.min(area.width.saturating_sub(1));
            frame.set_cursor_position(Position::new(column, foot.y));
        }
        put(frame, &mut foot, line);
    }
}

/// Writes the first line of what is left.
fn put<'line>(frame: &mut Frame<'_>, rest: &mut Rect, line: impl Into<Line<'line>>) {
    if rest.height == 0 {
        return;
    }
    let line: Line<'line> = line.into();
    frame.render_widget(line, Rect { height: 1, ..*rest });
    rest.y += 1;
    rest.height -= 1;
}

fn header(model: &Model, width: u16) -> Line<'static> {
    let whose = if model.sees_all() {
        "top-all"
    } else {
        "top-own"
    };
    let left = format!("stile top  {}", model.texts.say(whose));
    let right = model.texts.say("top-keys");
    let blank = usize::from(width).saturating_sub(left.width() + right.width());
    Line::styled(format!("{left}{:blank$}{right}", ""), BOLD)
}

/// What is at the bottom, and in which column of its last line the cursor is.
struct Bottom<'model> {
    lines: Vec<Line<'model>>,
    cursor: Option<u16>,
}

fn bottom<'model>(model: &'model Model, look: &Look, area: Rect) -> Bottom<'model> {
    let said = model.said.as_ref().map(|said| {
        let colour = if said.good { Color::Green } else { Color::Red };
        Line::styled(said.text.as_str(), look.colour(colour))
    });
    let one = |line| Bottom {
        lines: vec![line],
        cursor: None,
    };
    match &model.mode {
        Mode::Help => one(Line::raw(model.texts.say("top-back"))),
        Mode::Watching => one(said.unwrap_or_default()),
        Mode::Sure(_, question) => one(Line::styled(
            question.as_str(),
            look.colour(Color::Yellow).patch(BOLD),
        )),
        Mode::Code { challenge, typed } => {
            let mut lines = question(&model.texts, challenge, look, area);
            lines.extend(said);
            let ask = format!("{} ", model.texts.say("top-code"));
            // How long it is may be seen, as on other prompts; what it is may not.
            let masked = "*".repeat(typed.chars().count());
            let column = u16::try_from(ask.width() + masked.len()).unwrap_or(u16::MAX);
            let mut line = vec![Span::styled(ask, BOLD), Span::raw(masked)];
            if area.height >= TALL {
                let send = model.texts.say("top-send");
                line.push(Span::raw(format!("    {send}")));
            }
            lines.push(Line::from(line));
            Bottom {
                lines,
                cursor: Some(column),
            }
        }
    }
}

/// What a code is asked for.
fn question(texts: &Texts, view: &ChallengeView, look: &Look, area: Rect) -> Vec<Line<'static>> {
    let width = usize::from(area.width);
    let short = |text: &str, cut| Line::raw(fit(text, width.max(1), cut));
    if area.height < TALL {
        let to = texts.fill("top-to", &[("endpoint", Text(&escape(&view.endpoint)))]);
        return vec![
            short(&escape(&view.program), Cut::Front),
            short(&to, Cut::Back),
        ];
    }
    let (id, time) = (view.id.to_string(), duration(view.seconds_left));
    let values = [("id", Text(&id)), ("time", Text(&time))];
    let head = texts.fill("top-challenge", &values);
    let mut lines = vec![Line::styled(fit(&head, width.max(1), Cut::Back), BOLD)];
    lines
        .extend(warning(texts, view).map(|text| {
            Line::styled(fit(&text, width.max(1), Cut::Back), look.colour(Color::Red))
        }));
    let details = details(texts, view, None, &look.zone);
    let columns = details.iter().map(|(label, _)| label.width()).max();
    let columns = columns.unwrap_or_default();
    // The number of the request and its end are in the head already.
    let request = texts.say("label-request");
    for (label, value) in details.iter().filter(|(label, _)| *label != request) {
        let blank = columns.saturating_sub(label.width());
        let line = format!("{label}{:blank$}  {value}", "");
        lines.push(short(&line, Cut::Back));
    }
    lines
}

fn panes(model: &Model, look: &Look, frame: &mut Frame<'_>, area: Rect) {
    let heads = u16::from(frame.area().height >= TALL);
    let tables = Pane::ALL.map(|pane| rows::of(model, look, pane, usize::from(area.width)));
    let needs = tables.each_ref().map(|rows| {
        let rows = u16::try_from(rows.rows.len().max(1)).unwrap_or(u16::MAX);
        rows.saturating_add(heads)
    });
    let heights = heights(needs, model.pane, area.height);
    let mut rest = area;
    for ((pane, rows), height) in Pane::ALL.into_iter().zip(tables).zip(heights) {
        let mut part = Rect {
            height: height.min(rest.height),
            ..rest
        };
        rest.y += part.height;
        rest.height -= part.height;
        one_pane(model, pane, rows, heads > 0, frame, &mut part);
    }
}

/// How many lines each pane gets, its title included: what it needs, as far as there is room. The
/// one that is looked at comes first, and the last decisions take what is left.
fn heights(needs: [u16; 3], looked_at: Pane, room: u16) -> [u16; 3] {
    // The title, and one more.
    let mut heights = [2; 3];
    let mut left = room.saturating_sub(6);
    let wants = |heights: &[u16; 3], i: usize| heights[i] <= needs[i];
    // A line each in turn, so that a long list leaves the others theirs.
    while left > 0 && (0..3).any(|i| wants(&heights, i)) {
        let turn = [looked_at as usize, looked_at as usize, 0, 1, 2];
        for i in turn {
            if left > 0 && wants(&heights, i) {
                heights[i] += 1;
                left -= 1;
            }
        }
    }
    heights[2] += left;
    heights
}

fn one_pane(
    model: &Model,
    pane: Pane,
    table: Rows,
    heads: bool,
    frame: &mut Frame<'_>,
    part: &mut Rect,
) {
    let focused = model.pane == pane;
    let chosen = model.chosen(pane).unwrap_or(0);
    // The title, and perhaps the head.
    let room = usize::from(part.height.saturating_sub(1 + u16::from(heads))).max(1);
    let total = table.rows.len();
    let first = (chosen + 1).saturating_sub(room);
    let mark = if focused { '▸' } else { ' ' };
    let name = model.texts.say(title(pane));
    let count = if total > room {
        format!("{}-{} of {total}", first + 1, first + room)
    } else {
        total.to_string()
    };
    let left = format!("{mark} {name} ({count}) ");
    let rule = usize::from(part.width).saturating_sub(left.chars().count());
    let style = if focused { BOLD } else { Style::new() };
    put(
        frame,
        part,
        Line::styled(format!("{left}{}", "─".repeat(rule)), style),
    );
    if total == 0 {
        let text = if model.asked && model.trouble.is_none() {
            model.texts.say(empty(pane))
        } else {
            "?".to_owned()
        };
        put(frame, part, Line::raw(format!("  {text}")));
        return;
    }
    if heads {
        put(frame, part, Line::raw(format!("  {}", table.head)));
    }
    let rows = table.rows.into_iter().enumerate().skip(first).take(room);
    for (i, row) in rows {
        put(frame, part, row_line(row, focused && i == chosen));
    }
}

fn row_line(row: Row, is_chosen: bool) -> Line<'static> {
    let mark = if is_chosen { "> " } else { "  " };
    let mut spans = vec![Span::raw(mark)];
    for (i, (cell, style)) in row.into_iter().enumerate() {
        if i > 0 {
            spans.push(Span::raw(GAP));
        }
        spans.push(Span::styled(cell, style));
    }
    let line = Line::from(spans);
    if is_chosen {
        line.patch_style(Modifier::REVERSED)
    } else {
        line
    }
}

fn title(pane: Pane) -> &'static str {
    match pane {
        Pane::Pending => "top-pending",
        Pane::Grants => "top-grants",
        Pane::Recent => "top-recent",
    }
}

fn empty(pane: Pane) -> &'static str {
    match pane {
        Pane::Pending => "top-no-pending",
        Pane::Grants => "top-no-grants",
        Pane::Recent => "top-no-recent",
    }
}

#[cfg(test)]
mod tests;
