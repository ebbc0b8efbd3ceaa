// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What was wrong with a file, and where: for a terminal, a log, and as data.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level as Paint, Origin, Renderer, Snippet};
use serde::{Deserialize, Serialize};

/// Longest line that is shown. People write shorter ones; a line of megabytes would be
/// rendered once for each mistake in it.
const MAX_SHOWN_LINE: usize = 4096;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// The files can't be used.
    Error,
    /// They can, but hardly mean what they say.
    Warning,
}

/// A spot of a file.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Place {
    text: Arc<str>,
    span: Range<usize>,
}

impl Place {
    pub(super) fn new(text: Arc<str>, span: Range<usize>) -> Self {
        let start = text.floor_char_boundary(span.start);
        let end = text.ceil_char_boundary(span.end).max(start);
        Self {
            text,
            span: start..end,
        }
    }

    fn line_start(&self) -> usize {
        self.text[..self.span.start]
            .rfind('\n')
            .map_or(0, |newline| newline + 1)
    }

    /// Counted from 1.
    fn line(&self) -> usize {
        1 + self.text[..self.line_start()].matches('\n').count()
    }

    /// Counted from 1, in characters.
    fn column(&self) -> usize {
        1 + self.text[self.line_start()..self.span.start]
            .chars()
            .count()
    }

    /// The line on which the spot begins, and the part of the spot that lies on it.
    fn excerpt(&self) -> (&str, Range<usize>) {
        let start = self.line_start();
        let end = self.text[self.span.start..]
            .find('\n')
            .map_or(self.text.len(), |length| self.span.start + length);
        let line = self.text[start..end].trim_end_matches('\r');
        let clip = |at: usize| (at - start).min(line.len());
        (line, clip(self.span.start)..clip(self.span.end))
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line(), self.column())
    }
}

/// One mistake, or one doubt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub(super) level: Level,
    pub(super) path: PathBuf,
    pub(super) place: Option<Place>,
    pub(super) message: String,
    pub(super) help: Option<String>,
    pub(super) see: Option<(PathBuf, Place, String)>,
}

impl Diagnostic {
    /// How much it matters.
    #[must_use]
    pub fn level(&self) -> Level {
        self.level
    }

    /// What is wrong, on one line.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The finding as several lines for a person, without a newline at the end: message,
    /// `file:line:column`, the line with the spot underlined, and the remedy.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let renderer = if color {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let paint = match self.level {
            Level::Error => Paint::ERROR,
            Level::Warning => Paint::WARNING,
        };
        let mut group = paint
            .primary_title(&*self.message)
            .elements(None::<Origin<'_>>);
        group = match &self.place {
            Some(place) => show(group, &self.path, place, AnnotationKind::Primary, None),
            None => group.element(Origin::path(self.path.to_string_lossy())),
        };
        if let Some((path, place, label)) = &self.see {
            group = show(group, path, place, AnnotationKind::Context, Some(label));
        }
        if let Some(help) = &self.help {
            group = group.element(Paint::HELP.message(&**help));
        }
        renderer.render(&[group])
    }

    /// The finding as data.
    #[must_use]
    pub fn view(&self) -> DiagnosticView {
        DiagnosticView {
            level: self.level,
            file: self.path.to_string_lossy().into_owned(),
            line: self.place.as_ref().map(Place::line),
            column: self.place.as_ref().map(Place::column),
            message: self.message.clone(),
            help: self.help.clone(),
        }
    }
}

