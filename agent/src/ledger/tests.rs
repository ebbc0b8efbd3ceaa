// SPDX-License-Identifier: Apache-2.0 OR MIT
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::Barrier;
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::clock::{BootTime, Now, WallTime};
use crate::ids::{ElevationId, GrantId, Uid};
use crate::verify::FactorKind;

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
        match self.ledger().consume_step(TotpStep(step), &new(uid, 0)) {
            Ok(StepOutcome::Consumed { elevation }) => Some(elevation),
            Ok(StepOutcome::Replayed(_)) => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn fail(&self, uid: Uid, times: u32, seconds: u64) -> Failures {
        let mut last = None;
        for _ in 0..times {
            last = Some(
                self.ledger()
                    .record_failure(uid, boot_time(seconds), &boot())
                    .unwrap(),
            );
        }
        last.unwrap()
    }

    fn throttle(&self, uid: Uid, seconds: u64, boot: &BootId) -> Throttle {
        self.ledger()
            .throttle(uid, boot_time(seconds), boot)
            .unwrap()
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
        factor: FactorKind::Totp,
        proven: Now {
            boot: boot_time(seconds),
            wall: WallTime(7),
        },
        boot: boot(),
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
        fixture.ledger().last_step(ALICE).unwrap(),
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
fn a_replayed_code_counts_as_a_failure_and_earns_no_elevation() {
    let fixture = Fixture::new();
    assert!(fixture.consume(ALICE, 10).is_some());
    for count in 1..=3 {
        let outcome = fixture
            .ledger()
            .consume_step(TotpStep(10), &new(ALICE, 100))
            .unwrap();
        let StepOutcome::Replayed(failures) = outcome else {
            panic!("accepted twice");
        };
        assert_eq!(failures.consecutive(), count);
    }
    assert_eq!(
        fixture.throttle(ALICE, 100, &boot()),
        Throttle::Wait(FIRST_WAIT)
    );
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
fn the_third_failure_waits_and_each_further_one_twice_as_long() {
    let fixture = Fixture::new();
    let expected = [0, 0, 30, 60, 120, 240, 480, 900, 900];
    for (index, seconds) in expected.into_iter().enumerate() {
        let failures = fixture.fail(ALICE, 1, 5000);
        let left = 2_u32.saturating_sub(u32::try_from(index).unwrap());
        assert_eq!(failures.tries_left(), left);
        let throttle = fixture.throttle(ALICE, 5000, &boot());
        if seconds == 0 {
            assert_eq!(throttle, Throttle::Open);
        } else {
            assert_eq!(throttle, Throttle::Wait(Duration::from_secs(seconds)));
            let over = fixture.throttle(ALICE, 5000 + seconds, &boot());
            assert_eq!(over, Throttle::Open);
        }
    }
    assert_eq!(fixture.throttle(BOB, 5000, &boot()), Throttle::Open);
}

#[test]
fn failures_survive_a_restart_of_the_daemon() {
    let mut fixture = Fixture::new();
    fixture.fail(ALICE, 3, 100);
    fixture.reopen();
    assert_eq!(
        fixture.throttle(ALICE, 110, &boot()),
        Throttle::Wait(Duration::from_secs(20))
    );
}

#[test]
fn a_reboot_starts_the_wait_again() {
    let fixture = Fixture::new();
    fixture.fail(ALICE, 3, 100_000);
    assert_eq!(
        fixture.throttle(ALICE, 5, &next_boot()),
        Throttle::Wait(Duration::from_secs(25))
    );
    assert_eq!(fixture.throttle(ALICE, 30, &next_boot()), Throttle::Open);
}

#[test]
fn a_success_resets_the_failures() {
    let fixture = Fixture::new();
    fixture.fail(ALICE, 2, 100);
    assert!(fixture.consume(ALICE, 10).is_some());
    assert_eq!(fixture.fail(ALICE, 1, 100).consecutive(), 1);
}

#[test]
fn a_hundred_failures_lock_the_user_out_until_unlocked() {
    let mut fixture = Fixture::new();
    fixture.fail(ALICE, LOCK_AFTER, 100);
    assert_eq!(fixture.throttle(ALICE, 999_999, &boot()), Throttle::Locked);
    assert_eq!(
        fixture.throttle(ALICE, 999_999, &next_boot()),
        Throttle::Locked
    );
    assert!(fixture.ledger().unlock(ALICE).unwrap());
    fixture.reopen();
    assert_eq!(fixture.throttle(ALICE, 100, &boot()), Throttle::Open);
    assert!(!fixture.ledger().unlock(ALICE).unwrap());
}

#[test]
fn a_new_secret_resets_neither_failures_nor_used_steps() {
    let fixture = Fixture::new();
    let ledger = fixture.ledger();
    assert!(fixture.consume(ALICE, 50).is_some());
    fixture.fail(ALICE, 3, 100);
    ledger
        .enroll(ALICE, &TotpSecret::new(SECRET), TotpStep(40), WallTime(1))
        .unwrap();
    assert_eq!(
        fixture.throttle(ALICE, 100, &boot()),
        Throttle::Wait(FIRST_WAIT)
    );
    assert_eq!(ledger.last_step(ALICE).unwrap(), Some(TotpStep(50)));
}

#[test]
fn the_code_that_confirms_a_secret_is_used_up() {
    let mut fixture = Fixture::new();
    fixture
        .ledger()
        .enroll(ALICE, &TotpSecret::new(SECRET), TotpStep(40), WallTime(1))
        .unwrap();
    fixture.reopen();
    let ledger = fixture.ledger();
    assert!(ledger.is_enrolled(ALICE).unwrap());
    assert!(!ledger.is_enrolled(BOB).unwrap());
    assert!(ledger.totp_secret(BOB).unwrap().is_none());
    assert_eq!(ledger.enrolled_count().unwrap(), 1);
    let secret = ledger.totp_secret(ALICE).unwrap().unwrap();
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
            match ledger.consume_step(TotpStep(step), &elevation).unwrap() {
                StepOutcome::Consumed { elevation } => elevation,
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
    assert_eq!(stored[0].factor(), FactorKind::Totp);
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
fn a_second_daemon_is_refused() {
    let fixture = Fixture::new();
    let error = Ledger::open(&fixture.state()).unwrap_err();
    assert!(matches!(error, LedgerError::InUse { .. }), "{error}");
}

#[test]
fn a_ledger_of_a_newer_version_is_refused_and_left_alone() {
    let mut fixture = Fixture::new();
    fixture.ledger = None;
    let set = |version: u64| {
        let db = redb::Database::open(fixture.path()).unwrap();
        let txn = db.begin_write().unwrap();
        txn.open_table(tables::META)
            .unwrap()
            .insert(tables::SCHEMA_KEY, version)
            .unwrap();
        txn.commit().unwrap();
    };
    set(tables::SCHEMA + 1);
    let error = Ledger::open(&fixture.state()).unwrap_err();
    assert!(
        matches!(error, LedgerError::NewerSchema { found: 2, .. }),
        "{error}"
    );
    set(tables::SCHEMA);
    fixture.reopen();
}

#[test]
fn a_file_that_is_no_ledger_is_refused() {
    let mut fixture = Fixture::new();
    fixture.ledger = None;
    let whole = fs::read(fixture.path()).unwrap();
    for content in [&[][..], &[7; 100_000], &whole[..whole.len() / 2]] {
        fs::write(fixture.path(), content).unwrap();
        let error = Ledger::open(&fixture.state()).unwrap_err();
        assert!(matches!(error, LedgerError::Open { .. }), "{error}");
    }
}

#[test]
fn what_is_left_of_an_unfinished_ledger_is_no_obstacle() {
    let dir = TempDir::new().unwrap();
    let state = dir.path().join("state");
    private::prepare_dir(&state).unwrap();
    fs::write(state.join("ledger.redb.new"), vec![7; 100_000]).unwrap();
    drop(Ledger::open(&state).unwrap());
    let names: Vec<_> = fs::read_dir(&state)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, [FILE_NAME]);
}

#[test]
fn a_new_ledger_is_its_owners_alone() {
    let dir = TempDir::new().unwrap();
    let state = dir.path().join("a/b");
    drop(Ledger::open(&state).unwrap());
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(state.clone()), 0o700);
    assert_eq!(mode(state.join(FILE_NAME)), 0o600);
}

#[test]
fn a_directory_or_a_file_that_lets_others_in_is_refused_with_a_remedy() {
    let mut fixture = Fixture::new();
    fixture.ledger = None;
    for path in [fixture.state(), fixture.path()] {
        let before = fs::metadata(&path).unwrap().permissions();
        for mode in [0o710, 0o604, 0o620] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let error = Ledger::open(&fixture.state()).unwrap_err();
            assert!(
                matches!(error, LedgerError::NotPrivate(PrivateError::Mode { .. })),
                "{error}"
            );
            assert!(error.to_string().contains("chmod"), "{error}");
        }
        fs::set_permissions(&path, before).unwrap();
    }
    fixture.reopen();
}

#[test]
fn a_link_in_the_place_of_the_file_or_the_directory_is_refused() {
    let mut fixture = Fixture::new();
    fixture.ledger = None;
    let other = fixture.dir.path().join("other");
    private::prepare_dir(&other).unwrap();
    symlink(fixture.path(), other.join(FILE_NAME)).unwrap();
    assert!(matches!(
        Ledger::open(&other).unwrap_err(),
        LedgerError::NotPrivate(PrivateError::Io { .. })
    ));
    let link = fixture.dir.path().join("link");
    symlink(fixture.state(), &link).unwrap();
    assert!(matches!(
        Ledger::open(&link).unwrap_err(),
        LedgerError::NotPrivate(PrivateError::Type { .. })
    ));
}

#[test]
fn a_damaged_record_fails_the_request_and_not_the_ledger() {
    let fixture = Fixture::new();
    let ledger = fixture.ledger();
    ledger
        .engine
        .write("damage a record", |txn| {
            txn.open_table(tables::FAILURES)?
                .insert(ALICE.0, b"{".as_slice())?;
            Ok(())
        })
        .unwrap();
    let error = ledger.throttle(ALICE, boot_time(1), &boot()).unwrap_err();
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
        ledger.throttle(ALICE, boot_time(0), &boot()).unwrap_err(),
        ledger.next_grant_id().unwrap_err(),
        ledger
            .consume_step(TotpStep(1), &new(ALICE, 0))
            .unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, LedgerError::Failed { .. }), "{error}");
        assert!(error.to_string().contains("broken disk"), "{error}");
    }
    fixture.reopen();
    assert!(fixture.consume(ALICE, 1).is_some());
}

proptest! {
    #[test]
    fn a_wait_ends_and_never_grows_while_time_passes(
        consecutive in 0..LOCK_AFTER,
        last in 0..u64::MAX / 4,
        first in 0..u64::MAX / 4,
        later in 0..u64::MAX / 4,
        same_boot: bool,
    ) {
        let stored = if same_boot { boot() } else { next_boot() };
        let failures = Failures::for_test(consecutive, BootTime(last), stored);
        let left = |now| match failures.throttle(BootTime(now), &boot()) {
            Throttle::Open => Duration::ZERO,
            Throttle::Wait(left) => left,
            Throttle::Locked => Duration::MAX,
        };
        prop_assert!(left(first) <= LONGEST_WAIT);
        prop_assert!(left(first + later) <= left(first));
        let long = u64::try_from(LONGEST_WAIT.as_nanos()).unwrap();
        prop_assert_eq!(left(last + long), Duration::ZERO);
        prop_assert_eq!(left(0).is_zero(), consecutive <= FREE_TRIES);
    }
}
