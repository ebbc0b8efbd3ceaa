// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What stile says to the person who is asked, in their language.
//!
//! The texts are Project Fluent files in `agent/texts/`, one folder for each language, built
//! into the program. How to add a language: `docs/translating.md`.

mod bounds;
mod language;
mod question;
mod spoken;
#[cfg(test)]
pub(crate) use tests::german;

#[cfg(test)]
mod tests;

use std::fmt;

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource, FluentValue};
use unic_langid::LanguageIdentifier;

pub(crate) use bounds::escape;
pub use question::{Attempt, question};
pub(crate) use question::{details, heading, reason_label, warning};
pub(crate) use spoken::refused;

/// The languages, by their codes (ISO 639). The first has every message.
const LANGUAGES: &[(&str, &str)] = &[
    ("en", include_str!("../../texts/en/stile.ftl")),
    ("de", include_str!("../../texts/de/stile.ftl")),
];

/// The texts in one language.
pub struct Texts {
    language: &'static str,
    /// The language, and English for what it doesn't have.
    bundles: Vec<FluentBundle<FluentResource>>,
}

impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Texts").field(&self.language).finish()
    }
}

impl Texts {
    /// In the language that this process's environment asks for: `LC_ALL`, `LC_MESSAGES`, `LANG`
    /// (POSIX.1-2024, XBD 8.2), and GNU's list `LANGUAGE`.
    #[must_use]
    pub fn of_environment() -> Self {
        let wanted = language::wanted(|name| std::env::var(name).ok());
        let first = wanted.iter().find_map(|code| known(code));
        Self::new(first.unwrap_or(LANGUAGES[0]))
    }

    /// In English.
    #[must_use]
    pub fn english() -> Self {
        Self::new(LANGUAGES[0])
    }

    fn new((language, source): (&'static str, &'static str)) -> Self {
        let mut bundles = vec![bundle(language, source)];
        let (english, fallback) = LANGUAGES[0];
        if language != english {
            bundles.push(bundle(english, fallback));
        }
        Self { language, bundles }
    }

    /// The language's code, as `de`.
    #[must_use]
    pub fn language(&self) -> &'static str {
        self.language
    }

    /// The message without variables.
    pub(crate) fn say(&self, id: &str) -> String {
        self.fill(id, &[])
    }

    /// The message with these variables. It comes from English where the language doesn't have
    /// it, or has it broken; a message that nobody has is its own name.
    pub(crate) fn fill(&self, id: &str, variables: &[(&str, Value<'_>)]) -> String {
        let variables: FluentArgs<'_> = variables
            .iter()
            .map(|(name, value)| {
                let value = match *value {
                    Value::Text(text) => FluentValue::from(text),
                    Value::Number(number) => FluentValue::from(number),
                };
                (*name, value)
            })
            .collect();
        let said = self.bundles.iter().find_map(|bundle| {
            let pattern = bundle.get_message(id)?.value()?;
            let mut errors = Vec::new();
            let text = bundle.format_pattern(pattern, Some(&variables), &mut errors);
            errors.is_empty().then(|| text.into_owned())
        });
        said.unwrap_or_else(|| id.to_owned())
    }

    /// A span of time in words, as `15 minutes`, in at most two units.
    pub(crate) fn span(&self, seconds: u64) -> String {
        let units = [
            ("span-days", seconds / 86_400),
            ("span-hours", seconds / 3_600 % 24),
            ("span-minutes", seconds / 60 % 60),
            ("span-seconds", seconds % 60),
        ];
        let first = units
            .iter()
            .position(|(_, number)| *number > 0)
            .unwrap_or(3);
        let words: Vec<_> = units[first..]
            .iter()
            .take(2)
            .enumerate()
            .filter(|(place, (_, number))| *place == 0 || *number > 0)
            .map(|(_, (id, number))| self.fill(id, &[("number", Value::Number(*number))]))
            .collect();
        words.join(" ")
    }
}

/// What a variable of a message stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    /// Shown as it is.
    Text(&'a str),
    /// Shown, and what the plural goes by.
    Number(u64),
}

fn known(code: &str) -> Option<(&'static str, &'static str)> {
    LANGUAGES.iter().find(|(known, _)| *known == code).copied()
}

fn bundle(language: &str, source: &str) -> FluentBundle<FluentResource> {
    let plurals: LanguageIdentifier = language.parse().unwrap_or_default();
    let mut bundle = FluentBundle::new_concurrent(vec![plurals]);
    // The marks around variables take no place, and no terminal of ours expects them. What a
    // process chose has its own direction marks escaped.
    bundle.set_use_isolating(false);
    // A message that can't be read is missing, and another language has it.
    let resource = FluentResource::try_new(source.to_owned()).unwrap_or_else(|(rest, _)| rest);
    bundle.add_resource_overriding(resource);
    bundle
}
