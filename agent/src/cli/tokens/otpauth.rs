// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `otpauth:` URLs, one on a line, as authenticator apps and other servers give them (Key Uri
//! Format of Google Authenticator). Before it the user may stand; else the account is the user.

use totp_rs::{Algorithm, Totp};
use zeroize::Zeroizing;

use super::{Found, Mistake};
use crate::texts::escape;

pub(super) fn read(text: &str) -> (Vec<Found>, Vec<Mistake>) {
    let mut found = Vec::new();
    let mut mistakes = Vec::new();
    let text = text.trim_start_matches('\u{feff}');
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match token(number, line) {
            Ok(token) => found.push(token),
            Err(why) => mistakes.push(Mistake::new(number, why)),
        }
    }
    (found, mistakes)
}

fn token(number: usize, line: &str) -> Result<Found, String> {
    let (user, url) = match line.split_once(char::is_whitespace) {
        Some((user, url)) => (Some(user), url.trim_start()),
        None => (None, line),
    };
    if !url.starts_with("otpauth:") {
        return Err("this is neither `otpauth://…` nor `USER otpauth://…`".to_owned());
    }
    // Its messages name what is wrong and never the secret, but show other values as they are.
    let totp = Totp::from_url(url).map_err(|error| escape(&error.to_string()))?;
    let algorithm = match totp.algorithm() {
        Algorithm::SHA1 => "sha1",
        Algorithm::SHA256 => "sha256",
        Algorithm::SHA512 => "sha512",
        _ => return Err("its algorithm is none of sha1, sha256 and sha512".to_owned()),
    };
    let account = totp.account_name().trim();
    let user = user.or((!account.is_empty()).then_some(account));
    Ok(Found {
        line: number,
        serial: String::new(),
        user: user.map(str::to_owned),
        secret: Zeroizing::new(totp.secret().as_bytes().to_vec()),
        algorithm,
        digits: totp.digits().into(),
        period: totp.step(),
    })
}
