// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads TOML with the place of each value, strictly: what isn't asked for is a mistake.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::collect::{FileId, Findings, Spot};
use super::duration::{format_duration, parse_duration};
use super::suggest::closest;

/// Parses a file of `findings` and hands its top table to `read`. All lines that are no TOML
/// are reported, and the rest is read all the same.
pub(crate) fn parse<T>(
    file: FileId,
    findings: &mut Findings,
    read: impl FnOnce(Table<'_>, &mut Findings) -> T,
) -> T {
    let text = findings.text(file);
    let (root, errors) = DeTable::parse_recoverable(&text);
    for error in errors {
        findings.syntax_error(file, error.span(), error.message().to_owned());
    }
    read(top(file, root.get_ref()), findings)
}

/// The same without a word about lines that are no TOML: for a file that is read once more.
pub(crate) fn peek<T>(
    file: FileId,
    findings: &mut Findings,
    read: impl FnOnce(Table<'_>, &mut Findings) -> T,
) -> T {
    let text = findings.text(file);
    let (root, _) = DeTable::parse_recoverable(&text);
    read(top(file, root.get_ref()), findings)
}

fn top<'a>(file: FileId, table: &'a DeTable<'a>) -> Table<'a> {
    Table {
        spot: Spot { file, span: 0..0 },
        what: "this file",
        table,
        keys: Vec::new(),
    }
}

/// A value and its place.
#[derive(Clone, Copy)]
pub(crate) struct Value<'a> {
    file: FileId,
    inner: &'a Spanned<DeValue<'a>>,
}

impl<'a> Value<'a> {
    /// Where it stands.
    pub(crate) fn spot(&self) -> Spot {
        Spot {
            file: self.file,
            span: self.inner.span(),
        }
    }

    /// Reports that something else should stand here.
    pub(crate) fn unexpected(&self, expected: &str, findings: &mut Findings) {
        let found = match self.inner.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        findings.error(&self.spot(), format!("expected {expected}, found {found}"));
    }

    /// The string that it is, if it is one.
    pub(crate) fn as_text(&self) -> Option<&'a str> {
        match self.inner.get_ref() {
            DeValue::String(text) => Some(text),
            _ => None,
        }
    }

    /// The integer that it is, if it is one; one that i128 can't hold comes as its nearest.
    pub(crate) fn as_integer(&self) -> Option<i128> {
        match self.inner.get_ref() {
            DeValue::Integer(number) => {
                let digits = number.as_str();
                let end = if digits.starts_with('-') {
                    i128::MIN
                } else {
                    i128::MAX
                };
                Some(i128::from_str_radix(digits, number.radix()).unwrap_or(end))
            }
            _ => None,
        }
    }

    /// True if it is a table.
    pub(crate) fn is_table(&self) -> bool {
        matches!(self.inner.get_ref(), DeValue::Table(_))
    }

    /// A string.
    pub(crate) fn text(&self, expected: &str, findings: &mut Findings) -> Option<&'a str> {
        let text = self.as_text();
        if text.is_none() {
            self.unexpected(expected, findings);
        }
        text
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&self, findings: &mut Findings) -> Option<bool> {
        match self.inner.get_ref() {
            DeValue::Boolean(value) => Some(*value),
            _ => {
                self.unexpected("true or false", findings);
                None
            }
        }
    }

    /// The integer that it is, if it lies in `range`; `None` and a mistake if it doesn't, and
    /// `None` alone if it is no integer.
    pub(crate) fn integer_in<N: TryFrom<i128> + PartialOrd + Display>(
        &self,
        range: RangeInclusive<N>,
        what: &str,
        findings: &mut Findings,
    ) -> Option<N> {
        let number = self.as_integer()?;
        let fits = N::try_from(number).ok().filter(|n| range.contains(n));
        if fits.is_none() {
            let (low, high) = range.into_inner();
            findings.error(
                &self.spot(),
                format!("{number} is no {what}: it must lie in {low}..={high}"),
            );
        }
        fits
    }

    /// A duration within a range.
    pub(crate) fn duration_in(
        &self,
        range: RangeInclusive<Duration>,
        findings: &mut Findings,
    ) -> Option<Duration> {
        let text = self.text("a duration like \"15m\" or \"1h30m\"", findings)?;
        let duration = match parse_duration(text) {
            Ok(duration) => duration,
            Err(error) => {
                findings
                    .error(&self.spot(), format!("{text:?} is no duration: {error}"))
                    .help("write it as in \"90s\", \"15m\" or \"1h30m\"");
                return None;
            }
        };
        if !range.contains(&duration) {
            let (least, most) = (
                format_duration(*range.start()),
                format_duration(*range.end()),
            );
            findings.error(
                &self.spot(),
                format!("{text:?} is out of range: {least} to {most}"),
            );
            return None;
        }
        Some(duration)
    }

    /// A list that isn't empty; `nothing` says what an empty one would mean.
    pub(crate) fn list(
        &self,
        expected: &str,
        nothing: &str,
        findings: &mut Findings,
    ) -> Option<Vec<Value<'a>>> {
        let DeValue::Array(array) = self.inner.get_ref() else {
            self.unexpected(expected, findings);
            return None;
        };
        if array.is_empty() {
            findings.lack(&self.spot(), format!("the list is empty: {nothing}"));
            return None;
        }
        let file = self.file;
        Some(array.iter().map(|inner| Value { file, inner }).collect())
    }

    /// A table; `what` names it in messages, with its article.
    pub(crate) fn table(&self, what: &'static str, findings: &mut Findings) -> Option<Table<'a>> {
        let DeValue::Table(table) = self.inner.get_ref() else {
            self.unexpected("a table", findings);
            return None;
        };
        Some(Table {
            spot: self.spot(),
            what,
            table,
            keys: Vec::new(),
        })
    }

    /// One of a few words.
    pub(crate) fn word<T: Copy>(
        &self,
        words: &[(&'static str, T)],
        findings: &mut Findings,
    ) -> Option<T> {
        let names = || words.iter().map(|(name, _)| *name);
        let all = names()
            .map(|name| format!("{name:?}"))
            .collect::<Vec<_>>()
            .join(", ");
        let text = self.text(&format!("one of {all}"), findings)?;
        let found = words.iter().find(|(name, _)| *name == text);
        if found.is_none() {
            let help = match closest(text, names()) {
                Some(name) => format!("did you mean {name:?}?"),
                None => format!("write one of {all}"),
            };
            findings
                .error(&self.spot(), format!("unknown word {text:?}"))
                .help(help);
        }
        found.map(|(_, value)| *value)
    }
}

/// A table of which each key must be asked for.
pub(crate) struct Table<'a> {
    spot: Spot,
    what: &'static str,
    table: &'a DeTable<'a>,
    keys: Vec<&'static str>,
}

impl<'a> Table<'a> {
    /// Where it begins.
    pub(crate) fn spot(&self) -> &Spot {
        &self.spot
    }

    /// True if it has no key at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// The value of a key that may be left out.
    pub(crate) fn take(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.learn(key);
        let file = self.spot.file;
        self.table.get(key).map(|inner| Value { file, inner })
    }

    /// The value of a key that must be there.
    pub(crate) fn require(
        &mut self,
        key: &'static str,
        findings: &mut Findings,
    ) -> Option<Value<'a>> {
        let value = self.take(key);
        if value.is_none() {
            findings.lack(&self.spot, format!("{} needs the key `{key}`", self.what));
        }
        value
    }

    /// Reports a key that means nothing here.
    pub(crate) fn refuse(&mut self, key: &'static str, why: &str, findings: &mut Findings) {
        self.learn(key);
        if let Some((name, _)) = self.table.get_key_value(key) {
            let spot = self.spot_of(name.span());
            findings.error(&spot, format!("`{key}` means nothing here: {why}"));
        }
    }

    /// Reports every key that was not asked for. `renamed` has pairs of a former (or easily
    /// mistaken) key and the one to write.
    pub(crate) fn finish(self, renamed: &[(&str, &str)], findings: &mut Findings) {
        for name in self.table.keys() {
            let key: &str = name.get_ref();
            if self.keys.contains(&key) {
                continue;
            }
            let new = renamed.iter().find(|(old, _)| *old == key);
            let help = match (new, closest(key, self.keys.iter().copied())) {
                (Some((_, new)), _) => format!("write `{new}`"),
                (None, Some(close)) => format!("did you mean `{close}`?"),
                (None, None) => format!("{} takes {}", self.what, self.keys.join(", ")),
            };
            let spot = self.spot_of(name.span());
            let shown = key.escape_debug();
            findings
                .error(&spot, format!("unknown key `{shown}`"))
                .help(help);
        }
    }

    /// Takes keys for known that other ones have made useless.
    pub(crate) fn know(&mut self, keys: &[&'static str]) {
        keys.iter().for_each(|key| self.learn(key));
    }

    fn learn(&mut self, key: &'static str) {
        if !self.keys.contains(&key) {
            self.keys.push(key);
        }
    }

    fn spot_of(&self, span: std::ops::Range<usize>) -> Spot {
        let file = self.spot.file;
        Spot { file, span }
    }
}
