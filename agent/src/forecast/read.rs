// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads the attempts of an audit log.

use std::io::{self, BufRead, Read as _};
use std::net::IpAddr;

use jiff::Timestamp;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use stile_common::protocol;

use super::attempt::{Attempt, Process};
use crate::audit::MAX_LINE;
use crate::ids::Uid;

/// Why a log can't be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It could not be read.
    #[error("cannot read the audit log: {0}")]
    Io(#[from] io::Error),
    /// One of its lines is no record.
    #[error("line {line}: {why}")]
    Line {
        /// Which one, from 1.
        line: u64,
        /// Why not.
        why: BadLine,
    },
}

/// Why a line is no record.
#[derive(Debug, thiserror::Error)]
pub enum BadLine {
    /// It has no end, or is longer than any.
    #[error("this record was cut short, or is no record")]
    Torn,
    /// It isn't JSON, or lacks what its event has.
    #[error("this is no record: {0}")]
    NoRecord(String),
}

/// What every record has.
#[derive(Deserialize)]
struct Head {
    event: String,
}

#[derive(Deserialize)]
struct Subject {
    uid: u32,
    user: Option<String>,
}

#[derive(Deserialize)]
struct ProcessRecord {
    pid: u32,
    exe: Option<String>,
    cgroup: Option<String>,
}

#[derive(Deserialize)]
struct Destination {
    address: IpAddr,
    port: u16,
    protocol: String,
    endpoint: String,
}

/// `attempt` and `connection`.
#[derive(Deserialize)]
struct Flow {
    #[serde(deserialize_with = "time")]
    time: Timestamp,
    socket: u64,
    subject: Subject,
    process: ProcessRecord,
    destination: Destination,
    /// Of a `connection`.
    passage: Option<String>,
    /// Of an `attempt`.
    disposition: Option<String>,
}

/// `connections`
#[derive(Deserialize)]
struct Counted {
    #[serde(deserialize_with = "time")]
    time: Timestamp,
    subject: Subject,
    endpoint: String,
    count: u64,
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
    text.parse().map_err(D::Error::custom)
}

/// Hands each attempt of a log to `take`, and holds one line at a time.
pub(super) fn each(mut log: impl BufRead, mut take: impl FnMut(Attempt)) -> Result<(), ReadError> {
    let mut line = Vec::new();
    let mut number = 0;
    let mut reader = Reader::default();
    loop {
        line.clear();
        // One byte more than a line may have tells that it is too long.
        let limit = MAX_LINE as u64 + 1;
        log.by_ref().take(limit).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(());
        }
        number += 1;
        match reader.read(&line) {
            Ok(attempt) => attempt.into_iter().for_each(&mut take),
            Err(why) => return Err(ReadError::Line { line: number, why }),
        }
    }
}

/// Where the reading stands.
#[derive(Default)]
struct Reader {
    /// The socket of the last attempt. What a grant lets through is written as an attempt and
    /// then as a connection.
    last: Option<u64>,
}

impl Reader {
    fn read(&mut self, line: &[u8]) -> Result<Option<Attempt>, BadLine> {
        if !line.ends_with(b"\n") {
            return Err(BadLine::Torn);
        }
        let head: Head = parse(line)?;
        Ok(match head.event.as_str() {
            "attempt" => {
                let flow: Flow = parse(line)?;
                // One whose disposition isn't there is another event by this name.
                if flow.disposition.is_none() {
                    return Err(BadLine::NoRecord(
                        "an attempt without disposition".to_owned(),
                    ));
                }
                self.last = Some(flow.socket);
                Some(attempt(flow))
            }
            "connection" => {
                let flow: Flow = parse(line)?;
                let passed = flow.passage.as_deref() == Some("passed");
                let is_new = passed && self.last != Some(flow.socket);
                is_new.then(|| attempt(flow))
            }
            "connections" => {
                let counted: Counted = parse(line)?;
                Some(Attempt {
                    at: counted.time,
                    uid: Uid(counted.subject.uid),
                    user: counted.subject.user,
                    endpoint: counted.endpoint,
                    to: None,
                    process: None,
                    count: counted.count,
                })
            }
            _ => None,
        })
    }
}

fn parse<T: DeserializeOwned>(line: &[u8]) -> Result<T, BadLine> {
    serde_json::from_slice(line).map_err(|error| BadLine::NoRecord(error.to_string()))
}

fn attempt(flow: Flow) -> Attempt {
    let to = flow.destination;
    let number = match to.protocol.as_str() {
        "tcp" => Some(protocol::TCP),
        "udp" => Some(protocol::UDP),
        other => other.parse().ok(),
    };
    Attempt {
        at: flow.time,
        uid: Uid(flow.subject.uid),
        user: flow.subject.user,
        endpoint: to.endpoint,
        to: number.map(|number| (to.address, to.port, number)),
        process: Some(Process {
            pid: flow.process.pid,
            exe: flow.process.exe.map(Into::into),
            cgroup: flow.process.cgroup.map(Into::into),
        }),
        count: 1,
    }
}
