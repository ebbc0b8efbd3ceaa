// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Conversations on the bus.

use zbus::{DeserializeDict, SerializeDict, Type};

use super::{AnswerDict, UnknownOutcome};
use crate::bus::proving::Step;
use crate::service::{Answer, EmergencyView, ProofStep};

/// What a proof is for.
#[derive(Debug, Default, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}")]
pub(in crate::bus) struct ForDict {
    pub(in crate::bus) challenge: Option<u64>,
    pub(in crate::bus) realm: Option<String>,
    pub(in crate::bus) seconds: Option<u64>,
    pub(in crate::bus) this_process: Option<bool>,
    pub(in crate::bus) reason: Option<String>,
    pub(in crate::bus) emergency: Option<String>,
}

dict! {
    /// [`EmergencyView`] on the bus.
    EmergencyDict of EmergencyView {
        endpoint: String,
        ttl_seconds: u64,
        per_day: u32,
        left: u32,
        seconds_left: u64,
        factors: Vec<String>,
        reason_name: String,
        reason_pattern: String,
    }
}

/// What comes next in a conversation.
#[derive(Debug, Default, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}")]
pub(in crate::bus) struct StepDict {
    state: String,
    conversation: Option<u64>,
    text: Option<String>,
    secret: Option<bool>,
    error: Option<bool>,
    outcome: Option<String>,
    until_seconds: Option<u64>,
    released: Option<u32>,
    tries_left: Option<u32>,
    retry_seconds: Option<u64>,
    factors: Option<Vec<String>>,
}

impl From<Step> for StepDict {
    fn from(step: Step) -> Self {
        match step {
            Step::Ask {
                conversation,
                text,
                secret,
            } => Self {
                state: "ask".to_owned(),
                conversation: Some(conversation),
                text: Some(text),
                secret: Some(secret),
                ..Self::default()
            },
            Step::Tell {
                conversation,
                text,
                error,
            } => Self {
                state: "tell".to_owned(),
                conversation: Some(conversation),
                text: Some(text),
                error: Some(error),
                ..Self::default()
            },
            Step::Over(answer) => {
                let answer = AnswerDict::from(answer);
                Self {
                    state: "over".to_owned(),
                    outcome: Some(answer.outcome),
                    until_seconds: answer.until_seconds,
                    released: answer.released,
                    tries_left: answer.tries_left,
                    retry_seconds: answer.retry_seconds,
                    factors: answer.factors,
                    ..Self::default()
                }
            }
        }
    }
}

impl TryFrom<StepDict> for ProofStep {
    type Error = UnknownOutcome;

    fn try_from(dict: StepDict) -> Result<Self, UnknownOutcome> {
        let text = dict.text.unwrap_or_default();
        match (dict.state.as_str(), dict.conversation) {
            ("ask", Some(conversation)) => Ok(Self::Ask {
                conversation,
                text,
                // What isn't said to be harmless is hidden.
                secret: dict.secret.unwrap_or(true),
            }),
            ("tell", Some(conversation)) => Ok(Self::Tell {
                conversation,
                text,
                error: dict.error.unwrap_or(false),
            }),
            ("over", _) => {
                let answer = AnswerDict {
                    outcome: dict.outcome.unwrap_or_default(),
                    until_seconds: dict.until_seconds,
                    released: dict.released,
                    tries_left: dict.tries_left,
                    retry_seconds: dict.retry_seconds,
                    factors: dict.factors,
                };
                Answer::try_from(answer).map(Self::Over)
            }
            _ => Err(UnknownOutcome(dict.state)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::carried;
    use super::*;

    fn arrives(step: Step) -> Result<ProofStep, UnknownOutcome> {
        ProofStep::try_from(carried(&StepDict::from(step)))
    }

    #[test]
    fn every_step_arrives_as_it_was_sent() {
        let ask = arrives(Step::Ask {
            conversation: 7,
            text: "PIN: ".into(),
            secret: false,
        });
        let asked = ProofStep::Ask {
            conversation: 7,
            text: "PIN: ".into(),
            secret: false,
        };
        assert_eq!(ask, Ok(asked));
        let tell = arrives(Step::Tell {
            conversation: 7,
            text: "touch".into(),
            error: true,
        });
        assert!(matches!(tell, Ok(ProofStep::Tell { error: true, .. })));
        let answer = Answer::Wrong { tries_left: 2 };
        assert_eq!(
            arrives(Step::Over(answer.clone())),
            Ok(ProofStep::Over(answer))
        );
    }

    #[test]
    fn an_unknown_state_is_never_taken_for_an_accepted_proof() {
        let odd = StepDict {
            state: "fine".into(),
            outcome: Some("accepted".into()),
            until_seconds: Some(1),
            released: Some(1),
            ..StepDict::default()
        };
        assert!(ProofStep::try_from(odd).is_err());
    }
}
