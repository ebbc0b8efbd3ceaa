// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Several devices of one user.

use serde_json::json;
use stile_tests::{ALICE, BOB, Host, ROOT};

use crate::scene::{import, is_wrong, names, only_for_admins, opens, waiting, with_token};

const ADD: [&str; 5] = ["factor", "add", "--name", "tablet", "--json"];

#[test]
fn a_device_is_added_with_a_code_of_another_one_and_either_opens() {
    let (host, token) = with_token();
    let adding = host.enrolling(ALICE, &ADD, Some(&token.fresh_code()));
    let adding = adding.unwrap();
    let first = adding.authenticator.fresh_code();
    let (said, tablet) = adding.confirm(&first);
    said.succeeded();
    assert_eq!(names(&host, ALICE), ["token", "tablet"]);
    opens(&host, &tablet.fresh_code());
    opens(&host, &token.fresh_code());
    let records = host.audit().records();
    let enrolled = records.the("enrolled");
    assert_eq!(enrolled["name"], "tablet");
    assert_eq!(enrolled["device"], 2);
    assert_eq!(enrolled["by"], ALICE.uid);
}

#[test]
fn a_device_is_not_added_with_a_wrong_or_a_used_code() {
    let (host, token) = with_token();
    let used = token.fresh_code();
    opens(&host, &used);
    for code in [token.wrong_code(), used] {
        let said = host.enrolling(ALICE, &ADD, Some(&code)).unwrap_err();
        said.failed(1, "wrong code");
    }
    host.enrolling(ALICE, &ADD, Some(""))
        .unwrap_err()
        .failed(1, "no code");
    assert_eq!(names(&host, ALICE), ["token"]);
}

#[test]
fn a_new_device_does_not_count_before_its_first_code() {
    let (host, token) = with_token();
    let adding = host.enrolling(ALICE, &ADD, Some(&token.fresh_code()));
    let tablet = adding.unwrap().authenticator;
    assert_eq!(names(&host, ALICE), ["token"]);
    is_wrong(&host, &tablet.fresh_code());
    opens(&host, &token.fresh_code());
}

#[test]
fn with_replace_the_new_device_takes_the_place_of_all_others() {
    let (host, token) = with_token();
    let arguments = ["factor", "add", "--replace", "--name", "new", "--json"];
    let adding = host.enrolling(ALICE, &arguments, Some(&token.fresh_code()));
    let adding = adding.unwrap();
    let first = adding.authenticator.fresh_code();
    let (said, new) = adding.confirm(&first);
    said.succeeded();
    assert_eq!(names(&host, ALICE), ["new"]);
    is_wrong(&host, &token.fresh_code());
    opens(&host, &new.fresh_code());
}

#[test]
fn devices_are_listed_renamed_and_removed_by_their_user() {
    let (host, token) = with_token();
    let listed = host.factors(ALICE);
    assert_eq!(listed.len(), 1, "{listed:?}");
    let phone = &listed[0];
    assert_eq!(phone["id"], 1);
    assert_eq!(phone["factor"], "totp");
    assert_eq!(phone["assurance"], 1);
    assert_eq!(phone["parameters"], "sha1, 6 digits, 30 s");
    assert_eq!(phone["failures"], 0);
    let table = host.stile(ALICE, &["factor", "list"]);
    assert!(table.succeeded().stdout.contains("token"), "{table:?}");

    host.stile(ALICE, &["factor", "rename", "1", "desk drawer"])
        .succeeded();
    assert_eq!(names(&host, ALICE), ["desk drawer"]);
    host.stile(ALICE, &["factor", "rename", "1", "a\u{7}b"])
        .failed(1, "is no name");
    host.stile(ALICE, &["factor", "rename", "7", "other"])
        .failed(1, "no such device");

    // A wrong code removes nothing, and of a device that isn't there no code is used up.
    host.stile_typing(
        ALICE,
        &["factor", "remove", "1", "--stdin"],
        &token.wrong_code(),
    )
    .failed(1, "wrong code");
    let code = token.fresh_code();
    host.stile_typing(ALICE, &["factor", "remove", "7", "--stdin"], &code)
        .failed(1, "no such device");
    host.stile_typing(ALICE, &["factor", "remove", "1", "--stdin"], &code)
        .succeeded();
    assert_eq!(host.factors(ALICE), Vec::<serde_json::Value>::new());
    let client = waiting(&host);
    host.answer(ALICE, None, &token.fresh_code())
        .failed(1, "run `stile enroll`");
    client.still_waits();
    let records = host.audit().records();
    let changes: Vec<_> = records
        .of("factor-changed")
        .iter()
        .map(|it| &it["change"])
        .collect();
    assert_eq!(changes, ["imported", "renamed", "removed"]);
}