impl fmt::Display for Diagnostic {
    /// One line, for a log: `file:line:column: error: message (help)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.path.display())?;
        if let Some(place) = &self.place {
            write!(f, "{}:{}:", place.line(), place.column())?;
        }
        let level = match self.level {
            Level::Error => "error",
            Level::Warning => "warning",
        };
        write!(f, " {level}: {}", self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

fn show<'a>(
    group: Group<'a>,
    path: &'a Path,
    place: &'a Place,
    kind: AnnotationKind,
    label: Option<&'a str>,
) -> Group<'a> {
    let (line, span) = place.excerpt();
    let path = path.to_string_lossy();
    if line.len() > MAX_SHOWN_LINE {
        let origin = Origin::path(path).line(place.line());
        return group.element(origin.char_column(place.column()));
    }
    group.element(
        Snippet::source(line)
            .line_start(place.line())
            .path(path)
            .annotation(kind.span(span).label(label)),
    )
}

/// A [`Diagnostic`] as data, for `--json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiagnosticView {
    /// How much it matters.
    pub level: Level,
    /// The file, or the directory, it is about.
    pub file: String,
    /// Line, from 1; none if it is about the whole file.
    pub line: Option<usize>,
    /// Column in characters, from 1.
    pub column: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// Everything that is wrong with some files: never empty, in the order of the files and of
/// the lines in them.
///
/// At least one is an error. Warnings mostly wait until there is none: what they doubt may be
/// the next thing to be corrected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// `list`, or if it has no error, one that says that `path` could not be used.
    pub(super) fn new(mut list: Vec<Diagnostic>, path: &Path) -> Self {
        if !list.iter().any(|one| one.level == Level::Error) {
            list.push(Diagnostic {
                level: Level::Error,
                path: path.to_owned(),
                place: None,
                message: "can't be used, for no reason that was noticed".to_owned(),
                help: Some("this is a bug of stile: please report it".to_owned()),
                see: None,
            });
        }
        Self(list)
    }

    /// How many there are; never 0.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// One after the other.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }

    /// All of them for a person, an empty line between two ([`Diagnostic::render`]).
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let all: Vec<_> = self.iter().map(|one| one.render(color)).collect();
        all.join("\n\n")
    }

    /// All of them as data.
    #[must_use]
    pub fn views(&self) -> Vec<DiagnosticView> {
        self.iter().map(Diagnostic::view).collect()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, span: Range<usize>) -> Diagnostic {
        Diagnostic {
            level: Level::Error,
            path: PathBuf::from("a.toml"),
            place: Some(Place::new(text.into(), span)),
            message: "wrong".to_owned(),
            help: Some("right".to_owned()),
            see: None,
        }
    }

    #[test]
    fn columns_count_characters_and_lines_count_from_one() {
        let view = at("x = 1\r\nä = é\r\n", 12..14).view();
        assert_eq!((view.line, view.column), (Some(2), Some(5)));
    }

    #[test]
    fn a_spot_is_underlined_below_its_line() {
        assert_eq!(
            at("x = 1\nyy = 22\n", 11..13).render(false),
            "error: wrong\n --> a.toml:2:6\n  |\n2 | yy = 22\n  |      ^^\n  |\n  = help: right"
        );
    }

    #[test]
    fn colour_is_a_choice() {
        assert!(at("x", 0..1).render(true).contains('\u{1b}'));
        assert!(!at("x", 0..1).render(false).contains('\u{1b}'));
    }

    #[test]
    fn a_spot_out_of_bounds_or_amid_a_character_is_shown_all_the_same() {
        assert!(at("é", 1..1).render(false).contains("a.toml:1:1"));
        assert!(at("x = ", 99..120).render(false).contains("a.toml:1:5"));
        assert!(at("", 0..0).render(false).contains("a.toml:1:1"));
    }

    #[test]
    fn a_line_of_megabytes_is_not_shown() {
        let text = format!("x = {}", "1".repeat(MAX_SHOWN_LINE));
        let shown = at(&text, 4..5).render(false);
        assert!(shown.contains("a.toml:1:5") && shown.len() < 200, "{shown}");
    }

    #[test]
    fn a_list_without_an_error_is_not_empty() {
        assert_eq!(Diagnostics::new(Vec::new(), Path::new("x")).len(), 1);
    }
}
