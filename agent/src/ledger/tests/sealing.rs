// SPDX-License-Identifier: Apache-2.0 OR MIT
use redb::ReadableTable as _;

use super::*;

pub(super) fn enroll(fixture: &Fixture, uid: Uid) {
    fixture
        .ledger()
        .enroll(uid, &phone("phone"), Some(TotpStep(1)), WallTime(1), false)
        .unwrap();
}

pub(super) fn secret(ledger: &Ledger, uid: Uid) -> Vec<u8> {
    ledger.totp_secrets(uid).unwrap()[0].1.as_bytes().to_vec()
}

fn contains(path: &Path, text: &[u8]) -> bool {
    let bytes = fs::read(path).unwrap();
    bytes.windows(text.len()).any(|window| window == text)
}

pub(super) fn places(fixture: &Fixture, credentials: Option<&Path>) -> KeyPlaces {
    KeyPlaces {
        credentials: credentials.map(Path::to_owned),
        state: fixture.state(),
    }
}

#[test]
fn the_file_has_no_secret_in_plain_text() {
    let mut fixture = Fixture::new();
    enroll(&fixture, ALICE);
    fixture.ledger = None;
    assert!(!contains(&fixture.path(), SECRET));
    assert!(!contains(&fixture.path(), hex::encode(SECRET).as_bytes()));
    fixture.reopen();
    assert_eq!(secret(fixture.ledger(), ALICE), SECRET);
}

#[test]
fn a_sealed_record_that_is_moved_to_another_user_does_not_open() {
    let fixture = Fixture::new();
    enroll(&fixture, ALICE);
    let ledger = fixture.ledger();
    ledger
        .engine
        .write("move a record", |txn| {
            let mut table = txn.open_table(tables::DEVICES)?;
            let moved = table.get((ALICE.0, 1))?.unwrap().value().to_vec();
            table.insert((BOB.0, 1), moved.as_slice())?;
            table.insert((ALICE.0, 2), moved.as_slice())?;
            Ok(())
        })
        .unwrap();
    for uid in [ALICE, BOB] {
        let error = ledger.totp_secrets(uid).unwrap_err();
        assert!(matches!(error, LedgerError::Record { .. }), "{error}");
        assert!(error.to_string().contains("seal doesn't fit"), "{error}");
    }
    assert!(ledger.inspect().is_err());
}

#[test]
fn without_its_key_a_ledger_is_not_opened_and_not_made_anew() {
    let mut fixture = Fixture::new();
    enroll(&fixture, ALICE);
    fixture.ledger = None;
    let key = fixture.state().join(KEY_FILE);
    let kept = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    let error = Ledger::open(&fixture.state()).unwrap_err();
    assert!(matches!(error, LedgerError::NoKey { .. }), "{error}");
    assert!(
        !key.exists(),
        "a new key would hide that the old one is gone"
    );

    let write = |bytes: &[u8]| {
        fs::write(&key, bytes).unwrap();
        fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    };
    write(&[7; 32]);
    let error = Ledger::open(&fixture.state()).unwrap_err();
    assert!(matches!(error, LedgerError::WrongKey { .. }), "{error}");
    write(b"too short");
    let error = Ledger::open(&fixture.state()).unwrap_err();
    assert!(
        matches!(error, LedgerError::BadKey { bytes: 9, .. }),
        "{error}"
    );
    write(&kept);
    fixture.reopen();
    assert_eq!(secret(fixture.ledger(), ALICE), SECRET);
}

#[test]
fn a_key_that_lets_others_in_is_refused() {
    let mut fixture = Fixture::new();
    fixture.ledger = None;
    let key = fixture.state().join(KEY_FILE);
    fs::set_permissions(&key, Permissions::from_mode(0o640)).unwrap();
    let error = Ledger::open(&fixture.state()).unwrap_err();
    assert!(matches!(error, LedgerError::NotPrivate(_)), "{error}");
}

#[test]
fn new_keys_open_what_the_old_ones_sealed_and_the_old_ones_nothing_any_more() {
    let mut fixture = Fixture::new();
    enroll(&fixture, ALICE);
    enroll(&fixture, BOB);
    let key = fixture.state().join(KEY_FILE);
    let before = fs::read(&key).unwrap();
    assert_eq!(fixture.ledger.as_mut().unwrap().rotate_keys().unwrap(), 2);
    assert_eq!(secret(fixture.ledger(), ALICE), SECRET);
    assert_ne!(fs::read(&key).unwrap(), before);
    fixture.reopen();
    assert_eq!(secret(fixture.ledger(), BOB), SECRET);
    fixture.ledger = None;
    fs::write(&key, before).unwrap();
    let error = Ledger::open(&fixture.state()).unwrap_err();
    assert!(matches!(error, LedgerError::WrongKey { .. }), "{error}");
}

#[test]
fn a_crash_while_the_key_file_is_replaced_loses_nothing() {
    // Before the commit: the new file is there, and the old one fits.
    let mut fixture = Fixture::new();
    enroll(&fixture, ALICE);
    let next = fixture.state().join("secrets.key.new");
    let key = fixture.state().join(KEY_FILE);
    fixture.ledger = None;
    fs::write(&next, [7; 32]).unwrap();
    fs::set_permissions(&next, Permissions::from_mode(0o600)).unwrap();
    fixture.reopen();
    assert!(!next.exists());
    // After the commit: only the new file fits.
    let old = fs::read(&key).unwrap();
    fixture.ledger.as_mut().unwrap().rotate_keys().unwrap();
    fixture.ledger = None;
    fs::rename(&key, &next).unwrap();
    fs::write(&key, &old).unwrap();
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    fixture.reopen();
    assert_eq!(secret(fixture.ledger(), ALICE), SECRET);
    assert!(!next.exists());
    assert_ne!(fs::read(&key).unwrap(), old);
}

