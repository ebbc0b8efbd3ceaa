// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Promise S4: where the ledger or the audit log can't be written, they say so and go on
//! saying so; and once there is space and they are opened anew, nothing that they had
//! acknowledged is lost.
//!
//! The disk is a small tmpfs in a mount namespace of the test's own, so this needs root.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of a test may stop it"
)]

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use stile::audit::{AuditError, AuditLog, Event, Record, Seq, verify_file};
use stile::clock::{BootTime, Now, WallTime};
use stile::decide::Bound;
use stile::ids::{GrantId, Uid};
use stile::ledger::{
    BootId, Ledger, LedgerError, NewDevice, NewElevation, SecretPrint, StepOutcome, TotpParameters,
    TotpSecret, TotpStep,
};
use stile::policy::{Assurance, Factor};
use tempfile::TempDir;

const DISK_BYTES: u64 = 6 << 20;
/// More commits than fill the disk.
const MANY: u64 = 200_000;
const USER: Uid = Uid(1000);

const NOW: Now = Now {
    boot: BootTime(1),
    wall: WallTime(1),
};

/// A disk that can be filled and emptied.
struct Disk {
    path: PathBuf,
}

impl Disk {
    fn filler(&self) -> PathBuf {
        self.path.join("filler")
    }

    fn fill(&self) {
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.filler())
            .unwrap();
        let block = [0; 4096];
        while file.write_all(&block).is_ok() {}
        assert!(fs::write(self.path.join("probe"), [1]).is_err(), "not full");
    }

    fn make_room(&self) {
        fs::remove_file(self.filler()).unwrap();
    }
}

/// Runs the test on a thread with mounts of its own; they go when it ends.
fn on_a_small_disk(test: impl FnOnce(&Disk) + Send + 'static) {
    assert!(
        nix::unistd::geteuid().is_root(),
        "NOT RUN: this test mounts a small disk, which needs root; `cargo xtask test` runs it"
    );
    let dir = TempDir::new().unwrap();
    let path = dir.path().to_owned();
    let thread = thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let none = None::<&str>;
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(none, "/", none, private, none).unwrap();
        let size = format!("size={DISK_BYTES},mode=0755");
        let tmpfs = Some("tmpfs");
        mount(tmpfs, &path, tmpfs, MsFlags::empty(), Some(size.as_str())).unwrap();
        test(&Disk { path });
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "mount leaked");
}

fn boot() -> BootId {
    BootId::from("this boot".to_owned())
}

const SECRET: &[u8] = b"12345678901234567890";

/// What the ledger knows that secret by.
fn print() -> SecretPrint {
    TotpSecret::new(SECRET).print()
}

fn consume(ledger: &Ledger, step: u64) -> Result<StepOutcome, LedgerError> {
    let elevation = NewElevation {
        uid: USER,
        realm: "prod".to_owned(),
        bound: Bound::User,
        factor: Factor::Totp,
        assurance: Assurance::LOW,
        proven: NOW,
        boot: boot(),
        until: None,
        reason: None,
    };
    ledger.consume_step(&print(), TotpStep(step), &elevation, &[])
}

fn event() -> Record {
    let what = "x".repeat(1000);
    Record::new(NOW, Event::Fault { what })
}

/// Uses steps up until the ledger fails; returns the last one that it took.
fn use_until_full(ledger: &Ledger, from: u64) -> (u64, LedgerError) {
    let mut last = from;
    for step in from + 1..MANY {
        match consume(ledger, step) {
            Ok(StepOutcome::Consumed { .. }) => last = step,
            Ok(StepOutcome::Replayed(_)) => panic!("step {step} is fresh"),
            Err(error) => return (last, error),
        }
    }
    panic!("the disk is never full");
}

#[test]
fn a_ledger_on_a_full_disk_refuses_until_it_is_reopened_and_forgets_nothing() {
    on_a_small_disk(|disk| {
        let state = disk.path.join("state");
        let ledger = Ledger::open(&state).unwrap();
        let device = NewDevice {
            name: "phone".to_owned(),
            secret: TotpSecret::new(SECRET),
            parameters: TotpParameters::default(),
        };
        let step = Some(TotpStep(1));
        ledger.enroll(USER, &device, step, NOW.wall, false).unwrap();
        let grant = ledger.next_grant_id().unwrap();
        assert!(matches!(
            consume(&ledger, 2),
            Ok(StepOutcome::Consumed { .. })
        ));
        disk.fill();
        let (last, error) = use_until_full(&ledger, 2);
        assert!(matches!(error, LedgerError::Engine { .. }), "{error}");

        disk.make_room();
        let after = [
            consume(&ledger, MANY).unwrap_err(),
            ledger
                .throttle(USER, &Factor::Totp, NOW.boot, &boot())
                .unwrap_err(),
            ledger.totp_secrets(USER).unwrap_err(),
        ];
        for error in after {
            assert!(matches!(error, LedgerError::Failed { .. }), "{error}");
        }
        drop(ledger);
        check_ledger(&state, last, grant);
    });
}

fn check_ledger(state: &Path, last: u64, grant: GrantId) {
    let ledger = Ledger::open(state).unwrap();
    assert!(ledger.is_enrolled(USER).unwrap());
    assert!(ledger.next_grant_id().unwrap() > grant);
    for step in [1, 2, last] {
        let outcome = consume(&ledger, step).unwrap();
        assert!(matches!(outcome, StepOutcome::Replayed(_)), "step {step}");
    }
    // The step that failed may be used up or not, as long as no one was told that it counts.
    let elevations = ledger.elevations(USER, &boot()).unwrap().len() as u64;
    assert!(elevations == last - 1 || elevations == last, "{elevations}");
    let outcome = consume(&ledger, last + 2).unwrap();
    assert!(matches!(outcome, StepOutcome::Consumed { .. }));
}

#[test]
fn an_audit_log_on_a_full_disk_refuses_until_it_is_reopened_and_loses_nothing() {
    on_a_small_disk(|disk| {
        let audit = disk.path.join("audit");
        let (mut log, _) = AuditLog::open(&audit, NOW).unwrap();
        disk.fill();
        let mut committed = Seq(1);
        let error = loop {
            assert!(committed.0 < MANY, "the disk is never full");
            match log.append(&event()).and_then(|seq| {
                log.commit()?;
                Ok(seq)
            }) {
                Ok(seq) => committed = seq,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, AuditError::Io { .. }), "{error}");

        disk.make_room();
        for error in [log.append(&event()).unwrap_err(), log.commit().unwrap_err()] {
            assert!(matches!(error, AuditError::Failed { .. }), "{error}");
        }
        drop(log);
        let (mut log, opened) = AuditLog::open(&audit, NOW).unwrap();
        assert!(
            opened.repaired_bytes > 0,
            "a page was left for a part of it"
        );
        assert_eq!(opened.last, Some(committed));
        assert_eq!(log.append(&event()).unwrap(), committed.next());
        log.commit().unwrap();
        let report = verify_file(&audit.join(stile::audit::FILE_NAME)).unwrap();
        assert_eq!(report.records, committed.next().0);
    });
}

#[test]
fn neither_is_opened_on_a_full_disk() {
    on_a_small_disk(|disk| {
        disk.fill();
        assert!(Ledger::open(&disk.path.join("state")).is_err());
        assert!(AuditLog::open(&disk.path.join("audit"), NOW).is_err());
        disk.make_room();
        Ledger::open(&disk.path.join("state")).unwrap();
        AuditLog::open(&disk.path.join("audit"), NOW).unwrap();
    });
}
