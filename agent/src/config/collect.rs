// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Gathers the findings of several files while they are read.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::diagnostics::{Diagnostic, Diagnostics, Level, Place};

/// Most findings that are kept. A person reads fewer, and a file of 16 MiB could give
/// millions.
const MAX_FINDINGS: usize = 1000;

/// One of the files that are read together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileId(usize);

/// A stretch of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(super) file: FileId,
    pub(super) span: Range<usize>,
}

struct File {
    path: PathBuf,
    text: Arc<str>,
    /// The lines that are no TOML. What else seems wrong on them only follows from that.
    broken: Vec<Range<usize>>,
}

struct Finding {
    file: FileId,
    span: Option<Range<usize>>,
    level: Level,
    message: String,
    help: Option<String>,
    see: Option<(Spot, String)>,
}

/// What was found so far.
pub(crate) struct Findings {
    files: Vec<File>,
    list: Vec<Finding>,
    left_out: usize,
    /// True if one of those is a mistake.
    left_out_error: bool,
}

/// A finding that may still be told more about.
pub(crate) struct Note<'a>(Option<&'a mut Finding>);

impl Note<'_> {
    /// Names the remedy.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        if let Some(finding) = &mut self.0 {
            finding.help = Some(help.into());
        }
        self
    }

    /// Shows another spot that has to do with it.
    pub(crate) fn see(mut self, spot: &Spot, label: impl Into<String>) -> Self {
        if let Some(finding) = &mut self.0 {
            finding.see = Some((spot.clone(), label.into()));
        }
        self
    }
}

impl Findings {
    /// None yet. `root` is the file or directory that is being read; findings about it as a
    /// whole name it.
    pub(crate) fn new(root: &Path) -> Self {
        let mut findings = Self {
            files: Vec::new(),
            list: Vec::new(),
            left_out: 0,
            left_out_error: false,
        };
        findings.add_file(root);
        findings
    }

    /// The file or directory that is being read.
    pub(crate) fn root(&self) -> FileId {
        FileId(0)
    }

    /// Takes in a file whose text is not known (yet).
    pub(crate) fn add_file(&mut self, path: &Path) -> FileId {
        self.files.push(File {
            path: path.to_owned(),
            text: Arc::from(""),
            broken: Vec::new(),
        });
        FileId(self.files.len() - 1)
    }

    /// Sets what a file says.
    pub(crate) fn set_text(&mut self, file: FileId, text: Arc<str>) {
        self.files[file.0].text = text;
    }

    /// What a file says.
    pub(crate) fn text(&self, file: FileId) -> Arc<str> {
        Arc::clone(&self.files[file.0].text)
    }

    /// A mistake at a spot.
    pub(crate) fn error(&mut self, spot: &Spot, message: impl Into<String>) -> Note<'_> {
        if self.is_on_broken_line(spot) {
            return Note(None);
        }
        let place = (spot.file, Some(spot.span.clone()));
        self.push(place, Level::Error, message.into())
    }

    /// Something that is lacking, noticed at a spot. Kept back where the file has lines that
    /// could not be read: it may stand there.
    pub(crate) fn lack(&mut self, spot: &Spot, message: impl Into<String>) -> Note<'_> {
        if self.is_broken(spot.file) {
            return Note(None);
        }
        self.error(spot, message)
    }

    /// A doubt about a spot.
    pub(crate) fn warning(&mut self, spot: &Spot, message: impl Into<String>) -> Note<'_> {
        let place = (spot.file, Some(spot.span.clone()));
        self.push(place, Level::Warning, message.into())
    }

    /// A mistake of a whole file.
    pub(crate) fn file_error(&mut self, file: FileId, message: impl Into<String>) -> Note<'_> {
        self.push((file, None), Level::Error, message.into())
    }

    /// Text that isn't TOML. `None` if the parser doesn't know where. Of each line the first
    /// mistake counts: the parser stumbles over what follows from it.
    pub(super) fn syntax_error(
        &mut self,
        file: FileId,
        span: Option<Range<usize>>,
        message: String,
    ) -> Note<'_> {
        if let Some(span) = &span
            && self.is_on_broken_line(&Spot {
                file,
                span: span.start..span.end.max(span.start + 1),
            })
        {
            return Note(None);
        }
        let text = &self.files[file.0].text;
        let broken = span
            .clone()
            .map_or(0..text.len(), |span| lines_of(text, &span));
        self.files[file.0].broken.push(broken);
        self.push((file, span), Level::Error, message)
    }

    /// True if a file has lines that could not be read.
    pub(crate) fn is_broken(&self, file: FileId) -> bool {
        !self.files[file.0].broken.is_empty()
    }

    /// True if any file has lines that could not be read, or could not be read at all.
    pub(crate) fn is_any_broken(&self) -> bool {
        let unread = |finding: &Finding| finding.span.is_none();
        self.files.iter().any(|file| !file.broken.is_empty()) || self.list.iter().any(unread)
    }

    /// True if anything found is a mistake.
    pub(crate) fn has_errors(&self) -> bool {
        self.left_out_error || self.list.iter().any(|one| one.level == Level::Error)
    }

    /// `value` and the warnings, or if there is an error or no value, everything found.
    pub(crate) fn finish<T>(
        mut self,
        value: Option<T>,
    ) -> Result<(T, Vec<Diagnostic>), Diagnostics> {
        self.list
            .sort_by_key(|one| (one.file, one.span.as_ref().map(|span| span.start)));
        let mut list: Vec<_> = self.list.iter().map(|one| self.diagnostic(one)).collect();
        let value = value.filter(|_| !self.has_errors());
        list.extend(self.cut(value.is_none()));
        match value {
            Some(value) => Ok((value, list)),
            None => Err(Diagnostics::new(list, &self.files[0].path)),
        }
    }

    /// Says that some are not listed, if so.
    fn cut(&self, has_errors: bool) -> Option<Diagnostic> {
        (self.left_out > 0).then(|| Diagnostic {
            level: if has_errors {
                Level::Error
            } else {
                Level::Warning
            },
            path: self.files[0].path.clone(),
            place: None,
            message: format!("{} more findings are not listed", self.left_out),
            help: Some("correct the ones above first".to_owned()),
            see: None,
        })
    }

    fn push(
        &mut self,
        (file, span): (FileId, Option<Range<usize>>),
        level: Level,
        message: String,
    ) -> Note<'_> {
        if self.list.len() >= MAX_FINDINGS {
            self.left_out += 1;
            self.left_out_error |= level == Level::Error;
            return Note(None);
        }
        self.list.push(Finding {
            file,
            span,
            level,
            message,
            help: None,
            see: None,
        });
        Note(self.list.last_mut())
    }

    /// True if a spot lies on a line that could not be read, or is that of a value that the
    /// parser has put there instead: those have no length.
    fn is_on_broken_line(&self, spot: &Spot) -> bool {
        let broken = &self.files[spot.file.0].broken;
        let touches =
            |lines: &Range<usize>| lines.start < spot.span.end && spot.span.start < lines.end;
        broken.iter().any(touches) || (spot.span.is_empty() && !broken.is_empty())
    }

    fn diagnostic(&self, finding: &Finding) -> Diagnostic {
        let file = &self.files[finding.file.0];
        let place =
            |file: &File, span: &Range<usize>| Place::new(Arc::clone(&file.text), span.clone());
        Diagnostic {
            level: finding.level,
            path: file.path.clone(),
            place: finding.span.as_ref().map(|span| place(file, span)),
            message: finding.message.clone(),
            help: finding.help.clone(),
            see: finding.see.as_ref().map(|(spot, label)| {
                let file = &self.files[spot.file.0];
                (file.path.clone(), place(file, &spot.span), label.clone())
            }),
        }
    }
}

