// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Only a right code, once, from the right person, is proof.

use stile_tests::{ALICE, BOB, Host};

#[test]
fn somebody_elses_challenge_is_no_such_challenge() {
    let host = Host::start_usual();
    let _client = host.connect(ALICE);
    let _ = host.wait_for_challenge(ALICE);
    assert!(host.pending(BOB).is_empty());
}
