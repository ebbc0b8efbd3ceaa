// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Keys that are replaced, and what can go wrong meanwhile.

use super::sealing::{enroll, places, secret};
use super::*;

#[test]
fn a_key_file_that_a_crash_left_half_written_is_passed_over() {
    let mut fixture = Fixture::new();
    enroll(&fixture, ALICE);
    let next = fixture.state().join("secrets.key.new");
    for torn in [&b""[..], b"5ec1e7"] {
        fixture.ledger = None;
        private_file(&next, torn);
        fixture.reopen();
        assert_eq!(secret(fixture.ledger(), ALICE), SECRET);
        assert!(!next.exists());
    }
}

#[test]
fn a_crash_before_the_first_key_took_its_place_loses_nothing() {
    let mut fixture = Fixture::new();
    fixture.ledger = None;
    let state = fixture.state();
    for left_behind in [&b""[..], &[7; 32]] {
        fs::remove_file(state.join(FILE_NAME)).unwrap();
        fs::remove_file(state.join(KEY_FILE)).unwrap();
        private_file(&state.join("secrets.key.new"), left_behind);
        fixture.reopen();
        enroll(&fixture, ALICE);
        for _ in 0..2 {
            fixture.reopen();
            assert_eq!(secret(fixture.ledger(), ALICE), SECRET);
        }
        fixture.ledger = None;
    }
}

/// Only the key that is about to take its place fits, as a crash after the commit leaves it.
fn crash_after_the_commit(fixture: &mut Fixture) {
    let next = fixture.state().join("secrets.key.new");
    let key = fixture.state().join(KEY_FILE);
    let old = fs::read(&key).unwrap();
    fixture.ledger.as_mut().unwrap().rotate_keys().unwrap();
    fs::rename(&key, &next).unwrap();
    private_file(&key, &old);
}

#[test]
fn a_credential_also_takes_the_place_of_a_file_that_was_being_replaced() {
    let mut fixture = Fixture::new();
    enroll(&fixture, ALICE);
    crash_after_the_commit(&mut fixture);
    fixture.ledger = None;
    let credentials = fixture.dir.path().join("credentials");
    fs::create_dir(&credentials).unwrap();
    fs::write(credentials.join(CREDENTIAL), [1; 32]).unwrap();
    let ledger = Ledger::open_with(&places(&fixture, Some(&credentials))).unwrap();
    assert_eq!(secret(&ledger, ALICE), SECRET);
    assert!(!fixture.state().join("secrets.key.new").exists());
}

#[test]
fn keys_that_can_not_be_replaced_leave_those_that_fit() {
    let mut fixture = Fixture::new();
    enroll(&fixture, ALICE);
    crash_after_the_commit(&mut fixture);
    fixture
        .ledger()
        .engine
        .write("damage a record", |txn| {
            let mut table = txn.open_table(tables::DEVICES)?;
            table.insert((BOB.0, 9), &b"{}"[..])?;
            Ok(())
        })
        .unwrap();
    let error = fixture.ledger.as_mut().unwrap().rotate_keys().unwrap_err();
    assert!(matches!(error, LedgerError::Record { .. }), "{error}");
    fixture.reopen();
    assert_eq!(secret(fixture.ledger(), ALICE), SECRET);
}

#[test]
fn new_keys_make_good_for_a_key_that_was_lost_while_the_ledger_is_open() {
    let mut fixture = Fixture::new();
    enroll(&fixture, ALICE);
    fs::remove_file(fixture.state().join(KEY_FILE)).unwrap();
    fixture.ledger.as_mut().unwrap().rotate_keys().unwrap();
    fixture.reopen();
    assert_eq!(secret(fixture.ledger(), ALICE), SECRET);
}

fn private_file(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}
