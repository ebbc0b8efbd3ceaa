// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The other end of the bus: what the command line calls.

use std::time::Duration;

use zbus::Connection;
use zbus::connection::Builder;
use zeroize::Zeroizing;

use super::refused::Refused;
use super::watch::Watch;
use super::wire::{
    AnswerDict, ChallengeDict, DecisionDict, ElevationDict, EnrollmentDict, GrantDict,
    PrompterDict, RealmDict, StatusDict,
};
use super::{Plain, join, system_bus};
use crate::ids::{ChallengeId, GrantId, Uid};
use crate::service::{
    Answer, ChallengeView, DecisionView, ElevationView, Enrollment, GrantView, PrompterView,
    RealmView, Refusal, StatusView,
};

/// How long the agent may take for an answer. It writes to the disk before it answers, and a
/// disk can be slow.
const AGENT_PATIENCE: Duration = Duration::from_secs(25);
/// The same where polkit may ask for a password first.
const ADMIN_PATIENCE: Duration = Duration::from_secs(150);
/// The same where a service of PAM may wait for a person: longer than settings let it.
const PROOF_PATIENCE: Duration = Duration::from_secs(330);

// `no_autostart`: an agent that the admin has stopped isn't started by a question.
#[zbus::proxy(
    interface = "org.stile.Agent1",
    default_service = "org.stile.Agent1",
    default_path = "/org/stile/Agent1"
)]
trait Agent {
    #[zbus(no_autostart)]
    fn status(&self) -> Result<StatusDict, Refused>;
    #[zbus(no_autostart)]
    fn pending(&self) -> Result<Vec<ChallengeDict>, Refused>;
    #[zbus(no_autostart)]
    fn answer(&self, id: u64, code: &str) -> Result<AnswerDict, Refused>;
    #[zbus(no_autostart)]
    fn deny(&self, id: u64) -> Result<(), Refused>;
    #[zbus(no_autostart)]
    fn grants(&self) -> Result<Vec<GrantDict>, Refused>;
    #[zbus(no_autostart)]
    fn revoke(&self, id: u64) -> Result<u32, Refused>;
    #[zbus(no_autostart)]
    fn realms(&self) -> Result<Vec<RealmDict>, Refused>;
    #[zbus(no_autostart)]
    fn revoke_of(&self, uid: u32, id: u64) -> Result<u32, Refused>;
    #[zbus(no_autostart)]
    fn reload(&self) -> Result<(), Refused>;
    #[zbus(no_autostart)]
    fn prompters(&self) -> Result<Vec<PrompterDict>, Refused>;
    #[zbus(no_autostart)]
    fn enroll_begin(&self, uid: u32) -> Result<EnrollmentDict, Refused>;
    #[zbus(no_autostart)]
    fn enroll_confirm(&self, uid: u32, code: &str) -> Result<AnswerDict, Refused>;
    #[zbus(no_autostart)]
    fn recent(&self) -> Result<Vec<DecisionDict>, Refused>;
    #[zbus(no_autostart)]
    fn elevations(&self) -> Result<Vec<ElevationDict>, Refused>;
}

/// Why there is no answer, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no bus.
    #[error("no D-Bus system bus at {address}: {}. Is dbus running?", Plain(.cause))]
    NoBus {
        /// The address that was tried.
        address: String,
        /// What went wrong.
        #[source]
        cause: zbus::Error,
    },
    /// Nobody owns the agent's name.
    #[error("stiled isn't running. Start it with `systemctl start stiled`")]
    NoAgent,
    /// The bus doesn't let the call through.
    #[error("the bus doesn't let you call the agent: {0}. Is its D-Bus policy installed?")]
    AccessDenied(String),
    /// It did not answer in time, or ended while it was asked.
    #[error("stiled didn't answer: {0}. See `systemctl status stiled`")]
    NoAnswer(String),
    /// The answer can't be understood.
    #[error("stiled answered in words unknown to this `stile`: {0}. Are both of one version?")]
    Garbled(String),
    /// The agent said no.
    #[error(transparent)]
    Refused(Refused),
}

