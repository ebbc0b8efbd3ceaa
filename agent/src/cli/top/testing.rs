// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the tests of the screen look at.

use std::collections::BTreeMap;

use super::model::Snapshot;
use crate::ids::{ChallengeId, GrantId, Uid};
use crate::service::{ChallengeView, DecisionView, GrantView};

pub(super) const ALICE: Uid = Uid(42001);
pub(super) const BOB: Uid = Uid(42002);

pub(super) fn seen(
    pending: Vec<ChallengeView>,
    grants: Vec<GrantView>,
    recent: Vec<DecisionView>,
) -> Snapshot {
    let users = [(ALICE, "alice".to_owned()), (BOB, "bob".to_owned())];
    Snapshot {
        pending,
        grants,
        recent,
        users: BTreeMap::from(users),
    }
}

pub(super) fn challenge(id: u64) -> ChallengeView {
    crate::service::testing::challenge(ChallengeId(id), ALICE)
}

pub(super) fn grant(id: u64) -> GrantView {
    GrantView {
        id: GrantId(id),
        uid: ALICE,
        endpoint: "staging-db".into(),
        rule: "dba step-up".into(),
        scope: "user".into(),
        factor: "totp".into(),
        seconds_left: 754,
        connections: 2,
    }
}

/// At `14:00` and so many seconds.
pub(super) fn decision(seconds: u64, outcome: &str) -> DecisionView {
    DecisionView {
        time: 1_767_621_600 + seconds,
        uid: ALICE,
        outcome: outcome.into(),
        endpoint: "prod-db".into(),
        destination: "10.20.0.1:5432".into(),
        program: "/usr/bin/psql".into(),
        rule: "dba step-up".into(),
        reason: "the rule asks for proof".into(),
    }
}
