// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Observes what systemd-resolved answers to the programs of this host.
//!
//! Its monitor, since systemd 252, is a varlink service (varlink.org): JSON objects over a UNIX
//! socket, each ended by a NUL byte. After one call of `SubscribeQueryResults` it sends an object
//! for each answer. What it looks like: `varlink-io.systemd.Resolve.Monitor.c` in systemd, and
//! `varlinkctl introspect`.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use data_encoding::BASE64;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

/// The monitor's socket.
pub const MONITOR: &str = "/run/systemd/resolve/io.systemd.Resolve.Monitor";

const SUBSCRIBE: &[u8] =
    b"{\"method\":\"io.systemd.Resolve.Monitor.SubscribeQueryResults\",\"more\":true}\0";

/// The longest message: an answer has at most 64 KiB, and is written twice, as numbers and in
/// base64, with names in each record.
const MAX_MESSAGE: u64 = 4 << 20;

/// Pauses before the monitor is tried again.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// An answer that a program of this host got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Observed {
    /// What was asked for, and what that was another name of; in lower case, without a dot at the
    /// end. At least one.
    pub(super) names: Vec<String>,
    /// Where that is.
    pub(super) addresses: Vec<IpAddr>,
    /// For how long the answer may be remembered.
    pub(super) ttl: Duration,
}

impl Observed {
    /// What was asked for.
    pub(super) fn name(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }
}

/// What comes of observing.
#[derive(Debug)]
pub(super) enum Sight {
    /// Answers are seen from now on.
    Open,
    /// None is seen, and why.
    Blind(String),
    /// One was seen.
    Answer(Observed),
    /// One was seen, and not understood.
    Misread(String),
}

/// Observes until nobody listens. Where there is no monitor, tries again, ever more slowly.
pub(super) async fn observe(socket: PathBuf, sights: mpsc::Sender<Sight>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let why = match follow(&socket, &sights, &mut pause).await {
            Ok(()) => "systemd-resolved has ended the connection".to_owned(),
            Err(why) => why,
        };
        let why = format!("{}: {why}", socket.display());
        if sights.send(Sight::Blind(why)).await.is_err() {
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn follow(
    socket: &PathBuf,
    sights: &mpsc::Sender<Sight>,
    pause: &mut Duration,
) -> Result<(), String> {
    let told = |error: std::io::Error| error.to_string();
    let mut stream = UnixStream::connect(socket).await.map_err(told)?;
    stream.write_all(SUBSCRIBE).await.map_err(told)?;
    let mut messages = BufReader::new(stream);
    let mut message = Vec::new();
    loop {
        message.clear();
        let mut limited = (&mut messages).take(MAX_MESSAGE);
        limited.read_until(0, &mut message).await.map_err(told)?;
        match message.pop() {
            None => return Ok(()),
            Some(0) => {}
            Some(_) => return Err("a message without an end".to_owned()),
        }
        let sight = match read(&message) {
            Ok(Message::Ready) => {
                *pause = FIRST_PAUSE;
                Sight::Open
            }
            Ok(Message::Answer(observed)) => Sight::Answer(observed),
            Ok(Message::Other) => continue,
            Ok(Message::Error(error)) => return Err(error),
            // The next one may be as it should: what is observed must not end with one answer.
            Err(error) => Sight::Misread(error.to_string()),
        };
        if sights.send(sight).await.is_err() {
            return Ok(());
        }
    }
}

/// What a message says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    Ready,
    Answer(Observed),
    /// The call was refused.
    Error(String),
    /// Nothing about addresses.
    Other,
}

#[derive(Deserialize)]
struct Reply {
    error: Option<String>,
    #[serde(default)]
    parameters: Parameters,
}

#[derive(Default, Deserialize)]
struct Parameters {
    ready: Option<bool>,
    state: Option<String>,
    question: Option<Vec<Key>>,
    #[serde(rename = "collectedQuestions")]
    collected: Option<Vec<Key>>,
    answer: Option<Vec<Record>>,
}

#[derive(Deserialize)]
struct Key {
    name: Option<String>,
}

#[derive(Deserialize)]
struct Record {
    rr: Option<Parsed>,
    raw: Option<String>,
}

#[derive(Deserialize)]
struct Parsed {
    key: Key,
    /// What the name is another name of.
    name: Option<String>,
    address: Option<Vec<u8>>,
}

/// Reads one message, without its NUL.
pub(super) fn read(message: &[u8]) -> Result<Message, serde_json::Error> {
    let reply: Reply = serde_json::from_slice(message)?;
    if let Some(error) = reply.error {
        return Ok(Message::Error(error));
    }
    let told = reply.parameters;
    if told.ready == Some(true) {
        return Ok(Message::Ready);
    }
    if told.state.as_deref() != Some("success") {
        return Ok(Message::Other);
    }
    let asked = told.question.into_iter().chain(told.collected).flatten();
    let mut names: Vec<String> = asked.filter_map(|key| key.name).collect();
    let (mut addresses, mut ttls) = (BTreeSet::new(), Vec::new());
    for record in told.answer.into_iter().flatten() {
        let Some(parsed) = record.rr else { continue };
        names.extend(parsed.key.name);
        names.extend(parsed.name);
        if let Some(address) = parsed.address.as_deref().and_then(address) {
            addresses.insert(address);
            // The longest one: what is remembered for a shorter time is asked for again.
            ttls.extend(record.raw.as_deref().and_then(ttl));
        }
    }
    if addresses.is_empty() || names.is_empty() {
        return Ok(Message::Other);
    }
    let plain = |name: String| name.trim_end_matches('.').to_ascii_lowercase();
    Ok(Message::Answer(Observed {
        names: names.into_iter().map(plain).collect(),
        addresses: addresses.into_iter().collect(),
        ttl: ttls.into_iter().max().unwrap_or_default(),
    }))
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(v4).into());
    }
    <[u8; 16]>::try_from(bytes)
        .ok()
        .map(|v6| Ipv6Addr::from(v6).into())
}

/// The TTL of a record as it was sent, in base64: it follows name, type and class (RFC 1035,
/// 4.1.3). The name isn't compressed, as the record stands alone.
fn ttl(raw: &str) -> Option<Duration> {
    let record = BASE64.decode(raw.as_bytes()).ok()?;
    let mut rest = record.as_slice();
    loop {
        let (length, after) = rest.split_first()?;
        rest = after.get(usize::from(*length)..)?;
        if *length == 0 {
            break;
        }
    }
    let ttl = rest.get(4..8)?.try_into().ok()?;
    Some(Duration::from_secs(u32::from_be_bytes(ttl).into()))
}

#[cfg(test)]
mod tests;
