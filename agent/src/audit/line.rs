// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One line of the log: made, and taken apart.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Record;
use super::escape::SafeFormatter;

/// Longest line, its line feed included. A reader never has to hold more than that.
pub const MAX_LINE: usize = 64 * 1024;

const SEQ_KEY: &[u8] = b"{\"seq\":";
const PREV_KEY: &[u8] = b",\"prev\":\"";
const BODY_KEY: &[u8] = b"\",";
const HASH_KEY: &[u8] = b",\"hash\":\"";
const END: &[u8] = b"\"}\n";
const HEX: usize = 64;

/// A record's number; the first is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// The number of the first record.
    pub const FIRST: Self = Self(1);

    /// The number after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The SHA-256 of a record, which the next one carries.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hash([u8; 32]);

impl Hash {
    /// What the first record carries in the place of a predecessor's hash.
    pub const ZERO: Self = Self([0; 32]);

    fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Reads exactly 64 lower-case hex digits; another spelling of the same number is no hash.
    fn parse(text: &[u8]) -> Option<Self> {
        if text.iter().any(u8::is_ascii_uppercase) {
            return None;
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

/// Makes the line of a record, line feed included, and its hash.
pub(super) fn encode(seq: Seq, prev: Hash, record: &Record) -> Result<(Vec<u8>, Hash), String> {
    let mut body = Vec::with_capacity(1024);
    let mut serializer =
        serde_json::Serializer::with_formatter(&mut body, SafeFormatter::default());
    record
        .serialize(&mut serializer)
        .map_err(|cause| cause.to_string())?;
    let fields = body
        .strip_prefix(b"{")
        .and_then(|body| body.strip_suffix(b"}"))
        .ok_or("it is no object")?;

    let mut line = Vec::with_capacity(fields.len() + 256);
    line.extend_from_slice(SEQ_KEY);
    line.extend_from_slice(seq.to_string().as_bytes());
    line.extend_from_slice(PREV_KEY);
    line.extend_from_slice(prev.to_string().as_bytes());
    line.extend_from_slice(BODY_KEY);
    line.extend_from_slice(fields);
    let hash = Hash::of(&line);
    line.extend_from_slice(HASH_KEY);
    line.extend_from_slice(hash.to_string().as_bytes());
    line.extend_from_slice(END);
    if line.len() > MAX_LINE {
        return Err(format!("it has {} bytes", line.len()));
    }
    Ok((line, hash))
}

/// The links of a line whose own hash is right.
pub(super) struct Links {
    pub(super) seq: Seq,
    pub(super) prev: Hash,
    pub(super) hash: Hash,
}

/// Why a line is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// It doesn't have a record's form.
    Form,
    /// Its hash isn't that of its bytes.
    Hash,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => "it hasn't the form of a record",
            Self::Hash => "its hash is not that of its text",
        })
    }
}

/// Takes a line, line feed included, apart, and checks its own hash.
pub(super) fn parse(line: &[u8]) -> Result<Links, Broken> {
    let (hashed, hash) = split_hash(line).ok_or(Broken::Form)?;
    if Hash::of(hashed) != hash {
        return Err(Broken::Hash);
    }
    let (seq, prev) = split_links(hashed).ok_or(Broken::Form)?;
    Ok(Links { seq, prev, hash })
}

/// The bytes that the hash covers, and the hash. Found from the end, where nothing but the hash
/// can stand: a text with `,"hash":"` in it has its quotes escaped.
fn split_hash(line: &[u8]) -> Option<(&[u8], Hash)> {
    let line = line.strip_suffix(END)?;
    let (line, hash) = line.split_at_checked(line.len().checked_sub(HEX)?)?;
    Some((line.strip_suffix(HASH_KEY)?, Hash::parse(hash)?))
}

fn split_links(hashed: &[u8]) -> Option<(Seq, Hash)> {
    let rest = hashed.strip_prefix(SEQ_KEY)?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = rest.split_at(digits);
    let (prev, rest) = rest.strip_prefix(PREV_KEY)?.split_at_checked(HEX)?;
    rest.strip_prefix(BODY_KEY)?;
    let seq = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some((Seq(seq), Hash::parse(prev)?))
}
