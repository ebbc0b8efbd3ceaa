// SPDX-License-Identifier: Apache-2.0 OR MIT
//! People see, answer and end only what is their own (S7). The calls go to the agent itself,
//! for what the `stile` command keeps from its users proves nothing.

use stile_tests::{ALICE, BOB, Host, ROOT};

const NO_SUCH_CHALLENGE: &str = "org.stile.Agent1.Error.NoSuchChallenge";
const NO_SUCH_GRANT: &str = "org.stile.Agent1.Error.NoSuchGrant";

#[test]
fn somebody_elses_challenge_is_no_such_challenge() {
    let host = Host::start_usual();
    let alices = host.enroll(ALICE);
    let bobs = host.enroll(BOB);
    let mut client = host.connect(ALICE);
    let challenge = host.wait_for_challenge(ALICE);
    assert!(host.pending(BOB).is_empty());
    let id = format!("uint64:{}", challenge["id"]);

    // Neither his own code nor hers helps him.
    for code in [bobs.fresh_code(), alices.code_at(0)] {
        let code = format!("string:{code}");
        let said = host.call(BOB, "Answer", &[&id, &code]);
        said.failed(1, NO_SUCH_CHALLENGE);
    }
    host.call(BOB, "Deny", &[&id]).failed(1, NO_SUCH_CHALLENGE);
    // It is the same answer as for one that doesn't exist.
    let said = host.call(BOB, "Deny", &["uint64:4711"]);
    said.failed(1, NO_SUCH_CHALLENGE);

    client.still_waits();
    assert!(host.audit().records().of("factor").is_empty());
    host.approve(ALICE, &alices);
    client.connected();
    client.talks();
}

#[test]
fn somebody_elses_grant_is_no_such_grant() {
    let host = Host::start_usual();
    let authenticator = host.enroll(ALICE);
    let mut client = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    host.approve(ALICE, &authenticator);
    client.connected();

    assert!(host.grants(BOB).is_empty());
    let id = host.grants(ALICE)[0]["id"].to_string();
    let said = host.call(BOB, "Revoke", &[&format!("uint64:{id}")]);
    said.failed(1, NO_SUCH_GRANT);
    host.stile(BOB, &["revoke", "--all"])
        .failed(3, "no grant is live");
    client.talks();
    assert_eq!(host.grants(ALICE).len(), 1);
}

#[test]
fn root_sees_everything_and_may_end_it() {
    let host = Host::start_usual();
    let authenticator = host.enroll(ALICE);
    let mut alices = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    host.approve(ALICE, &authenticator);
    alices.connected();
    let bobs = host.connect(BOB);
    host.wait_for_challenge(BOB);

    assert_eq!(host.pending(ROOT)[0]["uid"], BOB.uid);
    assert_eq!(host.grants(ROOT)[0]["uid"], ALICE.uid);
    alices.listen();
    host.stile(ROOT, &["revoke", "--all"]).succeeded();
    assert!(alices.heard().is_err());
    host.stile(ROOT, &["deny"]).succeeded();
    bobs.refused();
    assert_eq!(host.audit().records().the("grant-revoked")["by"], 0);
}
