// SPDX-License-Identifier: Apache-2.0 OR MIT
use std::net::{Ipv4Addr, SocketAddr};

use stile_common::Attempt;
use zerocopy::FromZeros;

use super::*;
use crate::classify::{Gone, ProcessState, Protocol, Subject};
use crate::ids::EndpointId;

const ALICE: Uid = Uid(1000);
const BOB: Uid = Uid(1001);
/// When everything here begins.
const BEGUN: BootTime = BootTime(1_000_000_000);
const HOLD: Duration = Duration::from_secs(60);

/// A connection of alice's that waits until this time.
fn waiting(cookie: u64, deadline: BootTime) -> Waiting {
    let facts = Classified {
        attempt: Attempt::new_zeroed(),
        at: BEGUN,
        cookie: SocketCookie(cookie),
        endpoint: EndpointId(1),
        destination: SocketAddr::from((Ipv4Addr::LOCALHOST, 5432)),
        protocol: Protocol::Tcp,
        disposition: Disposition::Held,
        subject: Subject::Known(ALICE),
        process: ProcessState::Gone(Gone::Exited(4711)),
    };
    Waiting {
        facts,
        syn: None,
        terms: None,
        deadline,
        watch: None,
    }
}

/// A challenge of alice's on which connections wait until these times.
fn pending(deadlines: &[BootTime]) -> (Challenges, ChallengeId) {
    let mut challenges = Challenges::default();
    let key = ChallengeKey {
        subject: ALICE,
        realm: RuleName::new("prod").unwrap(),
        bound: Bound::User,
        socket: None,
        proof: Proof::default(),
    };
    let mut ids = Vec::new();
    for (cookie, deadline) in (1..).zip(deadlines) {
        let waiting = waiting(cookie, *deadline);
        let admitted = challenges.admit(key.clone(), waiting, Vec::new(), BEGUN, 120);
        let (Admission::Raised(id) | Admission::Joined(id)) = admitted.unwrap();
        ids.push(id);
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    (challenges, ids[0])
}

#[test]
fn a_challenge_is_answered_before_its_deadline_and_not_at_it() {
    let deadline = BEGUN.after(HOLD);
    let (challenges, id) = pending(&[deadline]);
    let answerable = |now| {
        let found = challenges.answerable(id, Caller::user(ALICE), now);
        found.map(|challenge| challenge.id)
    };
    assert_eq!(answerable(BEGUN), Some(id));
    assert_eq!(answerable(BootTime(deadline.0 - 1)), Some(id));
    // Nothing has withdrawn it, as where the alarm hasn't been heard yet.
    assert!(challenges.get(id).is_some());
    assert_eq!(answerable(deadline), None);
    assert_eq!(answerable(deadline.after(HOLD)), None);
}

#[test]
fn an_answer_opens_nothing_for_a_connection_whose_time_is_over() {
    let (first, last) = (BEGUN.after(HOLD), BEGUN.after(HOLD * 2));
    let (mut challenges, id) = pending(&[first, last]);
    let caller = Caller::user(ALICE);
    assert!(challenges.answerable(id, caller, first).is_none());
    let withdrawn = challenges.withdraw(|waiting| waiting.deadline <= first);
    assert_eq!(withdrawn[0].waiting[0].cookie(), SocketCookie(1));
    let left = challenges.answerable(id, caller, first).unwrap();
    assert_eq!(left.waiting[0].cookie(), SocketCookie(2));
    assert_eq!(left.waiting.len(), 1);
}

#[test]
fn nobody_else_answers() {
    let (challenges, id) = pending(&[BEGUN.after(HOLD)]);
    assert!(
        challenges
            .answerable(id, Caller::user(BOB), BEGUN)
            .is_none()
    );
    assert!(
        challenges
            .answerable(ChallengeId(id.0 + 1), Caller::user(ALICE), BEGUN)
            .is_none()
    );
}