#[test]
fn who_has_removed_the_last_device_may_enroll_anew() {
    let (host, token) = with_token();
    let remove = ["factor", "remove", "1", "--stdin"];
    host.stile_typing(ALICE, &remove, &token.fresh_code())
        .succeeded();
    let phone = host.enroll(ALICE);
    opens(&host, &phone.fresh_code());
}

#[test]
fn a_removed_device_whose_secret_comes_back_has_its_used_codes_still_used() {
    let (host, token) = with_token();
    let code = token.fresh_code();
    host.stile_typing(ALICE, &["factor", "remove", "1", "--stdin"], &code)
        .succeeded();
    import(&host, "again");
    is_wrong(&host, &code);
    opens(&host, &token.fresh_code());
}

#[test]
fn an_administrator_adds_and_removes_without_a_code() {
    let (host, _) = with_token();
    let arguments = [
        "factor", "add", "--user", "alice", "--name", "spare", "--json",
    ];
    let adding = host.enrolling(ROOT, &arguments, None).unwrap();
    let first = adding.authenticator.fresh_code();
    let (said, spare) = adding.confirm(&first);
    said.succeeded();
    assert_eq!(names(&host, ALICE), ["token", "spare"]);
    host.stile(ROOT, &["factor", "remove", "--user", "alice", "1"])
        .succeeded();
    assert_eq!(names(&host, ALICE), ["spare"]);
    opens(&host, &spare.fresh_code());
    let records = host.audit().records();
    assert!(records.of("factor-changed").iter().all(|it| it["by"] == 0));
    assert_eq!(records.the("enrolled")["by"], 0);
}

#[test]
fn nobody_but_administrators_touches_the_factors_of_others() {
    let (host, _) = with_token();
    let bobs = host.enroll(BOB);
    let refused = "only an administrator may do this";
    let of_alice = |arguments: &[&str], typed: &str| {
        let arguments: Vec<_> = arguments
            .iter()
            .chain(&["--user", "alice"])
            .copied()
            .collect();
        host.stile_typing(BOB, &arguments, typed)
    };
    let code = bobs.fresh_code();
    of_alice(&["factor", "list"], "").failed(1, refused);
    of_alice(&["factor", "rename", "1", "mine"], "").failed(1, refused);
    of_alice(&["factor", "remove", "1", "--stdin"], &code).failed(1, refused);
    of_alice(&["factor", "recovery", "--stdin"], &code).failed(1, refused);
    of_alice(&["factor", "add", "--json"], &code).failed(1, refused);
    only_for_admins(&host, &["factor", "import", "--user", "alice", "--stdin"]);
    only_for_admins(&host, &["unlock", "alice"]);
    only_for_admins(&host, &["ledger", "check"]);
    only_for_admins(&host, &["ledger", "export"]);
    only_for_admins(&host, &["secrets", "rotate"]);
    // Nor does one of his codes help, given to the agent itself.
    let uid = format!("uint32:{}", ALICE.uid);
    let code = format!("string:{code}");
    host.call_factors(BOB, "Remove", &[&uid, "uint64:1", &code])
        .failed(1, "org.stile.Agent1.Error.NotPermitted");
    assert_eq!(names(&host, ALICE), ["token"]);
    assert_eq!(host.audit().records().of("factor-changed").len(), 1);
}

#[test]
fn a_user_has_five_devices_at_most_and_each_has_a_name_of_its_own() {
    let host = Host::start_usual();
    for number in 1..=5 {
        import(&host, &format!("token {number}"));
    }
    let sixth = ["factor", "import", "--user", "alice", "--stdin", "--name"];
    let named = |name| {
        let arguments: Vec<_> = sixth.iter().copied().chain([name]).collect();
        host.stile_typing(ROOT, &arguments, crate::scene::SECRET)
    };
    named("token 6").failed(1, "5 devices");
    host.stile(ALICE, &["factor", "rename", "1", "token 2"])
        .failed(1, "token 2");
    named("token 5").failed(1, "token 5");
    let ids: Vec<_> = host
        .factors(ALICE)
        .iter()
        .map(|it| it["id"].clone())
        .collect();
    assert_eq!(json!(ids), json!([1, 2, 3, 4, 5]));
}
