// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A full disk: no factor counts that isn't written, and no code is good that can't be used up.

use stile_tests::{ALICE, Host, ROOT, Said};

use crate::importing::importing;
use crate::scene::{SECRET_32, import, is_wrong, names, opens, recovery_codes, waiting};

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

/// Renames device 1 until that can't be recorded, and tells its last name. What is left of a page
/// of the log's file still takes some records.
#[track_caller]
fn until_the_log_is_full(host: &Host) -> String {
    host.disks().audit.fill();
    let rename = |name: &str| {
        let arguments = ["factor", "rename", "--user", "alice", "1", name];
        host.stile(ROOT, &arguments)
    };
    for number in 0..100 {
        let said = rename(&format!("name {number}"));
        if said.code != 0 {
            said.failed(1, FULL);
            return format!("name {}", number - 1);
        }
    }
    panic!("a full disk takes all records");
}

fn of_alice(host: &Host, arguments: &[&str], typed: &str) -> Said {
    let whose = ["--user", "alice"];
    let arguments: Vec<_> = arguments.iter().chain(&whose).copied().collect();
    host.stile_typing(ROOT, &arguments, typed)
}

#[test]
fn no_change_of_factors_is_made_that_can_not_be_recorded() {
    let mut host = small();
    let token = import(&host, "token");
    let codes = recovery_codes(&host);
    is_wrong(&host, &token.wrong_code());
    of_alice(&host, &["factor", "rename", "1", "name -1"], "").succeeded();
    let adding = host.enrolling(ROOT, &["factor", "add", "--json", "--user", "alice"], None);
    let adding = adding.unwrap();
    let name = until_the_log_is_full(&host);
    let as_before = |host: &Host| {
        let factors = host.factors(ALICE);
        assert_eq!(names(host, ALICE), [name.as_str(), ""]);
        assert_eq!(factors[0]["failures"], 1, "{factors:?}");
        assert_eq!(factors[1]["left"], 10, "{factors:?}");
    };
    as_before(&host);
    let another = ["factor", "import", "--name", "another", "--stdin"];
    of_alice(&host, &another, SECRET_32).failed(1, FULL);
    let many = format!("otpauth://totp/Old:alice?secret={SECRET_32}\n");
    importing(&host, &many, &[]).failed(1, FULL);
    of_alice(&host, &["factor", "remove", "1"], "").failed(1, FULL);
    of_alice(&host, &["factor", "remove", "recovery"], "").failed(1, FULL);
    let said = of_alice(&host, &["factor", "recovery", "--json"], "");
    said.failed(1, FULL);
    assert_eq!(said.stdout, "");
    host.stile(ROOT, &["unlock", "alice"]).failed(1, FULL);
    let first = adding.authenticator.fresh_code();
    adding.confirm(&first).0.failed(1, FULL);
    as_before(&host);
    host.disks().audit.make_room();
    host.restart();
    as_before(&host);
    opens(&host, &codes[0]);
    let renamed = host.audit().records();
    let last = renamed.of("factor-changed").pop().unwrap();
    assert_eq!(last["name"], name, "the log has what was done: {last}");
}
