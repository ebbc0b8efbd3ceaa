// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which languages the environment asks for.

use unic_langid::LanguageIdentifier;

/// The codes of the languages that are wanted, best first.
///
/// The first of `LC_ALL`, `LC_MESSAGES` and `LANG` that isn't empty names the locale (POSIX.1).
/// Unless that is `C` or `POSIX`, `LANGUAGE` goes before it, a list with colons (GNU gettext).
pub(super) fn wanted(variable: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let set = |name: &&str| variable(name).filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_MESSAGES", "LANG"].iter().find_map(set);
    let Some(locale) = locale.filter(|locale| !matches!(locale.as_str(), "C" | "POSIX")) else {
        return Vec::new();
    };
    let list = set(&"LANGUAGE").unwrap_or_default();
    list.split(':')
        .chain([locale.as_str()])
        .filter_map(language_of)
        .collect()
}

/// `de` of `de_AT.UTF-8@euro`.
fn language_of(locale: &str) -> Option<String> {
    let name = locale.split(['.', '@']).next()?;
    if matches!(name, "C" | "POSIX") {
        // gettext takes these for English wherever they stand.
        return Some("en".to_owned());
    }
    let name: LanguageIdentifier = name.parse().ok()?;
    Some(name.language.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Vec<String> {
        wanted(|name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_first_variable_that_is_not_empty_names_the_language() {
        let all = [
            ("LC_ALL", "de_DE.UTF-8"),
            ("LC_MESSAGES", "fr"),
            ("LANG", "it"),
        ];
        assert_eq!(of(&all), ["de"]);
        assert_eq!(of(&all[1..]), ["fr"]);
        assert_eq!(of(&all[2..]), ["it"]);
        assert_eq!(of(&[("LC_ALL", ""), ("LANG", "de_AT@euro")]), ["de"]);
        assert!(of(&[]).is_empty());
    }

    #[test]
    fn a_list_of_languages_goes_before_the_locale_but_not_before_none() {
        let list = ("LANGUAGE", "sv:de_AT::!!");
        assert_eq!(of(&[list, ("LANG", "en_US.UTF-8")]), ["sv", "de", "en"]);
        assert_eq!(of(&[list, ("LC_ALL", "C.UTF-8")]), ["sv", "de", "en"]);
        for none in ["C", "POSIX"] {
            assert!(of(&[list, ("LC_ALL", none), ("LANG", "de_DE")]).is_empty());
        }
        assert!(of(&[list]).is_empty());
    }
}
