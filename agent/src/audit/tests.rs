// SPDX-License-Identifier: Apache-2.0 OR MIT
mod chain;
mod opening;
mod text;

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::clock::{BootTime, Now, WallTime};
use crate::ids::{ChallengeId, ElevationId, GrantId, SocketCookie, Uid};
use crate::ledger::PrivateError;
use crate::policy::Factor;

struct Fixture {
    /// Others may enter it, so the audit directory lies below it.
    dir: TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self {
            dir: TempDir::new().unwrap(),
        }
    }

    fn audit(&self) -> PathBuf {
        self.dir.path().join(DIR_NAME)
    }

    fn path(&self) -> PathBuf {
        self.audit().join(FILE_NAME)
    }

    fn open(&self) -> (AuditLog, Opened) {
        AuditLog::open(&self.audit(), now(0)).unwrap()
    }

    fn open_error(&self) -> AuditError {
        AuditLog::open(&self.audit(), now(0)).unwrap_err()
    }

    /// A log of the genesis and these records.
    fn with(records: &[Record]) -> Self {
        let fixture = Self::new();
        let (mut log, _) = fixture.open();
        for record in records {
            log.append(record).unwrap();
        }
        log.commit().unwrap();
        fixture
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.path()).unwrap()
    }

    fn lines(&self) -> Vec<Vec<u8>> {
        split(&self.bytes())
    }

    fn append_raw(&self, bytes: &[u8]) {
        let mut file = OpenOptions::new().append(true).open(self.path()).unwrap();
        file.write_all(bytes).unwrap();
    }
}

