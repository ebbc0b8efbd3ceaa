// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Connections are held until their user has proven who they are, and end with the grant.

use stile_tests::{ALICE, Host};

#[test]
fn a_held_connection_goes_on_when_its_user_gives_a_code() {
    let host = Host::start_usual();
    let authenticator = host.enroll(ALICE);
    let mut client = host.connect(ALICE);
    host.wait_for_challenge(ALICE);
    client.still_waits();
    assert_eq!(host.server().accepted(), 0);
    assert_eq!(host.approve(ALICE, &authenticator)["released"], 1);
    client.connected();
    client.talks();
}
