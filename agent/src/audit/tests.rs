// SPDX-License-Identifier: Apache-2.0 OR MIT
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
use crate::verify::FactorKind;

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
        factor: Some(FactorKind::Totp),
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
                factor: FactorKind::Totp,
                outcome: FactorOutcome::Accepted,
                challenge: Some(ChallengeId(id)),
                elevation: Some(ElevationId(id)),
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
fn any_changed_byte_is_found() {
    let bytes = Fixture::with(&story()).bytes();
    assert_eq!(fault_of(&bytes), None);
    let mut changed = bytes.clone();
    for (at, &byte) in bytes.iter().enumerate() {
        for with in [byte ^ 1, byte ^ 0x20, b'\n', b'"'] {
            if with != byte {
                changed[at] = with;
                assert_ne!(fault_of(&changed), None, "byte {at} changed to {with:#x}");
            }
        }
        changed[at] = byte;
    }
}

#[test]
fn the_first_fault_is_named_with_its_line() {
    let lines = Fixture::with(&story()).lines();
    let check = |change: &dyn Fn(&mut Vec<Vec<u8>>)| {
        let mut changed = lines.clone();
        change(&mut changed);
        fault_of(&changed.concat())
    };
    let text = |lines: &mut Vec<Vec<u8>>| lines[4][200] ^= 1;
    assert_eq!(check(&text), Some((5, Fault::Changed)));
    let form = |lines: &mut Vec<Vec<u8>>| {
        let at = lines[4].len() - 70;
        lines[4][at] = b' ';
    };
    assert_eq!(check(&form), Some((5, Fault::NotARecord)));
    let long = |lines: &mut Vec<Vec<u8>>| lines[7] = vec![b'x'; MAX_LINE + 10];
    assert_eq!(check(&long), Some((8, Fault::NotARecord)));
    let torn = |lines: &mut Vec<Vec<u8>>| {
        lines[30].pop();
    };
    assert_eq!(check(&torn), Some((31, Fault::Torn)));
    let empty = |lines: &mut Vec<Vec<u8>>| lines.clear();
    assert_eq!(check(&empty), Some((1, Fault::Empty)));
}

#[test]
fn a_removed_swapped_or_inserted_record_is_found() {
    let lines = Fixture::with(&story()).lines();
    for at in 0..lines.len() - 1 {
        let line = at as u64 + 1;
        let mut removed = lines.clone();
        removed.remove(at);
        let found = Seq(line + 1);
        assert_eq!(
            fault_of(&removed.concat()),
            Some((line, Fault::OutOfOrder { found }))
        );
        let mut swapped = lines.clone();
        swapped.swap(at, at + 1);
        assert_eq!(
            fault_of(&swapped.concat()),
            Some((line, Fault::OutOfOrder { found }))
        );
        let mut inserted = lines.clone();
        inserted.insert(at + 1, lines[at].clone());
        let found = Seq(line);
        assert_eq!(
            fault_of(&inserted.concat()),
            Some((line + 1, Fault::OutOfOrder { found }))
        );
    }
}

#[test]
fn a_record_with_the_right_number_from_another_log_is_found() {
    let one = Fixture::with(&story()).lines();
    let other = Fixture::with(&story()).lines();
    for at in 1..one.len() {
        let mut mixed = one.clone();
        mixed[at].clone_from(&other[at]);
        assert_eq!(
            fault_of(&mixed.concat()),
            Some((at as u64 + 1, Fault::Foreign))
        );
    }
    // A log that begins anew without its genesis.
    let (forged, _) = line::encode(Seq(1), Hash::ZERO, &fault_event("")).unwrap();
    assert_eq!(fault_of(&forged), Some((1, Fault::NotARecord)));
}

#[test]
fn a_line_cut_short_is_moved_aside_and_reported() {
    let whole = Fixture::with(&story()).lines();
    let last = whole.last().unwrap();
    for kept in [1, 30, 100, last.len() - 1] {
        let fixture = Fixture::with(&story()[..29]);
        let torn = &last[..kept];
        fixture.append_raw(torn);
        let (mut log, opened) = fixture.open();
        assert_eq!(opened.repaired_bytes, kept as u64);
        assert_eq!(opened.last, Some(Seq(30)));
        let saved = fixture.audit().join("audit.torn.31");
        assert_eq!(fs::read(&saved).unwrap(), torn);
        let mode = fs::metadata(&saved).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        log.append(&fault_event("after")).unwrap();
        log.commit().unwrap();
        assert_eq!(verify_file(&fixture.path()).unwrap().records, 31);
    }
}

#[test]
fn a_log_whose_first_record_was_cut_short_begins_anew() {
    let fixture = Fixture::with(&[]);
    let bytes = fixture.bytes();
    fs::write(fixture.path(), &bytes[..50]).unwrap();
    let (_, opened) = fixture.open();
    assert!(opened.fresh);
    assert_eq!(opened.repaired_bytes, 50);
    assert_eq!(verify_file(&fixture.path()).unwrap().records, 1);
}

