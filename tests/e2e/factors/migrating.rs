// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Ledgers of other versions.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use redb::{Database, TableDefinition};
use stile_tests::{ALICE, Authenticator, Host, ROOT};

use crate::scene::{SECRET, is_wrong, names, opens, with_token};

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// A ledger as version 1 wrote it: alice has a secret, and has used its code of this step.
fn of_schema_1(state: &Path, secret: &str, step: u64) {
    const TOTP: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("totp");
    const STEPS: TableDefinition<'_, u32, u64> = TableDefinition::new("totp_steps");
    fs::create_dir(state).unwrap();
    fs::set_permissions(state, Permissions::from_mode(0o700)).unwrap();
    let path = state.join("ledger.redb");
    let database = Database::create(&path).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    let txn = database.begin_write().unwrap();
    txn.open_table(META).unwrap().insert("schema", 1).unwrap();
    let record = format!(r#"{{"secret":"{secret}","enrolled":5000000000}}"#);
    txn.open_table(TOTP)
        .unwrap()
        .insert(ALICE.uid, record.as_bytes())
        .unwrap();
    txn.open_table(STEPS)
        .unwrap()
        .insert(ALICE.uid, step)
        .unwrap();
    txn.commit().unwrap();
}

#[test]
fn a_user_goes_on_with_the_same_app_and_a_used_code_stays_used() {
    let mut host = Host::builder().stopped().build();
    let app = Authenticator::new(SECRET);
    let used = app.fresh_code();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let step = (now / 30 - 1..=now / 30 + 1)
        .find(|step| app.code_at(step.cast_signed() - (now / 30).cast_signed()) == used);
    let hex: String = app
        .secret_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    of_schema_1(&host.state(), &hex, step.unwrap());
    host.start();
    assert_eq!(names(&host, ALICE), ["authenticator"]);
    is_wrong(&host, &used);
    opens(&host, &app.fresh_code());
    host.restart();
    opens(&host, &app.fresh_code());
    host.stile(ROOT, &["ledger", "check"]).succeeded();
    let bytes = fs::read(host.state().join("ledger.redb")).unwrap();
    assert!(
        !bytes
            .windows(hex.len())
            .any(|window| window == hex.as_bytes())
    );
    assert!(host.log().contains("brought up to date"));
}

#[test]
fn a_ledger_of_a_newer_version_is_left_alone() {
    let (mut host, token) = with_token();
    host.stop();
    let path = host.state().join("ledger.redb");
    let put = |schema: u64| {
        let database = Database::open(&path).unwrap();
        let txn = database.begin_write().unwrap();
        txn.open_table(META)
            .unwrap()
            .insert("schema", schema)
            .unwrap();
        txn.commit().unwrap();
    };
    put(99);
    let said = host.try_start().unwrap_err();
    let wanted = "has schema 99, and this stiled knows none above 2; install the version";
    assert!(said.contains(wanted), "{said}");
    put(2);
    host.start();
    opens(&host, &token.fresh_code());
}