#[test]
fn a_credential_takes_the_place_of_the_file_and_of_an_older_credential() {
    let mut fixture = Fixture::new();
    enroll(&fixture, ALICE);
    assert!(matches!(fixture.ledger().key_source(), KeySource::File(_)));
    fixture.ledger = None;
    let credentials = fixture.dir.path().join("credentials");
    fs::create_dir(&credentials).unwrap();
    fs::write(credentials.join(CREDENTIAL), hex::encode([1; 32]) + "\n").unwrap();
    let open = |credentials| Ledger::open_with(&places(&fixture, credentials));
    let ledger = open(Some(&credentials)).unwrap();
    assert_eq!(*ledger.key_source(), KeySource::Credential);
    assert_eq!(secret(&ledger, ALICE), SECRET);
    drop(ledger);
    assert!(!fixture.state().join(KEY_FILE).exists());
    assert!(matches!(open(None), Err(LedgerError::NoKey { .. })));

    // Another one, with the older one beside it for the first start.
    fs::rename(
        credentials.join(CREDENTIAL),
        credentials.join(PREVIOUS_CREDENTIAL),
    )
    .unwrap();
    fs::write(credentials.join(CREDENTIAL), [2; 32]).unwrap();
    drop(open(Some(&credentials)).unwrap());
    fs::remove_file(credentials.join(PREVIOUS_CREDENTIAL)).unwrap();
    assert_eq!(secret(&open(Some(&credentials)).unwrap(), ALICE), SECRET);
}

#[test]
fn a_ledger_of_schema_1_is_brought_up_to_date_with_all_that_it_has() {
    let dir = TempDir::new().unwrap();
    let state = dir.path().join("state");
    private::prepare_dir(&state).unwrap();
    let path = state.join(FILE_NAME);
    schema_1(&path);
    let mut old = fs::File::open(&path).unwrap();
    assert!(contains(&path, hex::encode(SECRET).as_bytes()));

    let ledger = Ledger::open(&state).unwrap();
    assert_eq!(secret(&ledger, ALICE), SECRET);
    let devices = ledger.devices(ALICE).unwrap();
    assert_eq!(
        (devices[0].name.as_str(), devices[0].enrolled),
        ("authenticator", WallTime(5))
    );
    assert_eq!(
        ledger.last_step(ALICE, &print()).unwrap(),
        Some(TotpStep(40))
    );
    let failures = ledger.failures(BOB, &Factor::Totp).unwrap().unwrap();
    assert_eq!(failures.consecutive(), 3);
    assert_eq!(ledger.elevations(ALICE, &boot()).unwrap().len(), 1);
    assert_eq!(ledger.next_grant_id().unwrap(), GrantId(77));
    let next = ledger.enroll(BOB, &phone("phone"), None, WallTime(1), false);
    assert!(next.unwrap() > devices[0].id);
    drop(ledger);
    Ledger::open(&state).unwrap();

    assert!(!contains(&path, hex::encode(SECRET).as_bytes()));
    // What somebody still has open of the old file is wiped.
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut old, &mut bytes).unwrap();
    assert!(!bytes.is_empty() && bytes.iter().all(|byte| *byte == 0));
}

/// A ledger as the first versions wrote it.
fn schema_1(path: &Path) {
    use redb::TableDefinition;
    let totp: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("totp");
    let steps: TableDefinition<'_, u32, u64> = TableDefinition::new("totp_steps");
    let failures: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("failures");
    drop(private::open_file(path).unwrap());
    fs::remove_file(path).unwrap();
    let db = redb::Database::create(path).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    let txn = db.begin_write().unwrap();
    {
        let secret = format!(r#"{{"secret":"{}","enrolled":5}}"#, hex::encode(SECRET));
        let failed = r#"{"consecutive":3,"last":100,"boot":"this boot"}"#;
        let elevation = r#"{"uid":1000,"realm":"prod","factor":"totp","proven":{"boot":7,"wall":7},"boot":"this boot"}"#;
        txn.open_table(tables::META)
            .unwrap()
            .insert("schema", 1)
            .unwrap();
        txn.open_table(totp)
            .unwrap()
            .insert(ALICE.0, secret.as_bytes())
            .unwrap();
        txn.open_table(steps).unwrap().insert(ALICE.0, 40).unwrap();
        txn.open_table(failures)
            .unwrap()
            .insert(BOB.0, failed.as_bytes())
            .unwrap();
        let mut elevations = txn.open_table(tables::ELEVATIONS).unwrap();
        elevations
            .insert((ALICE.0, 1), elevation.as_bytes())
            .unwrap();
        let mut counters = txn.open_table(tables::COUNTERS).unwrap();
        counters.insert("grant", 77).unwrap();
        counters.insert("elevation", 2).unwrap();
    }
    txn.commit().unwrap();
}
