// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Proofs that take a conversation: what the bus and the pipeline say to each other about them.

use std::time::Duration;

use super::{Answer, Elevate, Reply};
use crate::ids::ChallengeId;
use crate::policy::{Factor, ServiceName};
use crate::verify::pam::PamPassed;

/// What a proof is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProofFor {
    /// A pending challenge of the caller's own.
    Challenge(ChallengeId),
    /// What may connect later.
    Realm(Elevate),
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
