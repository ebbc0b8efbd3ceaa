// SPDX-License-Identifier: Apache-2.0 OR MIT
mod devices;
mod emergencies;
mod failures;
mod opening;
mod recovery;
mod replacing;
mod sealing;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::Barrier;
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::clock::{BootTime, Now, WallTime};
use crate::decide::Bound;
use crate::ids::{ElevationId, GrantId, Uid};
use crate::policy::{Assurance, Factor};

const ALICE: Uid = Uid(1000);
const BOB: Uid = Uid(1001);
const SECRET: &[u8] = b"12345678901234567890";

struct Fixture {
    /// Others may enter it, so the state directory lies below it.
    dir: TempDir,
    ledger: Option<Ledger>,
}

impl Fixture {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let ledger = Some(Ledger::open(&dir.path().join("state")).unwrap());
        Self { dir, ledger }
    }

    fn ledger(&self) -> &Ledger {
        self.ledger.as_ref().unwrap()
    }

    fn reopen(&mut self) {
        self.ledger = None;
        self.ledger = Some(Ledger::open(&self.state()).unwrap());
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    fn path(&self) -> PathBuf {
        self.state().join(FILE_NAME)
    }

    /// Consumes a step and returns the elevation if it was accepted.
    fn consume(&self, uid: Uid, step: u64) -> Option<ElevationId> {
        match self
            .ledger()
            .consume_step(&print(), TotpStep(step), &new(uid, 0), &[])
        {
            Ok(StepOutcome::Consumed { elevation, .. }) => Some(elevation),
            Ok(StepOutcome::Replayed(_)) => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn fail(&self, uid: Uid, times: u32, seconds: u64) -> Failures {
        let mut last = None;
        for _ in 0..times {
            last = Some(
                self.ledger()
                    .record_failure(uid, &Factor::Totp, boot_time(seconds), &boot())
                    .unwrap(),
            );
        }
        last.unwrap()
    }

    fn throttle(&self, uid: Uid, seconds: u64, boot: &BootId) -> Throttle {
        self.ledger()
            .throttle(uid, &Factor::Totp, boot_time(seconds), boot)
            .unwrap()
    }
}

/// What the ledger knows the secret of the tests by.
fn print() -> SecretPrint {
    TotpSecret::new(SECRET).print()
}

/// A device with that secret.
fn phone(name: &str) -> NewDevice {
    NewDevice {
        name: name.to_owned(),
        secret: TotpSecret::new(SECRET),
        parameters: TotpParameters::default(),
    }
}

fn boot() -> BootId {
    BootId::from("this boot".to_owned())
}

fn next_boot() -> BootId {
    BootId::from("next boot".to_owned())
}

fn boot_time(seconds: u64) -> BootTime {
    BootTime(seconds * 1_000_000_000)
}

fn new(uid: Uid, seconds: u64) -> NewElevation {
    NewElevation {
        uid,
        realm: "prod".to_owned(),
        bound: Bound::User,
        factor: Factor::Totp,
        assurance: Assurance::LOW,
        proven: Now {
            boot: boot_time(seconds),
            wall: WallTime(7),
        },
        boot: boot(),
        until: None,
        reason: None,
    }
}

#[test]
fn a_step_is_accepted_once_and_an_earlier_one_never() {
    let mut fixture = Fixture::new();
    assert!(fixture.consume(ALICE, 10).is_some());
    assert!(fixture.consume(ALICE, 10).is_none());
    assert!(fixture.consume(ALICE, 9).is_none());
    fixture.reopen();
    assert!(fixture.consume(ALICE, 10).is_none());
    assert!(fixture.consume(ALICE, 11).is_some());
    assert_eq!(
        fixture.ledger().last_step(ALICE, &print()).unwrap(),
        Some(TotpStep(11))
    );
}

#[test]
fn the_steps_of_one_user_are_no_concern_of_another() {
    let fixture = Fixture::new();
    assert!(fixture.consume(ALICE, 10).is_some());
    assert!(fixture.consume(BOB, 5).is_some());
    assert_eq!(
        fixture.ledger().elevations(ALICE, &boot()).unwrap().len(),
        1
    );
}

#[test]
fn of_two_threads_with_the_same_code_exactly_one_wins() {
    let fixture = Fixture::new();
    for step in 1..=20 {
        let start = Barrier::new(2);
        let race = || {
            start.wait();
            fixture.consume(ALICE, step).is_some()
        };
        let (one, other) = std::thread::scope(|scope| {
            let one = scope.spawn(race);
            let other = scope.spawn(race);
            (one.join().unwrap(), other.join().unwrap())
        });
        assert!(one ^ other, "step {step}: {one} and {other}");
    }
}

#[test]
fn the_code_that_confirms_a_secret_is_used_up() {
    let mut fixture = Fixture::new();
    fixture
        .ledger()
        .enroll(
            ALICE,
            &phone("phone"),
            Some(TotpStep(40)),
            WallTime(1),
            false,
        )
        .unwrap();
    fixture.reopen();
    let ledger = fixture.ledger();
    assert!(ledger.is_enrolled(ALICE).unwrap());
    assert!(!ledger.is_enrolled(BOB).unwrap());
    assert!(ledger.totp_secrets(BOB).unwrap().is_empty());
    assert_eq!(ledger.device_count().unwrap(), 1);
    let (_, secret) = ledger.totp_secrets(ALICE).unwrap().remove(0);
    assert_eq!(secret.as_bytes(), SECRET);
    assert_eq!(format!("{secret:?}"), "TotpSecret(REDACTED)");
    assert!(fixture.consume(ALICE, 40).is_none());
}

#[test]
fn elevations_end_with_their_boot_their_age_or_their_revocation() {
    let fixture = Fixture::new();
    let ledger = fixture.ledger();
    let earned: Vec<ElevationId> = (1..=4)
        .map(|step| {
            let elevation = new(ALICE, step * 100);
            match ledger
                .consume_step(&print(), TotpStep(step), &elevation, &[])
                .unwrap()
            {
                StepOutcome::Consumed { elevation, .. } => elevation,
                StepOutcome::Replayed(_) => panic!("step {step} is fresh"),
            }
        })
        .collect();
    let ids = |ledger: &Ledger| -> Vec<ElevationId> {
        let stored = ledger.elevations(ALICE, &boot()).unwrap();
        stored.iter().map(StoredElevation::id).collect()
    };
    assert_eq!(ids(ledger), earned);
    assert!(ledger.elevations(ALICE, &next_boot()).unwrap().is_empty());

    let keep = Duration::from_secs(250);
    assert_eq!(ledger.prune(boot_time(400), &boot(), keep).unwrap(), 1);
    assert_eq!(ids(ledger), earned[1..]);
    assert!(ledger.revoke_elevation(earned[2]).unwrap());
    assert!(!ledger.revoke_elevation(earned[2]).unwrap());
    assert_eq!(ids(ledger), [earned[1], earned[3]]);
    assert_eq!(ledger.revoke_elevations(BOB).unwrap(), 0);
    assert_eq!(ledger.prune(boot_time(400), &next_boot(), keep).unwrap(), 2);
    assert!(ids(ledger).is_empty());
}

#[test]
fn an_elevation_is_read_as_it_was_written() {
    let mut fixture = Fixture::new();
    let id = fixture.consume(ALICE, 1).unwrap();
    fixture.reopen();
    let stored = fixture.ledger().elevations(ALICE, &boot()).unwrap();
    let written = new(ALICE, 0);
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].id(), id);
    assert_eq!(stored[0].uid(), ALICE);
    assert_eq!(stored[0].realm(), "prod");
    assert_eq!(*stored[0].factor(), Factor::Totp);
    assert_eq!(stored[0].proven(), written.proven);
    assert_eq!(fixture.ledger().revoke_elevations(ALICE).unwrap(), 1);
    assert!(fixture.consume(ALICE, 2).unwrap() > id);
}