impl From<Refused> for ClientError {
    fn from(refused: Refused) -> Self {
        use zbus::fdo::Error as Fdo;
        let Refused::Bus(error) = refused else {
            return Self::Refused(refused);
        };
        match &error {
            zbus::Error::FDO(fdo) => match &**fdo {
                Fdo::ServiceUnknown(_) | Fdo::NameHasNoOwner(_) => Self::NoAgent,
                Fdo::AccessDenied(why) => Self::AccessDenied(why.clone()),
                Fdo::UnknownMethod(why)
                | Fdo::UnknownInterface(why)
                | Fdo::UnknownObject(why)
                | Fdo::InvalidArgs(why) => Self::Garbled(why.clone()),
                other => Self::NoAnswer(other.to_string()),
            },
            zbus::Error::InputOutput(_) => Self::NoAnswer(Plain(&error).to_string()),
            zbus::Error::MethodError(name, why, _) => {
                Self::Garbled(format!("{name}: {}", why.as_deref().unwrap_or("no text")))
            }
            other => Self::Garbled(other.to_string()),
        }
    }
}

/// A connection to the agent. Who calls is the user of this process; the bus tells the agent.
#[derive(Debug, Clone)]
pub struct AgentClient {
    bus: Connection,
    proxy: AgentProxy<'static>,
}

impl AgentClient {
    /// Joins the system bus. The agent itself is looked for with the first call.
    ///
    /// # Errors
    /// If there is no bus.
    pub async fn connect() -> Result<Self, ClientError> {
        Self::connect_to(&system_bus()).await
    }

    /// [`Self::connect`], and waits for answers as long as polkit may ask for a password.
    ///
    /// # Errors
    /// If there is no bus.
    pub async fn connect_as_admin() -> Result<Self, ClientError> {
        Self::join(&system_bus(), ADMIN_PATIENCE).await
    }

    /// [`Self::connect`], and waits for answers as long as a person may take to touch a reader.
    ///
    /// # Errors
    /// If there is no bus.
    pub async fn connect_for_proof() -> Result<Self, ClientError> {
        Self::join(&system_bus(), PROOF_PATIENCE).await
    }

    /// [`Self::connect`] to the bus at this address.
    ///
    /// # Errors
    /// If there is no bus.
    pub async fn connect_to(address: &str) -> Result<Self, ClientError> {
        Self::join(address, AGENT_PATIENCE).await
    }

    async fn join(address: &str, patience: Duration) -> Result<Self, ClientError> {
        let builder = Builder::address(address).method_timeout(patience);
        let no_bus = |cause| ClientError::NoBus {
            address: address.to_owned(),
            cause,
        };
        let bus: Connection = join(builder).await.map_err(no_bus)?;
        let proxy = AgentProxy::builder(&bus)
            .cache_properties(zbus::proxy::CacheProperties::No)
            .build()
            .await
            .map_err(no_bus)?;
        Ok(Self { bus, proxy })
    }

    pub(super) fn bus(&self) -> &Connection {
        &self.bus
    }

    /// How the agent stands.
    ///
    /// # Errors
    /// If the agent can't be asked, or refuses; so with all of these.
    pub async fn status(&self) -> Result<StatusView, ClientError> {
        Ok(self.proxy.status().await?.into())
    }

    /// The caller's pending challenges; all of them for root.
    ///
    /// # Errors
    /// See [`Self::status`].
    pub async fn pending(&self) -> Result<Vec<ChallengeView>, ClientError> {
        let dicts = self.proxy.pending().await?;
        Ok(dicts.into_iter().map(Into::into).collect())
    }

    /// Answers one of the caller's own challenges.
    ///
    /// # Errors
    /// See [`Self::status`]. A wrong code is no error, but an [`Answer`].
    pub async fn answer(
        &self,
        id: ChallengeId,
        code: &Zeroizing<String>,
    ) -> Result<Answer, ClientError> {
        understood(self.proxy.answer(id.0, code).await?)
    }

    /// Ends a challenge.
    ///
    /// # Errors
    /// See [`Self::status`].
    pub async fn deny(&self, id: ChallengeId) -> Result<(), ClientError> {
        Ok(self.proxy.deny(id.0).await?)
    }

