// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The audit log of it all is whole, and shows when it isn't (S6).

use std::fs;
use std::path::Path;

use stile::audit::verify_file;
use stile_tests::{ALICE, Host};

/// More positions than records, spread so that they meet every kind of field.
const POSITIONS: usize = 150;

#[test]
fn any_changed_byte_of_the_audit_log_is_found() {
    let host = Host::start_usual();
    let authenticator = host.enroll(ALICE);
    let client = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    host.approve(ALICE, &authenticator);
    client.connected();
    host.stile(ALICE, &["revoke"]).succeeded();
    let log = host.audit().wait_for("grant-revoked", 1);
    assert!(log.events().len() > 8, "{:?}", log.events());

    let copy = host.state().join("copy.jsonl");
    let whole = fs::read(host.audit().path()).unwrap();
    fs::write(&copy, &whole).unwrap();
    host.verify_audit(&copy).succeeded();
    assert!(verify_file(&copy).is_ok());

    let last = whole.len() - 1;
    for step in 0..=POSITIONS {
        let position = last * step / POSITIONS;
        change(&whole, position, &copy);
        let verdict = verify_file(&copy);
        assert!(verdict.is_err(), "byte {position}: {verdict:?}");
    }
    for position in [0, last / 2, last] {
        change(&whole, position, &copy);
        host.verify_audit(&copy).failed(5, "line ");
    }
}

fn change(whole: &[u8], position: usize, copy: &Path) {
    let mut changed = whole.to_vec();
    changed[position] ^= 1;
    fs::write(copy, changed).unwrap();
}
