// SPDX-License-Identifier: Apache-2.0 OR MIT
use super::*;

fn is_enrolled(outcome: &EnrollOutcome) -> bool {
    matches!(outcome, EnrollOutcome::Enrolled)
}

#[test]
fn an_enrollment_shows_the_same_secret_as_address_and_as_text() {
    let mut fixture = Fixture::new();
    let enrollment = fixture.begin(BOB, START);
    assert!(
        enrollment
            .url
            .starts_with("otpauth://totp/stile%20web01:alice%40web01?")
    );
    assert!(
        enrollment
            .url
            .contains(&format!("secret={}", enrollment.secret.as_str()))
    );
    assert_eq!(app(&enrollment).secret().as_bytes().len(), 20);
    assert_eq!(enrollment.confirm_seconds, 600);
}

#[test]
fn a_secret_counts_from_its_first_right_code_on_which_is_used_up() {
    let mut fixture = Fixture::new();
    let enrollment = fixture.begin(BOB, START);
    let code = app(&enrollment).generate(START).to_string();
    assert_eq!(fixture.verify(BOB, &code, START), Verification::NotEnrolled);
    assert!(is_enrolled(&fixture.confirm(BOB, &code, START)));
    assert_eq!(
        fixture.verify(BOB, &code, START),
        Verification::Wrong {
            tries_left: 2,
            replayed: true
        }
    );
    let next = app(&enrollment).generate(START + 30).to_string();
    assert!(matches!(
        fixture.verify(BOB, &next, START + 30),
        Verification::Verified(_)
    ));
    assert_eq!(
        fixture.confirm(BOB, &next, START + 30),
        EnrollOutcome::NoEnrollment
    );
}

#[test]
fn a_device_that_can_not_be_written_down_does_not_count_and_can_be_confirmed_later() {
    let mut fixture = Fixture::new();
    let enrollment = fixture.begin(BOB, START);
    let code = app(&enrollment).generate(START).to_string();
    let full = Err(LedgerError::NoDataKey);
    fixture.confirm_if(BOB, &code, START, full).unwrap_err();
    assert!(!fixture.ledger.is_enrolled(BOB).unwrap());
    assert_eq!(fixture.verify(BOB, &code, START), Verification::NotEnrolled);
    assert!(is_enrolled(&fixture.confirm(BOB, &code, START)));
}

#[test]
fn a_code_of_the_old_secret_confirms_no_new_one() {
    let mut fixture = Fixture::new();
    fixture.begin(ALICE, START);
    assert_eq!(
        fixture.confirm(ALICE, &code(START), START),
        EnrollOutcome::Wrong { tries_left: 2 }
    );
    assert!(
        fixture.accepts(&code(START), START),
        "the old one still counts"
    );
}

#[test]
fn wrong_codes_of_an_enrollment_wait_like_all_others_and_drop_it_at_last() {
    let mut fixture = Fixture::new();
    let enrollment = fixture.begin(BOB, START);
    let right = |seconds| app(&enrollment).generate(seconds).to_string();
    let mut now = START;
    for expected in [
        EnrollOutcome::Wrong { tries_left: 2 },
        EnrollOutcome::Wrong { tries_left: 1 },
        EnrollOutcome::Wrong { tries_left: 0 },
        EnrollOutcome::Wrong { tries_left: 0 },
        EnrollOutcome::Dropped,
    ] {
        assert_eq!(fixture.confirm(BOB, "no code", now), expected);
        if expected == (EnrollOutcome::Wrong { tries_left: 0 }) {
            let early = fixture.confirm(BOB, &right(now), now);
            assert!(
                matches!(early, EnrollOutcome::Throttled { .. }),
                "{early:?}"
            );
            now += 60;
        }
    }
    assert_eq!(
        fixture.confirm(BOB, &right(now), now),
        EnrollOutcome::NoEnrollment
    );
    // A fresh one is no way around the wait.
    fixture.begin(BOB, now);
    assert!(matches!(
        fixture.confirm(BOB, "no code", now),
        EnrollOutcome::Throttled { .. }
    ));
}

#[test]
fn an_enrollment_ends_after_ten_minutes_or_with_the_next_one() {
    let mut fixture = Fixture::new();
    let enrollment = fixture.begin(BOB, START);
    let late = START + PENDING_LIFETIME.as_secs();
    let code = app(&enrollment).generate(late).to_string();
    assert_eq!(
        fixture.confirm(BOB, &code, late),
        EnrollOutcome::NoEnrollment
    );

    let first = fixture.begin(BOB, late);
    let second = fixture.begin(BOB, late);
    let code = app(&first).generate(late).to_string();
    assert_eq!(
        fixture.confirm(BOB, &code, late),
        EnrollOutcome::Wrong { tries_left: 2 }
    );
    let code = app(&second).generate(late).to_string();
    assert!(is_enrolled(&fixture.confirm(BOB, &code, late)));
}

#[test]
fn only_so_many_can_enroll_at_the_same_time() {
    let mut fixture = Fixture::new();
    let begin = |fixture: &mut Fixture, uid, seconds| {
        fixture
            .enrollments
            .begin(Uid(uid), wanted(Uid(uid)), at(seconds))
            .map(|_| ())
    };
    let most = u32::try_from(MAX_PENDING).unwrap();
    for uid in 0..most {
        begin(&mut fixture, uid, START).unwrap();
    }
    assert_eq!(begin(&mut fixture, most, START), Err(BeginError::TooMany));
    begin(&mut fixture, 0, START).unwrap();
    begin(&mut fixture, most, START + 600).unwrap();
}

#[test]
fn a_name_with_a_colon_is_refused() {
    let mut fixture = Fixture::new();
    let error = fixture
        .enrollments
        .begin(
            BOB,
            Wanted {
                account: "a:b",
                ..wanted(BOB)
            },
            at(START),
        )
        .unwrap_err();
    assert!(matches!(error, BeginError::Name { .. }), "{error}");
}
