// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Codes of several devices, recovery codes, and codes that change factors.
use super::*;
use crate::ledger::{RecoverySet, TotpAlgorithm};

const OTHER_SECRET: &[u8] = b"abcdefghijklmnopqrst";

fn token() -> NewDevice {
    NewDevice {
        name: "token".to_owned(),
        secret: TotpSecret::new(OTHER_SECRET),
        parameters: TotpParameters {
            algorithm: TotpAlgorithm::Sha256,
            digits: 8,
            period: 60,
        },
    }
}

fn token_code(seconds: u64) -> String {
    let token = totp::builder(&token().secret, token().parameters).build();
    token.unwrap().generate(seconds).to_string()
}

fn recovery_codes(fixture: &Fixture) -> Vec<String> {
    let (codes, digests) = RecoverySet::generate().unwrap().into_parts();
    fixture
        .ledger
        .store_recovery(ALICE, &digests, WallTime(1))
        .unwrap();
    codes.iter().map(|code| code.as_str().to_owned()).collect()
}

#[test]
fn any_of_several_devices_will_do_each_with_its_own_parameters() {
    let mut fixture = Fixture::new();
    fixture
        .ledger
        .enroll(ALICE, &token(), None, WallTime(0), false)
        .unwrap();
    let code = code(START);
    assert!(fixture.accepts(&token_code(START), START));
    assert!(!fixture.accepts(&token_code(START), START));
    assert!(fixture.accepts(&code, START));
}

#[test]
fn codes_are_taken_as_people_paste_them() {
    let mut fixture = Fixture::new();
    let code = code(START);
    let pasted = format!(" {}\u{a0}{}\n", &code[..3], &code[3..]);
    assert!(fixture.accepts(&pasted, START));
}

#[test]
fn a_recovery_code_is_proof_where_one_is_taken() {
    let mut fixture = Fixture::new();
    let codes = recovery_codes(&fixture);
    assert_eq!(factor_of(&codes[0]), Factor::Recovery);
    assert_eq!(factor_of("123456"), Factor::Totp);
    assert_eq!(factor_of("12345678"), Factor::Totp);
    let mut give = |code: &str, recovery| {
        let purpose = Purpose {
            recovery,
            ..Purpose::new("prod", &Bound::User)
        };
        verify_code(
            &mut fixture.ledger,
            ALICE,
            purpose,
            code,
            at(START),
            &boot(),
        )
        .unwrap()
    };
    assert_eq!(give(&codes[0], false), Verification::NotEnrolled);
    let Verification::Verified(proof) = give(&codes[0], true) else {
        panic!("refused");
    };
    assert_eq!(*proof.factor(), Factor::Recovery);
    assert_eq!(proof.recovery_left(), Some(9));
    assert!(matches!(give(&codes[0], true), Verification::Wrong { .. }));
}

#[test]
fn wrong_recovery_codes_are_throttled_apart_from_one_time_codes() {
    let mut fixture = Fixture::new();
    recovery_codes(&fixture);
    for _ in 0..3 {
        let outcome = fixture.verify(ALICE, "0000-0000-0000", START);
        assert!(matches!(outcome, Verification::Wrong { .. }));
    }
    let outcome = fixture.verify(ALICE, "0000-0000-0000", START);
    assert_eq!(outcome, Verification::Throttled { retry: FIRST_WAIT });
    assert!(fixture.accepts(&code(START), START));
}

#[test]
fn a_code_that_changes_factors_is_used_up_and_earns_nothing() {
    let mut fixture = Fixture::new();
    let codes = recovery_codes(&fixture);
    let mut own =
        |code: &str| verify_owner(&mut fixture.ledger, ALICE, code, at(START), &boot()).unwrap();
    let once = code(START);
    assert!(matches!(own(&once), Verification::Verified(owner) if owner.uid() == ALICE));
    assert!(matches!(
        own(&once),
        Verification::Wrong { replayed: true, .. }
    ));
    assert!(matches!(own(&codes[1]), Verification::Verified(_)));
    assert!(matches!(own(&codes[1]), Verification::Wrong { .. }));
    assert!(!fixture.accepts(&once, START));
    assert!(
        fixture
            .ledger
            .elevations(ALICE, &boot())
            .unwrap()
            .is_empty()
    );
    let nobody = verify_owner(&mut fixture.ledger, BOB, &once, at(START), &boot());
    assert_eq!(nobody.unwrap(), Verification::NotEnrolled);
}

#[test]
fn a_test_tells_how_far_a_clock_is_off_and_helps_no_guesser() {
    let mut fixture = Fixture::new();
    let mut test =
        |code: &str| test_code(&mut fixture.ledger, ALICE, code, at(START), &boot()).unwrap();
    let Verification::Verified(right) = test(&code(START)) else {
        panic!("refused");
    };
    assert_eq!((right.seconds_ahead, right.accepted), (0, true));
    assert_eq!(right.device.name, "phone");
    assert!(matches!(
        test(&code(START)),
        Verification::Wrong { replayed: true, .. }
    ));
    let Verification::Verified(ahead) = test(&code(START + 90)) else {
        panic!("not recognized");
    };
    assert_eq!((ahead.seconds_ahead, ahead.accepted), (90, false));
    let Verification::Verified(behind) = test(&code(START - 300)) else {
        panic!("not recognized");
    };
    assert_eq!((behind.seconds_ahead, behind.accepted), (-300, false));
    // The replay and the two far ones count.
    assert!(matches!(
        test(&code(START + 60)),
        Verification::Throttled { .. }
    ));
}

#[test]
fn a_code_that_was_guessed_ahead_of_its_time_is_worth_nothing_when_that_comes() {
    let mut fixture = Fixture::new();
    let later = START + 300;
    let test = test_code(&mut fixture.ledger, ALICE, &code(later), at(START), &boot());
    assert!(matches!(
        test.unwrap(),
        Verification::Verified(CodeTest {
            accepted: false,
            ..
        })
    ));
    assert!(!fixture.accepts(&code(later), later));
    assert!(fixture.accepts(&code(later + 30), later + 30));
}
