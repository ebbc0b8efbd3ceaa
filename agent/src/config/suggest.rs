// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which known word a misspelt one was meant to be.

/// The known word that is closest to `word`, if one is close enough: at most a third of its
/// letters differ.
pub(crate) fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Edits (insert, delete, replace) that turn `a` into `b`, case aside; what lies beyond 64
/// characters is not looked at.
fn distance(a: &str, b: &str) -> usize {
    let fold = |text: &str| text.to_lowercase().chars().take(64).collect::<Vec<_>>();
    let (a, b) = (fold(a), fold(b));
    // One row of Wagner and Fischer's table: the distances of a's beginning to those of b.
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replace = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_word_is_recognised() {
        let known = ["endpoints", "users", "action", "ttl"];
        assert_eq!(closest("endpoint", known), Some("endpoints"));
        assert_eq!(closest("Users", known), Some("users"));
        assert_eq!(closest("lll", ["ttl"]), None);
        assert_eq!(closest("tt", known), Some("ttl"));
        assert_eq!(closest("colour", known), None);
    }

    #[test]
    fn distances_are_those_of_levenshtein() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
    }
}
