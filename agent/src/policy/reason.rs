// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why somebody wants through, in their own words.

use std::fmt;
use std::hash::{Hash, Hasher};

use regex_lite::{Regex, RegexBuilder};

/// Longest reason, in characters.
pub const MAX_REASON: usize = 200;
/// Longest pattern, in bytes.
const MAX_PATTERN: usize = 256;
/// Most that a pattern may become when it is compiled, in bytes.
const MAX_COMPILED: usize = 1024 * 1024;

/// The reason that a rule asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReasonAsked {
    /// True if nobody gets through without.
    pub required: bool,
    /// How many characters it has at least, if there is one.
    pub least: usize,
    /// What it looks like.
    pub pattern: Option<ReasonPattern>,
    /// What it is called where it is asked for, as "ticket".
    pub prompt: Option<String>,
}

impl ReasonAsked {
    /// What is looked at in a reason that nobody asks for: it is kept all the same.
    pub const FREE: Self = Self {
        required: false,
        least: 0,
        pattern: None,
        prompt: None,
    };

    /// Checks a reason; spaces around it don't count.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence for who gave it.
    pub fn check(&self, text: &str) -> Result<(), ReasonRefused> {
        let text = text.trim();
        let length = text.chars().count();
        if text.is_empty() {
            return match self.required {
                true => Err(ReasonRefused::Missing),
                false => Ok(()),
            };
        }
        if length > MAX_REASON {
            return Err(ReasonRefused::TooLong);
        }
        if text.chars().any(|c| c.is_control()) {
            return Err(ReasonRefused::Control);
        }
        if length < self.least {
            return Err(ReasonRefused::TooShort(self.least));
        }
        match &self.pattern {
            Some(pattern) if !pattern.fits(text) => {
                Err(ReasonRefused::Unlike(pattern.as_str().to_owned()))
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for ReasonAsked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.required {
            "required"
        } else {
            "optional"
        })?;
        if let Some(prompt) = &self.prompt {
            write!(f, ", {prompt}")?;
        }
        match &self.pattern {
            Some(pattern) => write!(f, ", like {}", pattern.as_str()),
            None => Ok(()),
        }
    }
}

/// Why a reason doesn't do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReasonRefused {
    /// There is none.
    #[error("a reason is asked for")]
    Missing,
    /// It has more than [`MAX_REASON`] characters.
    #[error("the reason is too long: {MAX_REASON} characters at most")]
    TooLong,
    /// It has fewer characters than these.
    #[error("the reason is too short: {0} characters at least")]
    TooShort(usize),
    /// It has characters that a terminal would obey.
    #[error("the reason has characters that can't be shown")]
    Control,
    /// It doesn't look like this.
    #[error("the reason doesn't look like {0}")]
    Unlike(String),
}

/// What a reason has to look like as a whole: a regular expression, matched in linear time.
#[derive(Clone, Debug)]
pub struct ReasonPattern {
    text: String,
    whole: Regex,
}

impl ReasonPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// If it is too long or none; as part of a sentence.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.len() > MAX_PATTERN {
            return Err(format!("it must have 1 to {MAX_PATTERN} characters"));
        }
        let compiled = |text: &str| {
            RegexBuilder::new(text)
                .size_limit(MAX_COMPILED)
                .build()
                .map_err(|error| error.to_string())
        };
        // By itself first: brackets that close those around it would be none.
        compiled(text)?;
        let whole = compiled(&format!(r"\A(?:{text})\z"))?;
        Ok(Self {
            text: text.to_owned(),
            whole,
        })
    }

    /// The pattern, as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn fits(&self, text: &str) -> bool {
        self.whole.is_match(text)
    }
}

impl PartialEq for ReasonPattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for ReasonPattern {}

impl Hash for ReasonPattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket() -> ReasonAsked {
        ReasonAsked {
            required: true,
            least: 0,
            pattern: Some(ReasonPattern::new("[A-Z]+-[0-9]+").unwrap()),
            prompt: Some("ticket".to_owned()),
        }
    }

    #[test]
    fn a_pattern_has_to_match_the_whole_text() {
        assert_eq!(ticket().check("OPS-12"), Ok(()));
        for text in ["see OPS-12", "OPS-12 and more", "ops-12", "OPS-"] {
            let unlike = Err(ReasonRefused::Unlike("[A-Z]+-[0-9]+".to_owned()));
            assert_eq!(ticket().check(text), unlike, "{text}");
        }
    }

    #[test]
    fn either_half_of_an_alternative_has_to_be_the_whole_text() {
        let either = ReasonAsked {
            pattern: Some(ReasonPattern::new("a|b").unwrap()),
            ..ticket()
        };
        assert_eq!(either.check("b"), Ok(()));
        assert!(either.check("ax").is_err() && either.check("xb").is_err());
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        let long = "a".repeat(MAX_PATTERN + 1);
        for text in ["", "(", "a)|(b", "[", "(?:a{1000}){1000}", &long] {
            assert!(ReasonPattern::new(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_reason_is_there_if_it_has_to_be_and_bounded() {
        let any = ReasonAsked {
            required: true,
            least: 10,
            pattern: None,
            prompt: None,
        };
        assert_eq!(any.check("  "), Err(ReasonRefused::Missing));
        assert_eq!(any.check("short"), Err(ReasonRefused::TooShort(10)));
        assert_eq!(any.check("short     "), Err(ReasonRefused::TooShort(10)));
        assert_eq!(any.check("long enough"), Ok(()));
        assert_eq!(
            any.check("red \u{1b}[31m alert"),
            Err(ReasonRefused::Control)
        );
        let long = "ä".repeat(MAX_REASON);
        assert_eq!(any.check(&long), Ok(()));
        assert_eq!(any.check(&format!("{long}ä")), Err(ReasonRefused::TooLong));
    }

    #[test]
    fn a_reason_that_may_be_left_out_fits_if_it_is_given() {
        let optional = ReasonAsked {
            required: false,
            ..ticket()
        };
        assert_eq!(optional.check(""), Ok(()));
        assert!(optional.check("because").is_err());
    }
}
