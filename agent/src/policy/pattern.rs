// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Names with `*` in them.

use std::fmt;

/// A text in which each `*` stands for any characters but `/`, none included.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern(String);

impl Pattern {
    /// Takes a text for a pattern.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True if it has a `*`.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.contains('*')
    }

    /// True if the text is one of those it stands for.
    #[must_use]
    pub fn fits(&self, text: &[u8]) -> bool {
        fits(self.0.as_bytes(), text)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Goes back to the last `*` only: an earlier one has nothing to gain by taking more. Time is
/// the product of the two lengths at most.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut seen) = (0, 0);
    // Behind the last `*`, and up to where it has taken the text.
    let mut star: Option<(usize, usize)> = None;
    while seen < text.len() {
        if pattern.get(at) == Some(&b'*') {
            at += 1;
            star = Some((at, seen));
        } else if pattern.get(at) == Some(&text[seen]) {
            at += 1;
            seen += 1;
        } else if let Some((behind, taken)) = star
            && text[taken] != b'/'
        {
            star = Some((behind, taken + 1));
            (at, seen) = (behind, taken + 1);
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, read aloud.
    fn plainly(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), None) => plainly(rest, text),
            (Some((b'*', rest)), Some((first, behind))) => {
                plainly(rest, text) || (*first != b'/' && plainly(pattern, behind))
            }
            (Some((wanted, rest)), Some((first, behind))) => {
                wanted == first && plainly(rest, behind)
            }
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    proptest! {
        #[test]
        fn it_fits_what_the_definition_says(pattern in "[ab/*]{0,8}", text in "[ab/]{0,8}") {
            let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
            prop_assert_eq!(fits(pattern, text), plainly(pattern, text));
        }
    }

    #[test]
    fn a_star_stays_in_one_part_of_a_path() {
        let psql = Pattern::new("/usr/lib/postgresql/*/bin/psql");
        assert!(psql.fits(b"/usr/lib/postgresql/15/bin/psql"));
        assert!(!psql.fits(b"/usr/lib/postgresql/15/x/bin/psql"));
        assert!(!psql.fits(b"/usr/lib/postgresql/15/bin/psql2"));
    }
}
