// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads the name of a host.

use super::HostName;

/// Longest name, in characters (RFC 1035, 2.3.4, without the dot of the root).
const MAX_NAME: usize = 253;
/// Longest part of a name.
const MAX_LABEL: usize = 63;

/// Why a text is no name of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostNameError {
    /// It is empty or too long.
    #[error("a name has 1 to {MAX_NAME} characters")]
    Length,
    /// One of its parts is.
    #[error("each part between dots has 1 to {MAX_LABEL} characters")]
    Label,
    /// It has other characters.
    #[error(
        "names have letters, digits, '-' and '_'; write others in their ASCII form, which begins \
         with \"xn--\""
    )]
    Character,
    /// A hyphen where none may be.
    #[error("no part of a name begins or ends with '-'")]
    Hyphen,
    /// It ends as an address does.
    #[error("the last part of a name is no number; an address has four numbers up to 255")]
    Number,
    /// A `*` that isn't the first part.
    #[error("'*' can only be the whole first part of a name, as in \"*.db.example.com\"")]
    Wildcard,
}

impl HostName {
    /// Takes a text for the name of a host: a whole one, to which no search list is put, or `*.`
    /// and a suffix. The dot of the root may end it.
    ///
    /// # Errors
    /// If it is none.
    pub fn new(text: &str) -> Result<Self, HostNameError> {
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let suffix = name.strip_prefix('*');
        match suffix {
            Some(suffix) => {
                let rest = suffix.strip_prefix('.').ok_or(HostNameError::Wildcard)?;
                check(rest)?;
                Ok(Self::Below(suffix.into()))
            }
            None => {
                check(&name)?;
                Ok(Self::Exact(name.into()))
            }
        }
    }
}

fn check(name: &str) -> Result<(), HostNameError> {
    if name.contains('*') {
        return Err(HostNameError::Wildcard);
    }
    if !(1..=MAX_NAME).contains(&name.len()) {
        return Err(HostNameError::Length);
    }
    for label in name.split('.') {
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !label.bytes().all(sound) {
            return Err(HostNameError::Character);
        }
        if !(1..=MAX_LABEL).contains(&label.len()) {
            return Err(HostNameError::Label);
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err(HostNameError::Hyphen);
        }
    }
    let last = name.rsplit('.').next().unwrap_or(name);
    if last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(HostNameError::Number);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_suffixes_are_read() {
        for (text, name) in [
            ("db1", "db1"),
            ("DB1.Prod.Example.COM", "db1.prod.example.com"),
            ("db1.example.com.", "db1.example.com"),
            ("_pg.example.com", "_pg.example.com"),
            ("xn--dtenbank-0za.example", "xn--dtenbank-0za.example"),
            ("10-0-0-1.example", "10-0-0-1.example"),
            ("*.db.example.com", "*.db.example.com"),
            ("*.Internal.", "*.internal"),
        ] {
            assert_eq!(HostName::new(text).unwrap().to_string(), name);
        }
        let below = HostName::Below(".db.example.com".into());
        assert_eq!(HostName::new("*.db.example.com"), Ok(below));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = "a".repeat(64);
        let longer = format!("{}a", "a.".repeat(127));
        for (text, why) in [
            ("", HostNameError::Length),
            (".", HostNameError::Length),
            (longer.as_str(), HostNameError::Length),
            (long.as_str(), HostNameError::Label),
            ("db..example.com", HostNameError::Label),
            (".example.com", HostNameError::Label),
            ("db 1", HostNameError::Character),
            ("dätenbank.example", HostNameError::Character),
            ("db1:5432", HostNameError::Character),
            ("fe80::1%eth0", HostNameError::Character),
            ("-db.example", HostNameError::Hyphen),
            ("db-.example", HostNameError::Hyphen),
            ("10.0.0", HostNameError::Number),
            ("10.0.0.300", HostNameError::Number),
            ("010.0.0.1", HostNameError::Number),
            ("*", HostNameError::Wildcard),
            ("*db.example.com", HostNameError::Wildcard),
            ("db*.example.com", HostNameError::Wildcard),
            ("*.*.example.com", HostNameError::Wildcard),
            ("db.*.example.com", HostNameError::Wildcard),
            ("*.", HostNameError::Wildcard),
            ("*..", HostNameError::Length),
        ] {
            assert_eq!(HostName::new(text), Err(why), "{text}");
        }
    }
}
