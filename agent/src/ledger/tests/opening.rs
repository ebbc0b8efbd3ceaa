// SPDX-License-Identifier: Apache-2.0 OR MIT
use super::*;

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
        matches!(error, LedgerError::NewerSchema { found: 3, .. }),
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
    let mut names: Vec<_> = fs::read_dir(&state)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, [FILE_NAME, KEY_FILE]);
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
