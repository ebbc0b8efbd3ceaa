// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who is gated, and who is asked.

use stile_tests::{ALICE, Host, POSTGRES, ROOT, until};

const ALICES_SESSION: &str = "user.slice/user-42001.slice/session-1.scope";

#[test]
fn root_and_system_users_outside_of_sessions_pass() {
    let host = Host::start_usual();
    for user in [ROOT, POSTGRES] {
        let mut client = host.connect(user);
        client.connected();
        client.talks();
    }
    assert!(host.audit().records().of("attempt").is_empty());
}

/// What root does in alice's session, as with sudo, alice answers for.
fn root_is_held_and_alice_is_asked(host: &Host) {
    let authenticator = host.enroll(ALICE);
    let mut client = host.connect_in(ALICES_SESSION, ROOT);
    host.wait_for_challenge(ALICE);
    client.still_waits();
    host.approve(ALICE, &authenticator);
    client.connected();
    client.talks();
    let records = host.audit().wait_for("connection", 1);
    assert_eq!(records.the("connection")["subject"]["user"], "alice");
    assert_eq!(records.the("connection")["process"]["uid"], 0);
    // The grant is alice's: it opens for her own processes too, wherever they run.
    host.connect(ALICE).connected();
}

/// S1.
#[test]
fn root_in_a_session_is_held_and_its_owner_is_asked() {
    let host = Host::builder().cgroup(ALICES_SESSION).build();
    root_is_held_and_alice_is_asked(&host);
}

/// S1: people log in while the daemon runs.
#[test]
fn root_in_a_session_that_began_later_is_held_and_its_owner_is_asked() {
    let host = Host::builder().cgroup("user.slice").build();
    root_is_held_and_alice_is_asked(&host);
}

/// S1: where there is no `user.slice` when the daemon starts, it notices when one is made. The
/// service unit starts after that slice all the same.
#[test]
fn root_in_a_session_is_held_where_user_slice_came_later() {
    let host = Host::builder().max_hold("3s").build();
    host.in_cgroup(ALICES_SESSION, ROOT, "/bin/true")
        .status()
        .expect("the cgroup is made");
    until("the gate knows of user.slice", || {
        let outcome = host.connect_in(ALICES_SESSION, ROOT).outcome();
        outcome.result.is_err().then_some(())
    });
    root_is_held_and_alice_is_asked(&host);
}

/// S1: whoever is not asked can't be judged, and is refused.
#[test]
fn root_below_user_slice_in_nobodys_session_is_refused() {
    let host = Host::builder().cgroup("user.slice/odd.slice").build();
    let client = host.connect_in("user.slice/odd.slice", ROOT);
    assert!(client.outcome().result.is_err());
    let records = host.audit().wait_for("decision", 1);
    assert_eq!(records.the("decision")["outcome"], "deny");
}