#[test]
fn grant_ids_begin_at_one_and_are_never_used_twice() {
    let mut fixture = Fixture::new();
    let mut last = GrantId(0);
    for _ in 0..3 {
        for _ in 0..100 {
            let id = fixture.ledger().next_grant_id().unwrap();
            assert!(id > last, "{id} after {last}");
            last = id;
        }
        fixture.reopen();
    }
}

#[test]
fn a_damaged_record_fails_the_request_and_not_the_ledger() {
    let fixture = Fixture::new();
    let ledger = fixture.ledger();
    ledger
        .engine
        .write("damage a record", |txn| {
            txn.open_table(tables::FAILURES)?
                .insert((ALICE.0, "totp"), b"{".as_slice())?;
            Ok(())
        })
        .unwrap();
    let error = ledger
        .throttle(ALICE, &Factor::Totp, boot_time(1), &boot())
        .unwrap_err();
    assert!(matches!(error, LedgerError::Record { .. }), "{error}");
    assert!(error.to_string().contains("uid 1000"), "{error}");
    assert_eq!(fixture.throttle(BOB, 1, &boot()), Throttle::Open);
}

#[test]
fn after_an_engine_error_nothing_works_until_the_ledger_is_reopened() {
    let mut fixture = Fixture::new();
    let broken = || redb::Error::Io(std::io::Error::other("broken disk"));
    let error = fixture
        .ledger()
        .engine
        .write("be tested", |_| {
            Err::<(), _>(engine::Fault::Engine(broken()))
        })
        .unwrap_err();
    assert!(matches!(error, LedgerError::Engine { .. }), "{error}");
    let ledger = fixture.ledger();
    let errors = [
        ledger.is_enrolled(ALICE).unwrap_err(),
        ledger
            .throttle(ALICE, &Factor::Totp, boot_time(0), &boot())
            .unwrap_err(),
        ledger.next_grant_id().unwrap_err(),
        ledger
            .consume_step(&print(), TotpStep(1), &new(ALICE, 0), &[])
            .unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, LedgerError::Failed { .. }), "{error}");
        assert!(error.to_string().contains("broken disk"), "{error}");
    }
    fixture.reopen();
    assert!(fixture.consume(ALICE, 1).is_some());
}
