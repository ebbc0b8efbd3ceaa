// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The dictionaries on the bus (`a{sv}`) and the views of [`service`] that they stand for.
//!
//! Their keys are those of the JSON that the command line prints. A reader ignores keys that
//! it doesn't know, so that a newer agent can add some; a key that is missing is an error.

use zbus::{DeserializeDict, SerializeDict, Type};
use zeroize::{Zeroize, Zeroizing};

use crate::ids::{ChallengeId, GrantId, Uid};
use crate::service::{
    Answer, ChallengeView, Enrollment, GrantView, PrompterView, RealmView, StatusView,
};

/// A dictionary on the bus with the fields of a view. Ids are numbers there.
macro_rules! dict {
    (
        $(#[$doc:meta])*
        $dict:ident of $view:ident {
            $($field:ident: $type:ty,)*
        }
        $($id:ident: $newtype:ident($number:ty),)*
    ) => {
        $(#[$doc])*
        #[derive(Debug, SerializeDict, DeserializeDict, Type)]
        #[zbus(signature = "a{sv}")]
        pub(crate) struct $dict {
            $($id: $number,)*
            $($field: $type,)*
        }

        impl From<$view> for $dict {
            fn from(view: $view) -> Self {
                Self {
                    $($id: view.$id.0,)*
                    $($field: view.$field,)*
                }
            }
        }

        impl From<$dict> for $view {
            fn from(dict: $dict) -> Self {
                Self {
                    $($id: $newtype(dict.$id),)*
                    $($field: dict.$field,)*
                }
            }
        }
    };
}

mod factors;
mod proofs;
mod views;

pub(super) use factors::{CodeTestDict, FactorDict, ImportDict, WishDict, import_of, wish_of};
pub(super) use proofs::{EmergencyDict, ForDict, StepDict};
pub(super) use views::{DecisionDict, ElevationDict};

dict! {
    /// [`StatusView`] on the bus.
    StatusDict of StatusView {
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
}

dict! {
    /// [`ChallengeView`] on the bus.
    ChallengeDict of ChallengeView {
        endpoint: String,
        destination: String,
        rule: String,
        realm: String,
        program: String,
        pid: u32,
        parent: String,
        terminal: String,
        from: String,
        session: String,
        reasons: Vec<String>,
        warnings: Vec<String>,
        waiting: u32,
        scope: String,
        ttl_seconds: u64,
        also: Vec<String>,
        deadline: u64,
        seconds_left: u64,
        factors: Vec<String>,
        reason: String,
        reason_name: String,
        reason_pattern: String,
    }
    id: ChallengeId(u64),
    uid: Uid(u32),
}

dict! {
    /// [`GrantView`] on the bus.
    GrantDict of GrantView {
        endpoint: String,
        rule: String,
        scope: String,
        factor: String,
        seconds_left: u64,
        connections: u32,
    }
    id: GrantId(u64),
    uid: Uid(u32),
}

dict! {
    /// [`PrompterView`] on the bus.
    PrompterDict of PrompterView {
        name: String,
        session: String,
        places: Vec<String>,
        language: String,
        showing: u32,
    }
    uid: Uid(u32),
}

dict! {
    /// [`RealmView`] on the bus.
    RealmDict of RealmView {
        realm: String,
        endpoints: Vec<String>,
        scopes: Vec<String>,
        ttl_seconds: u64,
        seconds_left: u64,
        factors: Vec<String>,
        reason: String,
        reason_name: String,
        reason_pattern: String,
    }
}

/// What a prompter says of itself.
#[derive(Debug, Default, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}")]
pub(crate) struct AboutDict {
    /// logind's id of its session.
    pub(crate) session: Option<String>,
    /// Where it can show something.
    pub(crate) places: Option<Vec<String>>,
    /// The language that it speaks.
    pub(crate) language: Option<String>,
}

/// What became of the code before, for a prompter that asks again.
#[derive(Clone, Debug, Default, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}")]
pub(crate) struct AttemptDict {
    /// True if there was one, and it was wrong.
    pub(crate) wrong: Option<bool>,
    /// Tries left before further ones have to wait.
    pub(crate) tries_left: Option<u32>,
    /// Seconds until the next try; 0 for at once.
    pub(crate) retry_seconds: Option<u64>,
    /// False if the user doesn't see the screen of the prompter's session: it is locked, or
    /// another one is on it.
    pub(crate) screen: Option<bool>,
    /// What is asked instead of a code.
    pub(crate) question: Option<String>,
    /// True if the challenge's reason is asked for instead of a code.
    pub(crate) reason: Option<bool>,
}

/// What the person in front of a prompter did.
#[derive(Default, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}")]
pub(crate) struct DeedDict {
    /// `code`, `denied`, `silent` or `unable`.
    pub(crate) outcome: String,
    /// The code.
    pub(crate) code: Option<String>,
    /// Why it can't be shown.
    pub(crate) why: Option<String>,
}

impl Drop for DeedDict {
    fn drop(&mut self) {
        self.code.zeroize();
    }
}

/// What a prompter shows without a question.
#[derive(Debug, Default, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}")]
pub(crate) struct NewsDict {
    /// `not-enrolled`, `expired`, or `told` (with `text`).
    pub(crate) kind: String,
    /// The endpoint that it is about.
    pub(crate) endpoint: Option<String>,
    /// What it says.
    pub(crate) text: Option<String>,
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
    factors: Option<Vec<String>>,
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
            Answer::More { factors } => Self {
                outcome: "more".to_owned(),
                factors: Some(factors),
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
            AnswerDict {
                outcome,
                factors: Some(factors),
                ..
            } if outcome == "more" => Ok(Self::More { factors }),
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
    pub(super) fn carried<D>(dict: &D) -> D
    where
        D: serde::Serialize + serde::de::DeserializeOwned + Type,
    {
        let bytes = to_bytes(Context::new(LE, 0), dict).unwrap();
        bytes.deserialize::<D>().unwrap().0
    }

    fn challenge() -> ChallengeView {
        crate::service::testing::challenge(ChallengeId(7), Uid(1000))
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
        fn every_answer_arrives_as_it_was_sent(which in 0..4u8, a: u64, b: u32) {
            let sent = match which {
                0 => Answer::Accepted { until_seconds: a, released: b },
                1 => Answer::Wrong { tries_left: b },
                2 => Answer::More { factors: vec![a.to_string()] },
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