    /// Begins to hear what happens to what is the caller's; for root to everything.
    ///
    /// # Errors
    /// See [`Self::status`].
    pub async fn watch(&self) -> Result<Watch, ClientError> {
        Watch::begin(&self.bus).await
    }

    /// The caller's live grants; all of them for root.
    ///
    /// # Errors
    /// See [`Self::status`].
    pub async fn grants(&self) -> Result<Vec<GrantView>, ClientError> {
        let dicts = self.proxy.grants().await?;
        Ok(dicts.into_iter().map(Into::into).collect())
    }

    /// Ends a grant, or with `None` all that the caller sees. Says how many ended.
    ///
    /// # Errors
    /// See [`Self::status`].
    pub async fn revoke(&self, id: Option<GrantId>) -> Result<u32, ClientError> {
        // On the bus 0 means all of them; a grant never has that id.
        if id == Some(GrantId(0)) {
            return Err(Refused::from(Refusal::NoSuchGrant).into());
        }
        Ok(self.proxy.revoke(id.map_or(0, |id| id.0)).await?)
    }

    /// The realms in which the caller may have to prove who they are.
    ///
    /// # Errors
    /// See [`Self::status`].
    pub async fn realms(&self) -> Result<Vec<RealmView>, ClientError> {
        let dicts = self.proxy.realms().await?;
        Ok(dicts.into_iter().map(Into::into).collect())
    }

    /// Ends a grant of another user, or with `None` all of theirs. Says how many ended.
    ///
    /// # Errors
    /// See [`Self::status`].
    pub async fn revoke_of(&self, uid: Uid, id: Option<GrantId>) -> Result<u32, ClientError> {
        if id == Some(GrantId(0)) {
            return Err(Refused::from(Refusal::NoSuchGrant).into());
        }
        Ok(self.proxy.revoke_of(uid.0, id.map_or(0, |id| id.0)).await?)
    }

    /// Makes the agent read its policy anew.
    ///
    /// # Errors
    /// See [`Self::status`]. A broken policy is refused with its mistakes.
    pub async fn reload(&self) -> Result<(), ClientError> {
        Ok(self.proxy.reload().await?)
    }

    /// The caller's prompters; all of them for root.
    ///
    /// # Errors
    /// See [`Self::status`].
    pub async fn prompters(&self) -> Result<Vec<PrompterView>, ClientError> {
        let dicts = self.proxy.prompters().await?;
        Ok(dicts.into_iter().map(Into::into).collect())
    }

    /// Starts to enroll this user.
    ///
    /// # Errors
    /// See [`Self::status`].
    pub async fn enroll_begin(&self, uid: Uid) -> Result<Enrollment, ClientError> {
        Ok(self.proxy.enroll_begin(uid.0).await?.into())
    }

    /// Confirms it with a first code.
    ///
    /// # Errors
    /// See [`Self::status`]. A wrong code is no error, but an [`Answer`].
    pub async fn enroll_confirm(
        &self,
        uid: Uid,
        code: &Zeroizing<String>,
    ) -> Result<Answer, ClientError> {
        understood(self.proxy.enroll_confirm(uid.0, code).await?)
    }

    /// The last decisions about the caller, newest first; for root, about everybody.
    ///
    /// # Errors
    /// See [`Self::status`].
    pub async fn recent(&self) -> Result<Vec<DecisionView>, ClientError> {
        let dicts = self.proxy.recent().await?;
        Ok(dicts.into_iter().map(Into::into).collect())
    }

    /// The caller's proofs that still count; everybody's for root.
    ///
    /// # Errors
    /// See [`Self::status`].
    pub async fn elevations(&self) -> Result<Vec<ElevationView>, ClientError> {
        let dicts = self.proxy.elevations().await?;
        Ok(dicts.into_iter().map(Into::into).collect())
    }
}

fn understood(dict: AnswerDict) -> Result<Answer, ClientError> {
    Answer::try_from(dict).map_err(|error| ClientError::Garbled(error.to_string()))
}