fn split(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes
        .split_inclusive(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect()
}

fn now(seconds: u64) -> Now {
    Now {
        boot: BootTime(seconds * 1_000_000_000),
        wall: WallTime((1_700_000_000 + seconds) * 1_000_000_000),
    }
}

fn fault_event(what: &str) -> Record {
    Record::new(
        now(1),
        Event::Fault {
            what: what.to_owned(),
        },
    )
}

fn subject() -> Subject {
    Subject {
        uid: Uid(1000),
        user: Some("alice".to_owned()),
    }
}

fn flow(exe: &str) -> Flow {
    Flow {
        socket: SocketCookie(77),
        subject: subject(),
        process: ProcessFacts {
            pid: 4321,
            uid: Uid(1000),
            exe: Some(exe.to_owned()),
            comm: "psql".to_owned(),
            parent_pid: Some(4000),
            parent_exe: Some("/usr/bin/bash".to_owned()),
            cgroup: Some("/user.slice/user-1000.slice".to_owned()),
        },
        destination: Destination {
            address: "10.20.0.5".to_owned(),
            port: 5432,
            protocol: "tcp".to_owned(),
            endpoint: "prod-db".to_owned(),
        },
    }
}

fn connection(exe: &str) -> Record {
    let event = Event::Connection(Connection {
        flow: flow(exe),
        grant: GrantId(9),
        rule: "dba step-up".to_owned(),
        factor: Some(Factor::Totp),
        passage: Passage::Released,
        latency_us: Some(812),
    });
    Record::new(now(2), event)
}

/// About thirty records of every length.
fn story() -> Vec<Record> {
    let mut story = Vec::new();
    for id in 0..5 {
        story.push(connection("/usr/bin/psql"));
        story.push(Record::new(
            now(3),
            Event::Factor(FactorUse {
                subject: subject(),
                factor: Factor::Totp,
                outcome: FactorOutcome::Accepted,
                challenge: Some(ChallengeId(id)),
                elevation: Some(ElevationId(id)),
                realm: None,
                reason: None,
            }),
        ));
        story.push(Record::new(now(4), Event::DaemonStopped {}));
        story.push(fault_event("a text with \",\"hash\":\" and \n in it"));
        story.push(fault_event(""));
        story.push(Record::new(
            now(5),
            Event::EventsLost {
                kind: "connection".to_owned(),
                count: id,
            },
        ));
    }
    story
}

fn fault_of(bytes: &[u8]) -> Option<(u64, Fault)> {
    match verify(bytes) {
        Ok(_) => None,
        Err(VerifyError::Faulty { line, fault, .. }) => Some((line, fault)),
        Err(VerifyError::Io(error)) => panic!("{error}"),
    }
}

#[test]
fn a_log_verifies_across_restarts() {
    let fixture = Fixture::new();
    let mut last_hash = Hash::ZERO;
    for round in 0..3_u64 {
        let (mut log, opened) = fixture.open();
        assert_eq!(opened.fresh, round == 0);
        assert_eq!(opened.repaired_bytes, 0);
        let before = if round == 0 { 1 } else { round * 30 + 1 };
        for (index, record) in (1..).zip(story()) {
            assert_eq!(log.append(&record).unwrap(), Seq(before + index));
        }
        log.commit().unwrap();
        last_hash = log.last_hash();
    }
    let report = verify_file(&fixture.path()).unwrap();
    assert_eq!(report.records, 91);
    assert_eq!(report.last_hash, last_hash);
    assert_eq!(report.chain.len(), 36);
}

#[test]
fn a_record_is_a_line_of_json_in_the_documented_form() {
    let fixture = Fixture::with(&[connection("/usr/bin/psql")]);
    let lines = fixture.lines();
    let first: Value = serde_json::from_slice(&lines[0]).unwrap();
    assert_eq!(first["seq"], 1);
    assert_eq!(first["event"], "genesis");
    assert_eq!(first["prev"], "0".repeat(64));
    let text = String::from_utf8(lines[1].clone()).unwrap();
    let prev = first["hash"].as_str().unwrap();
    let expected = format!(
        concat!(
            r#"{{"seq":2,"prev":"{}","time":"2023-11-14T22:13:22.000000000Z","#,
            r#""boot_ns":2000000000,"event":"connection","socket":77,"#,
            r#""subject":{{"uid":1000,"user":"alice"}},"#,
            r#""process":{{"pid":4321,"uid":1000,"exe":"/usr/bin/psql","comm":"psql","#,
            r#""parent_pid":4000,"parent_exe":"/usr/bin/bash","#,
            r#""cgroup":"/user.slice/user-1000.slice"}},"#,
            r#""destination":{{"address":"10.20.0.5","port":5432,"protocol":"tcp","#,
            r#""endpoint":"prod-db"}},"grant":9,"rule":"dba step-up","factor":"totp","#,
            r#""passage":"released","latency_us":812,"hash":""#,
        ),
        prev
    );
    let (hashed, hash) = text.split_at(expected.len());
    assert_eq!(hashed, expected);
    let digest = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(
        hashed.strip_suffix(r#","hash":""#).unwrap(),
    ));
    assert_eq!(hash, format!("{digest}\"}}\n"));
}

#[test]
fn what_was_not_committed_is_not_in_the_file() {
    let fixture = Fixture::new();
    let (mut log, _) = fixture.open();
    log.append(&fault_event("never committed")).unwrap();
    assert_eq!(fixture.lines().len(), 1);
    drop(log);
    let (_, opened) = fixture.open();
    assert_eq!(opened.last, Some(Seq(1)));
}

#[test]
fn many_records_are_written_before_they_fill_memory() {
    let fixture = Fixture::new();
    let (mut log, _) = fixture.open();
    for _ in 0..100 {
        log.append(&fault_event(&"x".repeat(1000))).unwrap();
    }
    assert!(fixture.bytes().len() > 60_000);
    log.commit().unwrap();
    assert_eq!(verify_file(&fixture.path()).unwrap().records, 101);
}

#[test]
fn the_tail_is_the_last_records_oldest_first() {
    let mut records = story();
    // More than one chunk is read backwards.
    records.extend((0..300).map(|n| fault_event(&"x".repeat(n * 10))));
    let fixture = Fixture::with(&records);
    let all: Vec<Value> = fixture
        .lines()
        .iter()
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    for count in [0, 1, 2, 100, 331, 1000, usize::MAX] {
        let expected = &all[all.len().saturating_sub(count)..];
        assert_eq!(tail(&fixture.path(), count).unwrap(), expected, "{count}");
    }
    fixture.append_raw(b"{\"seq\":");
    assert_eq!(tail(&fixture.path(), 1).unwrap(), all[all.len() - 1..]);
}