#[test]
fn a_log_whose_last_record_was_changed_is_refused_with_a_remedy() {
    let fixture = Fixture::with(&story());
    let mut bytes = fixture.bytes();
    let at = bytes.len() - 100;
    bytes[at] ^= 1;
    fs::write(fixture.path(), &bytes).unwrap();
    let error = fixture.open_error();
    assert!(matches!(error, AuditError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("stile audit verify"), "{error}");
    assert_eq!(fixture.bytes(), bytes, "the evidence is left alone");

    fs::write(fixture.path(), vec![b'x'; 3 * MAX_LINE]).unwrap();
    let error = fixture.open_error();
    assert!(matches!(error, AuditError::Damaged { .. }), "{error}");
}

#[test]
fn a_second_writer_is_refused() {
    let fixture = Fixture::new();
    let _log = fixture.open();
    let error = fixture.open_error();
    assert!(matches!(error, AuditError::InUse { .. }), "{error}");
}

#[test]
fn a_log_that_others_can_read_is_refused() {
    let fixture = Fixture::with(&[]);
    fs::set_permissions(fixture.path(), Permissions::from_mode(0o640)).unwrap();
    let error = fixture.open_error();
    assert!(
        matches!(error, AuditError::NotPrivate(PrivateError::Mode { .. })),
        "{error}"
    );
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

#[test]
fn text_is_safe_for_a_terminal_and_reads_back_as_it_was() {
    let nasty = "a\x1b[31m\u{7f}\u{9b}31m\u{202e}txt.exe\u{2066}\u{2028}\u{feff}\u{e0041}é✓\"\\";
    let fixture = Fixture::with(&[fault_event(nasty)]);
    let text = String::from_utf8(fixture.bytes()).unwrap();
    let expected = concat!(
        r#""what":"a\u001b[31m\u007f\u009b31m\u202etxt.exe\u2066\u2028\ufeff\udb40\udc41"#,
        r#"é✓\"\\""#
    );
    assert!(text.contains(expected), "{text}");
    assert_eq!(tail(&fixture.path(), 1).unwrap()[0]["what"], nasty);
}

#[test]
fn no_process_can_make_its_record_too_long() {
    let longest = "\u{202e}".repeat(100_000);
    let mut flow = flow(&longest);
    flow.process.comm.clone_from(&longest);
    flow.process.parent_exe = Some(longest.clone());
    flow.process.cgroup = Some(longest.clone());
    flow.subject.user = Some(longest.clone());
    flow.destination.address.clone_from(&longest);
    flow.destination.protocol.clone_from(&longest);
    flow.destination.endpoint.clone_from(&longest);
    let decision = Event::Decision(Decision {
        flow,
        outcome: DecisionOutcome::Deny,
        rule: Some(longest.clone()),
        reason: longest.clone(),
        elevation: None,
    });
    let refused = Event::policy_refused(&vec![longest; 5000]);
    let fixture = Fixture::with(&[Record::new(now(1), decision), Record::new(now(1), refused)]);
    assert_eq!(verify_file(&fixture.path()).unwrap().records, 3);
    let records = tail(&fixture.path(), 2).unwrap();
    let exe = records[0]["process"]["exe"].as_str().unwrap();
    assert!(exe.ends_with(&format!("…+{}", 600_000 - 4092)), "{exe:?}");
    assert_eq!(records[1]["errors"].as_array().unwrap().len(), 20);
    assert_eq!(records[1]["more"], 4980);
}

#[test]
fn a_record_that_fits_into_no_line_is_refused_and_the_log_goes_on() {
    let fixture = Fixture::new();
    let (mut log, _) = fixture.open();
    let event = Event::PolicyRefused {
        errors: vec!["x".repeat(100); 20_000],
        more: 0,
    };
    let error = log.append(&Record::new(now(1), event)).unwrap_err();
    assert!(matches!(error, AuditError::Record { .. }), "{error}");
    assert_eq!(log.append(&fault_event("next")).unwrap(), Seq(2));
    log.commit().unwrap();
    assert_eq!(verify_file(&fixture.path()).unwrap().records, 2);
}

proptest! {
    #[test]
    fn any_text_makes_a_line_that_verifies_and_reads_back(what: String) {
        let (line, _) = line::encode(Seq(1), Hash::ZERO, &fault_event(&what)).unwrap();
        prop_assert!(line::parse(&line).is_ok());
        prop_assert!(!line[..line.len() - 1].contains(&b'\n'));
        let value: Value = serde_json::from_slice(&line).unwrap();
        prop_assert_eq!(value["what"].as_str().unwrap(), what);
        for control in std::str::from_utf8(&line).unwrap().trim_end().chars() {
            prop_assert!(!control.is_control());
        }
    }

    #[test]
    fn no_line_makes_the_reader_fail(bytes: Vec<u8>) {
        prop_assert!(line::parse(&bytes).is_err());
        prop_assert!(verify(bytes.as_slice()).is_err());
    }
}
