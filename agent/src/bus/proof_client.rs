// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The other end of `org.stile.Proofs1`.

use zeroize::Zeroizing;

use super::client::{AgentClient, ClientError};
use super::refused::Refused;
use super::wire::{AnswerDict, EmergencyDict, ForDict, StepDict};
use crate::ids::ChallengeId;
use crate::service::{Answer, Elevate, Emergency, EmergencyView, ProofFor, ProofStep};

#[zbus::proxy(
    interface = "org.stile.Proofs1",
    default_service = "org.stile.Agent1",
    default_path = "/org/stile/Agent1"
)]
trait Proofs {
    #[zbus(no_autostart)]
    fn begin(&self, what: ForDict, factor: &str) -> Result<StepDict, Refused>;
    #[zbus(no_autostart)]
    fn respond(&self, conversation: u64, text: &str) -> Result<StepDict, Refused>;
    #[zbus(no_autostart)]
    fn cancel(&self, conversation: u64) -> Result<(), Refused>;
    #[zbus(no_autostart)]
    fn explain(&self, challenge: u64, reason: &str) -> Result<(), Refused>;
    #[zbus(no_autostart)]
    fn elevate(&self, what: ForDict, code: &str) -> Result<AnswerDict, Refused>;
    #[zbus(no_autostart)]
    fn emergencies(&self) -> Result<Vec<EmergencyDict>, Refused>;
    #[zbus(no_autostart)]
    fn break_glass(&self, endpoint: &str, reason: &str, code: &str) -> Result<AnswerDict, Refused>;
}

impl AgentClient {
    async fn proofs_proxy(&self) -> Result<ProofsProxy<'static>, ClientError> {
        let proxy = ProofsProxy::builder(self.bus())
            .cache_properties(zbus::proxy::CacheProperties::No)
            .build();
        Ok(proxy.await.map_err(Refused::from)?)
    }

    /// Begins to be asked for a factor, as `pam:stile-stepup`, and waits for the first step.
    ///
    /// # Errors
    /// If the agent can't be asked, or refuses; so with all of these. A wrong answer is no error.
    pub async fn begin_proof(
        &self,
        what: &ProofFor,
        factor: &str,
    ) -> Result<ProofStep, ClientError> {
        let dict = match what {
            ProofFor::Challenge(id) => ForDict {
                challenge: Some(id.0),
                ..ForDict::default()
            },
            ProofFor::Realm(wanted) => of_realm(wanted),
            ProofFor::Emergency(wanted) => ForDict {
                emergency: Some(wanted.endpoint.clone()),
                reason: Some(wanted.reason.clone()),
                ..ForDict::default()
            },
        };
        understood(self.proofs_proxy().await?.begin(dict, factor).await?)
    }

    /// Answers what was asked, or goes on after what was told, and waits for the next step.
    ///
    /// # Errors
    /// See [`Self::begin_proof`].
    pub async fn respond(
        &self,
        conversation: u64,
        text: &Zeroizing<String>,
    ) -> Result<ProofStep, ClientError> {
        understood(
            self.proofs_proxy()
                .await?
                .respond(conversation, text)
                .await?,
        )
    }

    /// Says why, for one of the caller's own challenges.
    ///
    /// # Errors
    /// See [`Self::begin_proof`]. A reason that the rule doesn't take is refused.
    pub async fn explain(&self, id: ChallengeId, reason: &str) -> Result<(), ClientError> {
        Ok(self.proofs_proxy().await?.explain(id.0, reason).await?)
    }

    /// Gives a code before anything has connected: for a realm, for some seconds at most (0 for as
    /// long as the rules let it), and also for this very process if that is going to connect.
    ///
    /// # Errors
    /// See [`Self::begin_proof`]. A wrong code is no error, but an [`Answer`].
    pub async fn elevate(
        &self,
        wanted: &Elevate,
        code: &Zeroizing<String>,
    ) -> Result<Answer, ClientError> {
        let proxy = self.proofs_proxy().await?;
        judged(proxy.elevate(of_realm(wanted), code).await?)
    }

    /// The endpoints that the caller may reach in an emergency.
    ///
    /// # Errors
    /// See [`Self::begin_proof`].
    pub async fn emergencies(&self) -> Result<Vec<EmergencyView>, ClientError> {
        let dicts = self.proofs_proxy().await?.emergencies().await?;
        Ok(dicts.into_iter().map(Into::into).collect())
    }

    /// Opens an endpoint past the rules.
    ///
    /// # Errors
    /// See [`Self::begin_proof`]. A wrong code is no error, but an [`Answer`].
    pub async fn break_glass(
        &self,
        wanted: &Emergency,
        code: &Zeroizing<String>,
    ) -> Result<Answer, ClientError> {
        let proxy = self.proofs_proxy().await?;
        let answered = proxy.break_glass(&wanted.endpoint, &wanted.reason, code);
        judged(answered.await?)
    }

    /// Ends a conversation.
    ///
    /// # Errors
    /// See [`Self::begin_proof`].
    pub async fn cancel_proof(&self, conversation: u64) -> Result<(), ClientError> {
        Ok(self.proofs_proxy().await?.cancel(conversation).await?)
    }
}

fn of_realm(wanted: &Elevate) -> ForDict {
    ForDict {
        realm: Some(wanted.realm.clone()),
        seconds: Some(wanted.seconds),
        this_process: Some(wanted.this_process),
        reason: wanted.reason.clone(),
        ..ForDict::default()
    }
}

fn judged(dict: AnswerDict) -> Result<Answer, ClientError> {
    Answer::try_from(dict).map_err(|error| ClientError::Garbled(error.to_string()))
}

fn understood(dict: StepDict) -> Result<ProofStep, ClientError> {
    ProofStep::try_from(dict).map_err(|error| ClientError::Garbled(error.to_string()))
}
