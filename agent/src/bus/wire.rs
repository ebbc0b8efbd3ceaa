// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The dictionaries on the bus (`a{sv}`) and the views of [`service`] that they stand for.
//!
//! Their keys are those of the JSON that the command line prints. A reader ignores keys that
//! it doesn't know, so that a newer agent can add some; a key that is missing is an error.

use zbus::{DeserializeDict, SerializeDict, Type};
use zeroize::{Zeroize, Zeroizing};

use crate::ids::{ChallengeId, GrantId, Uid};
use crate::service::{Answer, ChallengeView, Enrollment, GrantView, StatusView};

/// [`StatusView`] on the bus.
#[derive(Debug, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}")]
pub(super) struct StatusDict {
    version: String,
    state: String,
    cgroup: String,
    policy: String,
    policy_loaded: String,
    endpoints: u32,
    rules: u32,
    pending: u32,
    grants: u32,
    enrolled: bool,
    problems: Vec<String>,
    faults: Vec<(String, u64)>,
}

impl From<StatusView> for StatusDict {
    fn from(view: StatusView) -> Self {
        Self {
            version: view.version,
            state: view.state,
            cgroup: view.cgroup,
            policy: view.policy,
            policy_loaded: view.policy_loaded,
            endpoints: view.endpoints,
            rules: view.rules,
            pending: view.pending,
            grants: view.grants,
            enrolled: view.enrolled,
            problems: view.problems,
            faults: view.faults,
        }
    }
}

impl From<StatusDict> for StatusView {
    fn from(dict: StatusDict) -> Self {
        Self {
            version: dict.version,
            state: dict.state,
            cgroup: dict.cgroup,
            policy: dict.policy,
            policy_loaded: dict.policy_loaded,
            endpoints: dict.endpoints,
            rules: dict.rules,
            pending: dict.pending,
            grants: dict.grants,
            enrolled: dict.enrolled,
            problems: dict.problems,
            faults: dict.faults,
        }
    }
}

/// [`ChallengeView`] on the bus.
#[derive(Debug, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}")]
pub(super) struct ChallengeDict {
    id: u64,
    uid: u32,
    endpoint: String,
    destination: String,
    rule: String,
    program: String,
    pid: u32,
    parent: String,
    reasons: Vec<String>,
    waiting: u32,
    grants: String,
    seconds_left: u64,
}

impl From<ChallengeView> for ChallengeDict {
    fn from(view: ChallengeView) -> Self {
        Self {
            id: view.id.0,
            uid: view.uid.0,
            endpoint: view.endpoint,
            destination: view.destination,
            rule: view.rule,
            program: view.program,
            pid: view.pid,
            parent: view.parent,
            reasons: view.reasons,
            waiting: view.waiting,
            grants: view.grants,
            seconds_left: view.seconds_left,
        }
    }
}

impl From<ChallengeDict> for ChallengeView {
    fn from(dict: ChallengeDict) -> Self {
        Self {
            id: ChallengeId(dict.id),
            uid: Uid(dict.uid),
            endpoint: dict.endpoint,
            destination: dict.destination,
            rule: dict.rule,
            program: dict.program,
            pid: dict.pid,
            parent: dict.parent,
            reasons: dict.reasons,
            waiting: dict.waiting,
            grants: dict.grants,
            seconds_left: dict.seconds_left,
        }
    }
}

/// [`GrantView`] on the bus.
#[derive(Debug, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}")]
pub(super) struct GrantDict {
    id: u64,
    uid: u32,
    endpoint: String,
    rule: String,
    scope: String,
    factor: String,
    seconds_left: u64,
    connections: u32,
}

impl From<GrantView> for GrantDict {
    fn from(view: GrantView) -> Self {
        Self {
            id: view.id.0,
            uid: view.uid.0,
            endpoint: view.endpoint,
            rule: view.rule,
            scope: view.scope,
            factor: view.factor,
            seconds_left: view.seconds_left,
            connections: view.connections,
        }
    }
}

impl From<GrantDict> for GrantView {
    fn from(dict: GrantDict) -> Self {
        Self {
            id: GrantId(dict.id),
            uid: Uid(dict.uid),
            endpoint: dict.endpoint,
            rule: dict.rule,
            scope: dict.scope,
            factor: dict.factor,
            seconds_left: dict.seconds_left,
            connections: dict.connections,
        }
    }
}

/// [`Answer`] on the bus: `outcome`, and the fields that belong to that outcome.
#[derive(Debug, Default, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}")]
pub(super) struct AnswerDict {
    outcome: String,
    until_seconds: Option<u64>,
    released: Option<u32>,
    tries_left: Option<u32>,
    retry_seconds: Option<u64>,
}

impl From<Answer> for AnswerDict {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Accepted {
                until_seconds,
                released,
            } => Self {
                outcome: "accepted".to_owned(),
                until_seconds: Some(until_seconds),
                released: Some(released),
                ..Self::default()
            },
            Answer::Wrong { tries_left } => Self {
                outcome: "wrong".to_owned(),
                tries_left: Some(tries_left),
                ..Self::default()
            },
            Answer::Throttled { retry_seconds } => Self {
                outcome: "throttled".to_owned(),
                retry_seconds: Some(retry_seconds),
                ..Self::default()
            },
        }
    }
}

/// An outcome that this client doesn't know, or one without its fields. It is never taken for
/// an accepted code.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the agent answered with an outcome unknown to this client: {0:?}")]
pub(super) struct UnknownOutcome(String);

