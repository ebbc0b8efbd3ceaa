// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The other end of `org.stile.Proofs1`.

use zeroize::Zeroizing;

use super::client::{AgentClient, ClientError};
use super::refused::Refused;
use super::wire::{ForDict, StepDict};
use crate::service::{ProofFor, ProofStep};

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
            ProofFor::Realm(wanted) => ForDict {
                challenge: None,
                realm: Some(wanted.realm.clone()),
                seconds: Some(wanted.seconds),
                this_process: Some(wanted.this_process),
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

    /// Ends a conversation.
    ///
    /// # Errors
    /// See [`Self::begin_proof`].
    pub async fn cancel_proof(&self, conversation: u64) -> Result<(), ClientError> {
        Ok(self.proofs_proxy().await?.cancel(conversation).await?)
    }
}

fn understood(dict: StepDict) -> Result<ProofStep, ClientError> {
    ProofStep::try_from(dict).map_err(|error| ClientError::Garbled(error.to_string()))
}
