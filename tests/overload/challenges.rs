// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A thousand questions at once.

use std::collections::HashMap;
use std::time::Instant;

use stile_tests::{ALICE, CrowdServer, Footprint, Host, ROOT, measured, until};

/// As many challenges as one user may have pending.
const EACH: u64 = 16;
/// How many connections more each user begins.
const BEYOND: u64 = 4;
/// How many users there are, and the first of them.
const USERS: u32 = 63;
const FIRST: u32 = 43_001;
/// What they may all have pending.
const ALL: u64 = EACH * USERS as u64;

/// What a thousand challenges may take, in KiB: 12 for each.
const MEMORY: usize = 12 * 1024;

#[test]
fn a_thousand_challenges_wait_while_others_are_answered_and_all_end_in_time() {
    let host = Host::builder().scope("socket").max_hold("40s").build();
    let server = CrowdServer::start(host.server().address().ip(), 5432);
    let authenticator = host.enroll(ALICE);
    let start = Footprint::of(host.pid());
    let mut crowd = host.crowd(ROOT, server.address());
    for uid in FIRST..FIRST + USERS {
        crowd.become_user(uid);
        assert_eq!(crowd.begin(EACH + BEYOND), EACH + BEYOND);
    }
    let pending = host.wait_for_challenges(ROOT, usize::try_from(ALL).unwrap());
    let mut of_user: HashMap<u64, u64> = HashMap::new();
    for challenge in &pending {
        assert_eq!(challenge["waiting"], 1, "{challenge}");
        *of_user
            .entry(challenge["uid"].as_u64().unwrap())
            .or_default() += 1;
    }
    assert!(of_user.values().all(|count| *count == EACH), "{of_user:?}");
    let waiting = Footprint::of(host.pid());
    measured(&format!("{start:?}, with {ALL} challenges {waiting:?}"));
    assert!(waiting.anonymous < start.anonymous + MEMORY, "{waiting:?}");

    let mut client = host.connect(ALICE);
    let began = Instant::now();
    host.wait_for_challenge(ALICE);
    host.approve(ALICE, &authenticator);
    client.connected();
    client.talks();
    let took = began.elapsed();
    measured(&format!(
        "another user was asked and answered within {took:?}"
    ));
    assert_eq!(host.pending(ROOT).len() as u64, ALL, "they ended too early");

    let settled = crowd.settle();
    assert_eq!((settled.connected, server.accepted()), (0, 0));
    assert_eq!(settled.failed, (EACH + BEYOND) * u64::from(USERS));
    assert!(host.pending(ROOT).is_empty());
    let records = host.audit().records();
    let decisions = records.of("decision").into_iter();
    let refused = decisions.filter(|record| record["outcome"] == "deny");
    let reasons: Vec<_> = refused.map(|record| record["reason"].clone()).collect();
    assert_eq!(reasons.len() as u64, BEYOND * u64::from(USERS));
    for reason in reasons {
        assert_eq!(reason, "too many challenges of this user are pending");
    }
    let ended = records.of("challenge-ended").into_iter();
    let late = ended.filter(|record| record["outcome"] == "timed-out");
    assert_eq!(late.count() as u64, ALL);
    host.stile(ALICE, &["revoke", "--all"]).succeeded();
    until("descriptors, threads and memory are given back", || {
        let now = Footprint::of(host.pid());
        let few = now.descriptors <= start.descriptors && now.threads <= start.threads;
        (few && now.anonymous < start.anonymous + MEMORY / 2).then_some(())
    });
}