/// The whole lines that `span` touches.
fn lines_of(text: &str, span: &Range<usize>) -> Range<usize> {
    let bytes = text.as_bytes();
    let first = span.start.min(bytes.len());
    let last = span.end.clamp(first, bytes.len());
    let newline = |byte: &u8| *byte == b'\n';
    let start = bytes[..first]
        .iter()
        .rposition(newline)
        .map_or(0, |at| at + 1);
    let end = bytes[last..].iter().position(newline);
    start..end.map_or(bytes.len(), |length| last + length + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> (Findings, FileId) {
        let mut findings = Findings::new(Path::new("dir"));
        let file = findings.add_file(Path::new("dir/a.toml"));
        findings.set_text(file, text.into());
        (findings, file)
    }

    #[test]
    fn findings_come_in_the_order_of_the_text() {
        let (mut findings, file) = findings("one\ntwo\n");
        findings.error(&Spot { file, span: 4..7 }, "second");
        findings.error(&Spot { file, span: 0..3 }, "first");
        findings.file_error(findings.root(), "zeroth");
        let all = findings.finish(Some(())).unwrap_err();
        let messages: Vec<_> = all.iter().map(Diagnostic::message).collect();
        assert_eq!(messages, ["zeroth", "first", "second"]);
    }

    #[test]
    fn what_follows_from_a_broken_line_is_not_said() {
        let (mut findings, file) = findings("a = = 1\nb = 2\n");
        findings.syntax_error(file, Some(4..5), "no value".to_owned());
        findings.error(&Spot { file, span: 0..1 }, "unknown key a");
        findings.lack(&Spot { file, span: 8..9 }, "no c");
        findings.error(&Spot { file, span: 8..9 }, "unknown key b");
        let all = findings.finish(Some(())).unwrap_err();
        let messages: Vec<_> = all.iter().map(Diagnostic::message).collect();
        assert_eq!(messages, ["no value", "unknown key b"]);
    }

    #[test]
    fn a_flood_of_findings_is_cut_and_said_to_be_cut() {
        let (mut findings, file) = findings("x");
        for _ in 0..MAX_FINDINGS + 7 {
            findings.warning(&Spot { file, span: 0..1 }, "doubtful");
        }
        let ((), all) = findings.finish(Some(())).unwrap();
        assert_eq!(all.len(), MAX_FINDINGS + 1);
        let last = all.iter().last().map(Diagnostic::message);
        assert_eq!(last, Some("7 more findings are not listed"));
    }

    #[test]
    fn a_mistake_behind_a_flood_of_doubts_is_a_mistake() {
        let (mut findings, file) = findings("x");
        for _ in 0..MAX_FINDINGS {
            findings.warning(&Spot { file, span: 0..1 }, "doubtful");
        }
        findings.error(&Spot { file, span: 0..1 }, "wrong");
        assert_eq!(
            findings.finish(Some(())).unwrap_err().len(),
            MAX_FINDINGS + 1
        );
    }

    #[test]
    fn warnings_alone_let_the_value_through() {
        let (mut findings, file) = findings("x");
        findings.warning(&Spot { file, span: 0..1 }, "doubtful");
        let (value, warnings) = findings.finish(Some(5)).unwrap();
        assert_eq!((value, warnings.len()), (5, 1));
    }
}
