// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Portable Symmetric Key Containers (RFC 6030), with their secrets in plain text.

use data_encoding::BASE64;
use roxmltree::{Document, Node};
use zeroize::Zeroizing;

use super::{Found, Mistake};
use crate::texts::escape;

/// What a key has if its file doesn't say otherwise (RFC 6238).
const USUAL_PERIOD: u64 = 30;

pub(super) fn read(text: &str) -> (Vec<Found>, Vec<Mistake>) {
    // Refuses document types, and with them entities that grow.
    let document = match Document::parse(text) {
        Ok(document) => document,
        Err(error) => {
            let line = error.pos().row;
            let line = usize::try_from(line).unwrap_or_default();
            let text = format!("this is no XML: {}", escape(&error.to_string()));
            return (Vec::new(), vec![Mistake::new(line, text)]);
        }
    };
    let root = document.root_element();
    let line = |node: Node<'_, '_>| {
        let row = document.text_pos_at(node.range().start).row;
        usize::try_from(row).unwrap_or_default()
    };
    if !is(root, "KeyContainer") {
        let text = "this is no PSKC file: its first element is no KeyContainer";
        return (Vec::new(), vec![Mistake::new(line(root), text)]);
    }
    let mut mistakes = Vec::new();
    if let Some(key) = root.children().find(|it| is(*it, "EncryptionKey")) {
        mistakes.push(Mistake::new(line(key), ENCRYPTED));
        return (Vec::new(), mistakes);
    }
    let mut found = Vec::new();
    for package in root.children().filter(|it| is(*it, "KeyPackage")) {
        let Some(key) = child(package, "Key") else {
            mistakes.push(Mistake::new(line(package), "this package has no key"));
            continue;
        };
        match token(package, key) {
            Ok(token) => found.push(Found {
                line: line(key),
                ..token
            }),
            Err(wrong) => {
                let wrong = wrong.into_iter();
                mistakes.extend(wrong.map(|text| Mistake::new(line(key), text)));
            }
        }
    }
    (found, mistakes)
}

const ENCRYPTED: &str = "its secrets are encrypted, and stile takes only plain ones: decrypt the \
                         file first, as with `pskctool --decrypt`";

fn token(package: Node<'_, '_>, key: Node<'_, '_>) -> Result<Found, Vec<String>> {
    let mut wrong = Vec::new();
    let profile = key.attribute("Algorithm").unwrap_or_default();
    // `urn:ietf:params:xml:ns:keyprov:pskc:totp`, and `…#totp` of the drafts before it.
    let kind = profile.rsplit([':', '#']).next().unwrap_or_default();
    if !kind.eq_ignore_ascii_case("totp") {
        let kind = escape(kind);
        return Err(vec![format!(
            "its algorithm is {kind:?}; stile takes only totp, codes by time"
        )]);
    }
    let parameters = child(key, "AlgorithmParameters");
    let suite = parameters.and_then(|it| child(it, "Suite")).map(text_of);
    let algorithm = match suite.map(plain_name).as_deref() {
        None | Some("" | "sha1" | "hmacsha1") => "sha1",
        Some("sha256" | "hmacsha256") => "sha256",
        Some("sha512" | "hmacsha512") => "sha512",
        Some(_) => {
            wrong.push("its suite is none of HMAC-SHA1, -SHA256 and -SHA512".to_owned());
            "sha1"
        }
    };
    let format = parameters.and_then(|it| child(it, "ResponseFormat"));
    let attribute = |name| format.and_then(|it| it.attribute(name));
    if attribute("Encoding").is_some_and(|it| !it.eq_ignore_ascii_case("decimal")) {
        wrong.push("its codes are no decimal digits".to_owned());
    }
    if attribute("CheckDigits").is_some_and(|it| matches!(it, "true" | "1")) {
        wrong.push("its codes have a check digit, which stile doesn't know".to_owned());
    }
    let pin = child(key, "Policy").and_then(|it| child(it, "PINPolicy"));
    let pin = pin.and_then(|it| it.attribute("PINUsageMode"));
    if pin.is_some_and(|it| !it.eq_ignore_ascii_case("local")) {
        wrong.push("a PIN is part of its codes, which stile doesn't know".to_owned());
    }
    let digits = number(attribute("Length"), 6);
    let data = child(key, "Data");
    let period = data.and_then(|it| plain(it, "TimeInterval"));
    let period = number(period, USUAL_PERIOD);
    let secret = secret(data).map_err(|why| wrong.push(why)).ok();
    let device = child(package, "DeviceInfo");
    let user = [Some(key), device].into_iter().flatten();
    let user = user.filter_map(|it| child(it, "UserId")).map(text_of);
    let serial = device.and_then(|it| child(it, "SerialNo")).map(text_of);
    let serial = serial.or(key.attribute("Id")).unwrap_or_default().trim();
    match (secret, digits, period, wrong.is_empty()) {
        (Some(secret), Some(digits), Some(period), true) => Ok(Found {
            line: 0,
            serial: serial.to_owned(),
            user: user.map(user_name).find(|it| !it.is_empty()),
            secret,
            algorithm,
            digits,
            period,
        }),
        (_, digits, period, _) => {
            if digits.is_none() || period.is_none() {
                wrong.push("its digits or its time interval are no number".to_owned());
            }
            Err(wrong)
        }
    }
}

fn secret(data: Option<Node<'_, '_>>) -> Result<Zeroizing<Vec<u8>>, String> {
    let secret = data.and_then(|it| child(it, "Secret"));
    let secret = secret.ok_or("it has no secret")?;
    if child(secret, "EncryptedValue").is_some() {
        return Err(ENCRYPTED.to_owned());
    }
    let value = child(secret, "PlainValue").ok_or("it has no secret in plain text")?;
    let letters = text_of(value).chars().filter(|it| !it.is_whitespace());
    let letters = Zeroizing::new(letters.collect::<String>());
    let bytes = BASE64.decode(letters.as_bytes()).map(Zeroizing::new);
    bytes.map_err(|_| "its secret is no base 64".to_owned())
}

/// The user that a distinguished name is about, or the text itself: `UID=alice,DC=example` is
/// alice.
fn user_name(text: &str) -> String {
    let text = text.trim();
    let parts = || text.split(',').filter_map(|part| part.split_once('='));
    let named = |name: &str| {
        let mut parts = parts();
        let part = parts.find(|(key, _)| key.trim().eq_ignore_ascii_case(name));
        part.map(|(_, value)| value.trim())
    };
    let user = named("uid").or_else(|| named("cn")).unwrap_or(text);
    user.to_owned()
}

fn plain_name(text: &str) -> String {
    let letters = text.chars().filter(char::is_ascii_alphanumeric);
    letters.map(|it| it.to_ascii_lowercase()).collect()
}

/// The number that stands there; what is usual if nothing does; `None` if it is none.
fn number(text: Option<&str>, usual: u64) -> Option<u64> {
    text.map_or(Some(usual), |text| text.trim().parse().ok())
}

/// The plain value of an element of `data`.
fn plain<'a>(data: Node<'a, '_>, name: &str) -> Option<&'a str> {
    let element = child(data, name)?;
    child(element, "PlainValue").map(text_of)
}

fn text_of<'a>(node: Node<'a, '_>) -> &'a str {
    node.text().unwrap_or_default()
}

fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    node.children().find(|it| is(*it, name))
}

/// By its local name: files of makers have drafts' namespaces, and some have none.
fn is(node: Node<'_, '_>, name: &str) -> bool {
    node.is_element() && node.tag_name().name() == name
}
