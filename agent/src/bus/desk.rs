// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who calls, and the way to the pipeline: what all objects on the bus share.

use tokio::sync::{mpsc, oneshot};
use zbus::Connection;
use zbus::fdo::DBusProxy;
use zbus::message::Header;
use zbus::names::{BusName, OwnedUniqueName};

use super::BUS_PATIENCE;
use super::limit::{InFlight, Slot};
use super::polkit::{self, Action};
use super::refused::Refused;
use crate::ids::Uid;
use crate::service::{Caller, Refusal, Reply, Request};

/// Calls that one user may have under way. A person has one or two; a script that polls may
/// have some more.
const MAX_IN_FLIGHT: u32 = 16;

/// Takes calls in. Clones share their limits.
#[derive(Clone)]
pub(super) struct Desk {
    requests: mpsc::Sender<Request>,
    /// By connection, before it is known whose that is: the bus is asked no more often than
    /// this at once. The bus limits the connections of a user (`max_connections_per_user`).
    by_sender: InFlight<OwnedUniqueName>,
    /// By user, however many connections they have.
    by_user: InFlight<Uid>,
}

/// One call of a caller who is known, and its places in the queues.
pub(super) struct Call {
    pub(super) caller: Caller,
    pub(super) sender: OwnedUniqueName,
    _sender: Slot<OwnedUniqueName>,
    _user: Slot<Uid>,
}

impl Desk {
    pub(super) fn new(requests: mpsc::Sender<Request>) -> Self {
        Self {
            requests,
            by_sender: InFlight::new(MAX_IN_FLIGHT),
            by_user: InFlight::new(MAX_IN_FLIGHT),
        }
    }

    /// Passes one request of the sender's to the pipeline and waits for what it says.
    pub(super) async fn ask<T>(
        &self,
        header: &Header<'_>,
        bus: &Connection,
        request: impl FnOnce(Caller, Reply<T>) -> Request,
    ) -> Result<T, Refused> {
        let call = self.identify(header, bus).await?;
        self.pass_on(call.caller, request).await
    }

    /// The same for what only administrators may do: root, and those whom polkit lets.
    pub(super) async fn ask_as_admin<T>(
        &self,
        header: &Header<'_>,
        bus: &Connection,
        action: Action,
        request: impl FnOnce(Caller, Reply<T>) -> Request,
    ) -> Result<T, Refused> {
        let call = self.identify(header, bus).await?;
        let mut caller = call.caller;
        if !caller.is_admin() {
            match polkit::allows(bus, header, action).await {
                Ok(true) => caller.authorized = true,
                Ok(false) => return Err(Refusal::NotPermitted.into()),
                Err(why) => {
                    tracing::info!(uid = %caller.uid, "polkit wasn't asked: {why}");
                    return Err(Refusal::NotPermitted.into());
                }
            }
        }
        self.pass_on(caller, request).await
    }

    pub(super) async fn pass_on<T>(
        &self,
        caller: Caller,
        request: impl FnOnce(Caller, Reply<T>) -> Request,
    ) -> Result<T, Refused> {
        let (reply, answer) = oneshot::channel();
        self.requests
            .try_send(request(caller, reply))
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => Refusal::Busy.into(),
                mpsc::error::TrySendError::Closed(_) => stopping(),
            })?;
        Ok(answer.await.map_err(|_| stopping())??)
    }

    /// The same for what concerns one user: the caller themselves, or else somebody whom only an
    /// administrator may concern.
    pub(super) async fn ask_about<T>(
        &self,
        header: &Header<'_>,
        bus: &Connection,
        uid: Uid,
        request: impl FnOnce(Caller, Reply<T>) -> Request,
    ) -> Result<T, Refused> {
        let call = self.identify(header, bus).await?;
        if call.caller.uid == uid {
            return self.pass_on(call.caller, request).await;
        }
        drop(call);
        self.ask_as_admin(header, bus, Action::EnrollOthers, request)
            .await
    }

    /// Who sent this, as the bus daemon knows it from the socket of the connection. This is
    /// the only place that makes a [`Caller`] (promise S7).
    pub(super) async fn identify(
        &self,
        header: &Header<'_>,
        bus: &Connection,
    ) -> Result<Call, Refused> {
        // The bus daemon writes the sender itself, and gives no unique name out twice.
        let sender = header
            .sender()
            .ok_or_else(|| unidentified("the call names no sender"))?;
        let sender_slot = self
            .by_sender
            .begin(sender.to_owned().into())
            .ok_or(Refusal::Busy)?;
        let proxy = DBusProxy::new(bus).await?;
        let asked = proxy.get_connection_unix_user(BusName::from(sender.as_ref()));
        let uid = tokio::time::timeout(BUS_PATIENCE, asked)
            .await
            .map_err(|_| unidentified("it doesn't answer"))?
            .map_err(|error| unidentified(&error.to_string()))?;
        let caller = Caller::user(Uid(uid));
        let user_slot = self.by_user.begin(caller.uid).ok_or(Refusal::Busy)?;
        Ok(Call {
            caller,
            sender: sender.to_owned().into(),
            _sender: sender_slot,
            _user: user_slot,
        })
    }
}

pub(super) fn unidentified(why: &str) -> Refused {
    Refused::Unidentified(format!("the bus doesn't say who you are: {why}"))
}

/// What is said when the agent ends.
pub(crate) const STOPPING: &str = "stiled is about to end; try again in a moment";

pub(super) fn stopping() -> Refused {
    Refused::Stopping(STOPPING.to_owned())
}