impl TryFrom<AnswerDict> for Answer {
    type Error = UnknownOutcome;

    fn try_from(dict: AnswerDict) -> Result<Self, UnknownOutcome> {
        match dict {
            AnswerDict {
                outcome,
                until_seconds: Some(until_seconds),
                released: Some(released),
                ..
            } if outcome == "accepted" => Ok(Self::Accepted {
                until_seconds,
                released,
            }),
            AnswerDict {
                outcome,
                tries_left: Some(tries_left),
                ..
            } if outcome == "wrong" => Ok(Self::Wrong { tries_left }),
            AnswerDict {
                outcome,
                retry_seconds: Some(retry_seconds),
                ..
            } if outcome == "throttled" => Ok(Self::Throttled { retry_seconds }),
            AnswerDict { outcome, .. } => Err(UnknownOutcome(outcome)),
        }
    }
}

/// [`Enrollment`] on the bus. Wiped when dropped; zbus's own buffers are not.
#[derive(SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}")]
pub(super) struct EnrollmentDict {
    url: String,
    secret: String,
    confirm_seconds: u64,
}

impl Drop for EnrollmentDict {
    fn drop(&mut self) {
        self.url.zeroize();
        self.secret.zeroize();
    }
}

impl From<Enrollment> for EnrollmentDict {
    fn from(mut view: Enrollment) -> Self {
        Self {
            url: std::mem::take(&mut *view.url),
            secret: std::mem::take(&mut *view.secret),
            confirm_seconds: view.confirm_seconds,
        }
    }
}

impl From<EnrollmentDict> for Enrollment {
    fn from(mut dict: EnrollmentDict) -> Self {
        Self {
            url: Zeroizing::new(std::mem::take(&mut dict.url)),
            secret: Zeroizing::new(std::mem::take(&mut dict.secret)),
            confirm_seconds: dict.confirm_seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;
    use zbus::Variant;
    use zbus::wire::{LE, serialized::Context, to_bytes};

    use super::*;

    /// Through the wire, and back.
    fn carried<D>(dict: &D) -> D
    where
        D: serde::Serialize + serde::de::DeserializeOwned + Type,
    {
        let bytes = to_bytes(Context::new(LE, 0), dict).unwrap();
        bytes.deserialize::<D>().unwrap().0
    }

    fn challenge() -> ChallengeView {
        ChallengeView {
            id: ChallengeId(7),
            uid: Uid(1000),
            endpoint: "prod-db".into(),
            destination: "10.0.0.1:5432".into(),
            rule: "dba".into(),
            program: "/usr/bin/psql".into(),
            pid: 4,
            parent: "bash on pts/3".into(),
            reasons: Vec::new(),
            waiting: 2,
            grants: "prod-db for 15m".into(),
            seconds_left: 60,
        }
    }

    #[test]
    fn a_challenge_arrives_as_it_was_sent() {
        let back = carried(&ChallengeDict::from(challenge()));
        assert_eq!(ChallengeView::from(back), challenge());
    }

    #[test]
    fn a_status_arrives_as_it_was_sent() {
        let sent = StatusView {
            version: "0.1.0".into(),
            state: "enforcing".into(),
            cgroup: "/sys/fs/cgroup".into(),
            policy: "0123456789abcdef".into(),
            policy_loaded: "2026-01-05T03:00:00Z".into(),
            endpoints: 1,
            rules: 2,
            pending: 3,
            grants: 4,
            enrolled: true,
            problems: vec!["a".into(), "b".into()],
            faults: vec![("ring-full".into(), 9)],
        };
        let back = carried(&StatusDict::from(sent.clone()));
        assert_eq!(StatusView::from(back), sent);
    }

    proptest! {
        #[test]
        fn every_answer_arrives_as_it_was_sent(which in 0..3u8, a: u64, b: u32) {
            let sent = match which {
                0 => Answer::Accepted { until_seconds: a, released: b },
                1 => Answer::Wrong { tries_left: b },
                _ => Answer::Throttled { retry_seconds: a },
            };
            let back = carried(&AnswerDict::from(sent.clone()));
            prop_assert_eq!(Answer::try_from(back), Ok(sent));
        }
    }

    #[test]
    fn a_key_from_the_future_is_ignored() {
        let newer: HashMap<&str, Variant<'_>> = HashMap::from([
            ("outcome", Variant::from("wrong")),
            ("tries_left", Variant::from(2u32)),
            ("mood", Variant::from(vec!["bad", "worse"])),
        ]);
        let bytes = to_bytes(Context::new(LE, 0), &newer).unwrap();
        let dict = bytes.deserialize::<AnswerDict>().unwrap().0;
        assert_eq!(Answer::try_from(dict), Ok(Answer::Wrong { tries_left: 2 }));
    }

    #[test]
    fn a_missing_key_is_an_error() {
        let older: HashMap<&str, Variant<'_>> = HashMap::from([("id", Variant::from(1u64))]);
        let bytes = to_bytes(Context::new(LE, 0), &older).unwrap();
        assert!(bytes.deserialize::<ChallengeDict>().is_err());
    }

    #[test]
    fn an_outcome_without_its_fields_is_not_accepted() {
        let dict = AnswerDict {
            outcome: "accepted".into(),
            ..AnswerDict::default()
        };
        assert_eq!(
            Answer::try_from(dict),
            Err(UnknownOutcome("accepted".into()))
        );
    }
}
