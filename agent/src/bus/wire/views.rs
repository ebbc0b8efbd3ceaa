// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What was decided, and which proofs count, on the bus.

use zbus::{DeserializeDict, SerializeDict, Type};

use crate::ids::{ElevationId, Uid};
use crate::service::{DecisionView, ElevationView};

/// [`DecisionView`] on the bus.
#[derive(Debug, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}")]
pub(in crate::bus) struct DecisionDict {
    time: u64,
    uid: u32,
    outcome: String,
    endpoint: String,
    destination: String,
    program: String,
    rule: String,
    reason: String,
}

impl From<DecisionView> for DecisionDict {
    fn from(view: DecisionView) -> Self {
        Self {
            time: view.time,
            uid: view.uid.0,
            outcome: view.outcome,
            endpoint: view.endpoint,
            destination: view.destination,
            program: view.program,
            rule: view.rule,
            reason: view.reason,
        }
    }
}

impl From<DecisionDict> for DecisionView {
    fn from(dict: DecisionDict) -> Self {
        Self {
            time: dict.time,
            uid: Uid(dict.uid),
            outcome: dict.outcome,
            endpoint: dict.endpoint,
            destination: dict.destination,
            program: dict.program,
            rule: dict.rule,
            reason: dict.reason,
        }
    }
}

/// [`ElevationView`] on the bus.
#[derive(Debug, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}")]
pub(in crate::bus) struct ElevationDict {
    id: u64,
    uid: u32,
    realm: String,
    factor: String,
    scope: String,
    seconds_since: u64,
}

impl From<ElevationView> for ElevationDict {
    fn from(view: ElevationView) -> Self {
        Self {
            id: view.id.0,
            uid: view.uid.0,
            realm: view.realm,
            factor: view.factor,
            scope: view.scope,
            seconds_since: view.seconds_since,
        }
    }
}

impl From<ElevationDict> for ElevationView {
    fn from(dict: ElevationDict) -> Self {
        Self {
            id: ElevationId(dict.id),
            uid: Uid(dict.uid),
            realm: dict.realm,
            factor: dict.factor,
            scope: dict.scope,
            seconds_since: dict.seconds_since,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::carried;
    use super::*;

    #[test]
    fn a_decision_arrives_as_it_was_sent() {
        let sent = DecisionView {
            time: 1_767_600_000,
            uid: Uid(1000),
            outcome: "deny".into(),
            endpoint: "prod-db".into(),
            destination: "10.0.0.1:5432".into(),
            program: "/usr/bin/psql".into(),
            rule: "dba".into(),
            reason: "the rule denies it".into(),
        };
        let back = carried(&DecisionDict::from(sent.clone()));
        assert_eq!(DecisionView::from(back), sent);
    }

    #[test]
    fn an_elevation_arrives_as_it_was_sent() {
        let sent = ElevationView {
            id: ElevationId(9),
            uid: Uid(1000),
            realm: "databases".into(),
            factor: "totp".into(),
            scope: "unit".into(),
            seconds_since: 12,
        };
        let back = carried(&ElevationDict::from(sent.clone()));
        assert_eq!(ElevationView::from(back), sent);
    }
}
