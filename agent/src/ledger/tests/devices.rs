// SPDX-License-Identifier: Apache-2.0 OR MIT
use super::*;
use crate::ids::DeviceId;

fn device(name: &str, secret: &[u8]) -> NewDevice {
    NewDevice {
        name: name.to_owned(),
        secret: TotpSecret::new(secret),
        parameters: TotpParameters::default(),
    }
}

fn names(ledger: &Ledger, uid: Uid) -> Vec<String> {
    let devices = ledger.devices(uid).unwrap();
    devices.into_iter().map(|device| device.name).collect()
}

fn enroll(ledger: &Ledger, device: &NewDevice, alone: bool) -> Result<DeviceId, LedgerError> {
    ledger.enroll(ALICE, device, None, WallTime(1), alone)
}

#[test]
fn devices_are_added_renamed_replaced_and_removed_for_their_user_alone() {
    let mut fixture = Fixture::new();
    let ledger = fixture.ledger();
    let phone = enroll(ledger, &device("phone", &[1; 20]), false).unwrap();
    let token = enroll(ledger, &device("token", &[2; 20]), false).unwrap();
    assert_ne!(phone, token);
    assert_eq!(names(ledger, ALICE), ["phone", "token"]);
    assert!(names(ledger, BOB).is_empty());

    assert!(!ledger.remove_device(BOB, phone).unwrap());
    assert!(matches!(
        ledger.rename_device(BOB, phone, "mine"),
        Err(LedgerError::NoSuchDevice)
    ));
    ledger.rename_device(ALICE, phone, "old phone").unwrap();
    ledger.rename_device(ALICE, phone, "old phone").unwrap();
    assert!(matches!(
        ledger.rename_device(ALICE, phone, "token"),
        Err(LedgerError::NameTaken { .. })
    ));
    fixture.reopen();
    let ledger = fixture.ledger();
    assert_eq!(names(ledger, ALICE), ["old phone", "token"]);
    let secrets = ledger.totp_secrets(ALICE).unwrap();
    assert_eq!(secrets[0].1.as_bytes(), [1; 20]);
    assert!(ledger.remove_device(ALICE, phone).unwrap());
    assert!(!ledger.remove_device(ALICE, phone).unwrap());
    let new = enroll(ledger, &device("token", &[3; 20]), true).unwrap();
    assert!(new > token, "an id is never used twice");
    assert_eq!(names(ledger, ALICE), ["token"]);
}

#[test]
fn a_user_has_few_devices_each_with_a_name_of_its_own() {
    let fixture = Fixture::new();
    let ledger = fixture.ledger();
    for number in 0..MAX_DEVICES {
        enroll(ledger, &device(&number.to_string(), &[7; 20]), false).unwrap();
    }
    let error = enroll(ledger, &device("one more", &[7; 20]), false).unwrap_err();
    assert!(matches!(error, LedgerError::TooManyDevices), "{error}");
    ledger
        .enroll(BOB, &device("0", &[7; 20]), None, WallTime(1), false)
        .unwrap();
    let error = ledger
        .enroll(BOB, &device("0", &[8; 20]), None, WallTime(1), false)
        .unwrap_err();
    assert!(matches!(error, LedgerError::NameTaken { .. }), "{error}");
}

#[test]
fn a_device_that_was_removed_brings_no_used_code_back() {
    let fixture = Fixture::new();
    let ledger = fixture.ledger();
    let token = || phone("token");
    let id = enroll(ledger, &token(), false).unwrap();
    assert!(fixture.consume(ALICE, 10).is_some());
    ledger.remove_device(ALICE, id).unwrap();
    enroll(ledger, &token(), false).unwrap();
    assert!(fixture.consume(ALICE, 10).is_none());
    assert!(fixture.consume(ALICE, 11).is_some());
}

#[test]
fn each_device_has_steps_of_its_own() {
    let fixture = Fixture::new();
    assert!(fixture.consume(ALICE, 100).is_some());
    // A token with steps of a minute counts half as far.
    let other = TotpSecret::new(&[9; 20]).print();
    let outcome = fixture
        .ledger()
        .consume_step(&other, TotpStep(50), &new(ALICE, 0), &[])
        .unwrap();
    assert!(matches!(outcome, StepOutcome::Consumed { .. }));
}

#[test]
fn the_whole_ledger_is_told_without_a_secret() {
    let fixture = Fixture::new();
    let ledger = fixture.ledger();
    enroll(ledger, &phone("phone"), false).unwrap();
    fixture.fail(BOB, 2, 100);
    assert!(fixture.consume(ALICE, 10).is_some());
    let export = ledger.inspect().unwrap();
    assert_eq!(export.devices[0].name, "phone");
    assert_eq!(
        (export.failures[0].uid, export.failures[0].consecutive),
        (1001, 2)
    );
    assert_eq!(export.elevations[0].realm, "prod");
    let text = serde_json::to_string(&export).unwrap();
    assert!(
        !text.contains(&hex::encode(SECRET)) && !text.contains("sealed"),
        "{text}"
    );
}
