// SPDX-License-Identifier: Apache-2.0 OR MIT
use super::*;

fn codes(fixture: &Fixture, uid: Uid) -> Vec<String> {
    let (codes, digests) = RecoverySet::generate().unwrap().into_parts();
    fixture
        .ledger()
        .store_recovery(uid, &digests, WallTime(1))
        .unwrap();
    codes.iter().map(|code| code.as_str().to_owned()).collect()
}

fn recover(fixture: &Fixture, uid: Uid, typed: &str) -> RecoveryOutcome {
    let code = recovery_code(typed).unwrap();
    let new = NewElevation {
        factor: Factor::Recovery,
        ..new(uid, 100)
    };
    fixture.ledger().consume_recovery(&code, &new, &[]).unwrap()
}

#[test]
fn each_recovery_code_is_good_once_and_for_its_user_alone() {
    let mut fixture = Fixture::new();
    let codes = codes(&fixture, ALICE);
    assert_eq!(codes.len(), RECOVERY_CODES);
    assert_eq!(recover(&fixture, BOB, &codes[0]), RecoveryOutcome::None);
    let RecoveryOutcome::Consumed { left, .. } = recover(&fixture, ALICE, &codes[3]) else {
        panic!("refused");
    };
    assert_eq!(left, RECOVERY_CODES - 1);
    fixture.reopen();
    let again = recover(&fixture, ALICE, &codes[3]);
    assert!(matches!(again, RecoveryOutcome::Wrong(failures) if failures.consecutive() == 1));
    // In capitals and with what is easily mistaken.
    let typed = codes[0].to_uppercase().replace('0', "O").replace('1', "l");
    assert!(matches!(
        recover(&fixture, ALICE, &typed),
        RecoveryOutcome::Consumed { left: 8, .. }
    ));
    let elevations = fixture.ledger().elevations(ALICE, &boot()).unwrap();
    assert_eq!(elevations.len(), 2);
    assert_eq!(*elevations[0].factor(), Factor::Recovery);
}

#[test]
fn new_recovery_codes_take_the_place_of_the_old_ones() {
    let fixture = Fixture::new();
    let old = codes(&fixture, ALICE);
    let new = codes(&fixture, ALICE);
    assert!(matches!(
        recover(&fixture, ALICE, &old[0]),
        RecoveryOutcome::Wrong(_)
    ));
    assert!(matches!(
        recover(&fixture, ALICE, &new[0]),
        RecoveryOutcome::Consumed { left: 9, .. }
    ));
    assert!(fixture.ledger().remove_recovery(ALICE).unwrap());
    assert_eq!(recover(&fixture, ALICE, &new[1]), RecoveryOutcome::None);
}

#[test]
fn the_file_has_no_recovery_code() {
    let mut fixture = Fixture::new();
    let codes = codes(&fixture, ALICE);
    fixture.ledger = None;
    let file = fs::read(fixture.path()).unwrap();
    for code in codes {
        let plain = recovery_code(&code).unwrap();
        for text in [code.as_bytes(), plain.as_bytes()] {
            assert!(!file.windows(text.len()).any(|window| window == text));
        }
    }
}

#[test]
fn what_can_be_no_recovery_code_is_none() {
    for typed in [
        "",
        "123456",
        "abcd-efgh-jkmn-p",
        "abcd-efgh-jkm",
        "ABCD-EFGH-JKMÜ",
        &"a".repeat(65),
    ] {
        assert!(recovery_code(typed).is_none(), "{typed:?}");
    }
    assert_eq!(
        recovery_code(" ABCD efgh-JKMN ").unwrap().as_str(),
        "abcdefghjkmn"
    );
}
