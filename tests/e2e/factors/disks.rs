// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A full disk: no factor counts that isn't written, and no code is good that can't be used up.

use stile_tests::{ALICE, Host, ROOT};

use crate::scene::{import, is_wrong, names, opens, recovery_codes, waiting};

const FULL: &str = "nothing can be granted now";

fn small() -> Host {
    Host::builder().small_disks().build()
}

#[test]
fn a_device_does_not_count_that_could_not_be_written() {
    let mut host = small();
    let token = import(&host, "token");
    let adding = host
        .enrolling(
            ALICE,
            &["factor", "add", "--json"],
            Some(&token.fresh_code()),
        )
        .unwrap();
    host.disks().ledger.fill();
    let first = adding.authenticator.fresh_code();
    let (said, new) = adding.confirm(&first);
    said.failed(1, FULL);
    host.disks().ledger.make_room();
    host.restart();
    assert_eq!(names(&host, ALICE), ["token"]);
    is_wrong(&host, &new.fresh_code());
    opens(&host, &token.fresh_code());
}

#[test]
fn a_recovery_code_opens_nothing_that_could_not_be_used_up() {
    let mut host = small();
    let codes = recovery_codes(&host);
    let client = waiting(&host);
    host.disks().ledger.fill();
    host.answer(ALICE, None, &codes[0]).failed(1, FULL);
    client.still_waits();
    assert!(host.grants(ALICE).is_empty());
    assert_eq!(host.server().accepted(), 0);
    client.kill();
    host.disks().ledger.make_room();
    host.restart();
    opens(&host, &codes[1]);
}

#[test]
fn recovery_codes_that_could_not_be_written_are_not_told() {
    let mut host = small();
    let codes = recovery_codes(&host);
    host.disks().ledger.fill();
    let said = host.stile(ROOT, &["factor", "recovery", "--user", "alice", "--json"]);
    said.failed(1, FULL);
    assert_eq!(said.stdout, "");
    host.disks().ledger.make_room();
    host.restart();
    opens(&host, &codes[0]);
}

#[test]
fn keys_that_could_not_be_written_replace_none() {
    let mut host = small();
    let token = import(&host, "token");
    host.disks().ledger.fill();
    host.stile(ROOT, &["secrets", "rotate"]).failed(1, FULL);
    host.kill9();
    host.disks().ledger.make_room();
    host.start();
    opens(&host, &token.fresh_code());
}
