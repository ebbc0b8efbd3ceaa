// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Proofs that take a conversation: what the bus and the pipeline say to each other about them.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Answer, Elevate, ReasonView, Reply};
use crate::ids::ChallengeId;
use crate::policy::{Factor, ServiceName};
use crate::verify::pam::{PamFailure, PamPassed, StartError};

/// What a proof is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProofFor {
    /// A pending challenge of the caller's own.
    Challenge(ChallengeId),
    /// What may connect later.
    Realm(Elevate),
    /// What no rule lets through.
    Emergency(Emergency),
}

/// What somebody has to reach past the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emergency {
    /// The endpoint's name.
    pub endpoint: String,
    /// Why.
    pub reason: String,
}

/// An endpoint that a user may reach in an emergency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmergencyView {
    /// Its name.
    pub endpoint: String,
    /// For how many seconds.
    pub ttl_seconds: u64,
    /// How often in 24 hours.
    pub per_day: u32,
    /// How often still.
    pub left: u32,
    /// How many seconds are left of one that lasts; 0 if none does.
    pub seconds_left: u64,
    /// What the user can prove themselves with for it, as `totp`.
    pub factors: Vec<String>,
    /// What the reason is called, as `ticket`; empty if it has no name. There always is one.
    pub reason_name: String,
    /// The regular expression for the whole of it; empty if any text will do.
    pub reason_pattern: String,
}

impl EmergencyView {
    /// The reason that it takes.
    #[must_use]
    pub fn asked_reason(&self) -> ReasonView {
        ReasonView {
            demand: "required".to_owned(),
            name: self.reason_name.clone(),
            pattern: self.reason_pattern.clone(),
        }
    }
}

/// A request about a proof.
#[derive(Debug)]
pub enum ProofRequest {
    /// May the caller be asked for this factor now?
    Admit(ProofFor, Factor, Reply<Admission>),
    /// PAM said yes.
    Passed(ProofFor, PamPassed, Reply<Answer>),
    /// It said no, because of what the caller answered.
    Failed(ProofFor, Factor, Reply<Answer>),
    /// It said neither: the caller is told why.
    Unanswered(ProofFor, Factor, Unanswered, Reply<Answer>),
    /// What the caller may reach in an emergency.
    Emergencies(Reply<Vec<EmergencyView>>),
    /// A one-time code for what no rule lets through.
    BreakGlass(Emergency, Zeroizing<String>, Reply<Answer>),
}

/// Why PAM told nothing about who somebody is.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// It wasn't asked.
    #[error(transparent)]
    NotAsked(#[from] StartError),
    /// It was asked, and failed.
    #[error(transparent)]
    Failed(#[from] PamFailure),
}

/// The caller may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// What the user is called.
    pub user: String,
    /// Which service of PAM asks.
    pub service: ServiceName,
    /// For how long at most.
    pub limit: Duration,
}

/// What comes next in a conversation, for the one who has begun it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProofStep {
    /// Something is asked.
    Ask {
        /// The conversation that the answer belongs to.
        conversation: u64,
        /// The question.
        text: String,
        /// What is typed mustn't be shown.
        secret: bool,
    },
    /// Something is told, as to touch the reader.
    Tell {
        /// The conversation that goes on.
        conversation: u64,
        /// What is told.
        text: String,
        /// It is an error.
        error: bool,
    },
    /// The conversation is over.
    Over(Answer),
}
