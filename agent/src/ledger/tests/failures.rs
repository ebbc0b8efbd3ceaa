// SPDX-License-Identifier: Apache-2.0 OR MIT
use super::*;

#[test]
fn a_replayed_code_counts_as_a_failure_and_earns_no_elevation() {
    let fixture = Fixture::new();
    assert!(fixture.consume(ALICE, 10).is_some());
    for count in 1..=3 {
        let outcome = fixture
            .ledger()
            .consume_step(&print(), TotpStep(10), &new(ALICE, 100), &[])
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
fn too_many_failures_lock_the_user_out_until_unlocked() {
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
        .enroll(ALICE, &phone("new"), Some(TotpStep(40)), WallTime(1), true)
        .unwrap();
    assert_eq!(
        fixture.throttle(ALICE, 100, &boot()),
        Throttle::Wait(FIRST_WAIT)
    );
    assert_eq!(
        ledger.last_step(ALICE, &print()).unwrap(),
        Some(TotpStep(50))
    );
}

#[test]
fn each_factor_has_its_own_failures_and_a_stronger_one_ends_a_lock_out() {
    let fixture = Fixture::new();
    let ledger = fixture.ledger();
    fixture.fail(ALICE, LOCK_AFTER, 100);
    assert_eq!(fixture.throttle(ALICE, 100, &boot()), Throttle::Locked);
    let pam = Factor::Pam("stile-stepup".parse().unwrap());
    let open = ledger
        .throttle(ALICE, &pam, boot_time(100), &boot())
        .unwrap();
    assert_eq!(open, Throttle::Open);

    let proof = |assurance| NewElevation {
        factor: pam.clone(),
        assurance,
        ..new(ALICE, 100)
    };
    ledger.record_proof(&proof(Assurance::LOW), &[]).unwrap();
    assert_eq!(fixture.throttle(ALICE, 100, &boot()), Throttle::Locked);
    ledger.record_proof(&proof(Assurance::MEDIUM), &[]).unwrap();
    assert_eq!(fixture.throttle(ALICE, 100, &boot()), Throttle::Open);
}

#[test]
fn settings_say_when_a_user_is_locked_out_and_never_later_than_after_a_hundred() {
    let mut fixture = Fixture::new();
    fixture.fail(ALICE, 5, 100);
    let late = 100 + LONGEST_WAIT.as_secs();
    assert_eq!(fixture.throttle(ALICE, late, &boot()), Throttle::Open);
    fixture.ledger.as_mut().unwrap().lock_after(5);
    assert_eq!(fixture.throttle(ALICE, late, &boot()), Throttle::Locked);
    fixture.ledger.as_mut().unwrap().lock_after(u32::MAX);
    fixture.fail(ALICE, MOST_FAILURES - 5, 100);
    assert_eq!(fixture.throttle(ALICE, late, &boot()), Throttle::Locked);
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
        let left = |now| match failures.throttle(BootTime(now), &boot(), LOCK_AFTER) {
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
