// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The methods of `org.stile.Agent1`: who calls, what they want, and the way to the pipeline.

use tokio::sync::{mpsc, oneshot};
use zbus::fdo::DBusProxy;
use zbus::message::Header;
use zbus::names::{BusName, OwnedUniqueName};
use zbus::{Connection, interface};
use zeroize::Zeroizing;

use super::limit::{InFlight, Slot};
use super::refused::Refused;
use super::wire::{AnswerDict, ChallengeDict, EnrollmentDict, GrantDict, StatusDict};
use crate::ids::{ChallengeId, GrantId, Uid};
use crate::service::{Caller, Refusal, Reply, Request};

/// The longest code that is looked at, in bytes. A TOTP code has 6 to 8 digits, a recovery
/// code some 30 characters.
const MAX_CODE: usize = 64;
/// Calls that one user may have under way. A person has one or two; a script that polls may
/// have some more.
const MAX_IN_FLIGHT: u32 = 16;

/// The object on the bus.
pub(super) struct Agent {
    requests: mpsc::Sender<Request>,
    /// By connection, before it is known whose that is: the bus is asked no more often than
    /// this at once. The bus limits the connections of a user (`max_connections_per_user`).
    by_sender: InFlight<OwnedUniqueName>,
    /// By user, however many connections they have.
    by_user: InFlight<Uid>,
}

/// One call of a caller who is known, and its places in the queues.
struct Call {
    caller: Caller,
    _sender: Slot<OwnedUniqueName>,
    _user: Slot<Uid>,
}

impl Agent {
    pub(super) fn new(requests: mpsc::Sender<Request>) -> Self {
        Self {
            requests,
            by_sender: InFlight::new(MAX_IN_FLIGHT),
            by_user: InFlight::new(MAX_IN_FLIGHT),
        }
    }

    /// Passes one request of the sender's to the pipeline and waits for what it says.
    async fn ask<T>(
        &self,
        header: &Header<'_>,
        bus: &Connection,
        request: impl FnOnce(Caller, Reply<T>) -> Request,
    ) -> Result<T, Refused> {
        let call = self.identify(header, bus).await?;
        let (reply, answer) = oneshot::channel();
        self.requests
            .try_send(request(call.caller, reply))
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => Refusal::Busy.into(),
                mpsc::error::TrySendError::Closed(_) => stopping(),
            })?;
        Ok(answer.await.map_err(|_| stopping())??)
    }

    /// Who sent this, as the bus daemon knows it from the socket of the connection. This is
    /// the only place that makes a [`Caller`] (promise S7).
    async fn identify(&self, header: &Header<'_>, bus: &Connection) -> Result<Call, Refused> {
        // The bus daemon writes the sender itself, and gives no unique name out twice.
        let sender = header
            .sender()
            .ok_or_else(|| unidentified("the call names no sender"))?;
        let sender_slot = self
            .by_sender
            .begin(sender.to_owned().into())
            .ok_or(Refusal::Busy)?;
        let uid = DBusProxy::new(bus)
            .await?
            .get_connection_unix_user(BusName::from(sender.as_ref()))
            .await
            .map_err(|error| unidentified(&error.to_string()))?;
        let caller = Caller { uid: Uid(uid) };
        let user_slot = self.by_user.begin(caller.uid).ok_or(Refusal::Busy)?;
        Ok(Call {
            caller,
            _sender: sender_slot,
            _user: user_slot,
        })
    }
}

/// The agent that holds connections to protected endpoints until the user has proven who they
/// are. Users see and answer what is their own; root sees and ends everything.
#[interface(name = "org.stile.Agent1")]
impl Agent {
    /// How the agent stands. Everybody may ask.
    #[zbus(out_args("status"))]
    async fn status(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
    ) -> Result<StatusDict, Refused> {
        Ok(self.ask(&header, bus, Request::Status).await?.into())
    }

    /// The caller's pending challenges; all of them for root.
    #[zbus(out_args("challenges"))]
    async fn pending(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
    ) -> Result<Vec<ChallengeDict>, Refused> {
        let challenges = self.ask(&header, bus, Request::Pending).await?;
        Ok(challenges.into_iter().map(Into::into).collect())
    }

    /// Answers a challenge of the caller's own with a one-time code. The result's `outcome` is
    /// `accepted` (with `until_seconds` and `released`), `wrong` (with `tries_left`) or
    /// `throttled` (with `retry_seconds`).
    #[zbus(out_args("answer"))]
    async fn answer(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
        id: u64,
        code: &str,
    ) -> Result<AnswerDict, Refused> {
        let code = bounded(code)?;
        let answer = self
            .ask(&header, bus, |caller, reply| {
                Request::Answer(caller, ChallengeId(id), code, reply)
            })
            .await?;
        Ok(answer.into())
    }

    /// Ends a challenge of the caller's: the connections that wait on it fail at once.
    async fn deny(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
        id: u64,
    ) -> Result<(), Refused> {
        self.ask(&header, bus, |caller, reply| {
            Request::Deny(caller, ChallengeId(id), reply)
        })
        .await
    }

    /// The caller's live grants; all of them for root.
    #[zbus(out_args("grants"))]
    async fn grants(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
    ) -> Result<Vec<GrantDict>, Refused> {
        let grants = self.ask(&header, bus, Request::Grants).await?;
        Ok(grants.into_iter().map(Into::into).collect())
    }

    /// Ends the grant with this id, or with 0 all that the caller sees. Says how many ended.
    #[zbus(out_args("ended"))]
    async fn revoke(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
        id: u64,
    ) -> Result<u32, Refused> {
        let which = (id != 0).then_some(GrantId(id));
        self.ask(&header, bus, |caller, reply| {
            Request::Revoke(caller, which, reply)
        })
        .await
    }

    /// Starts to enroll this user, who is the caller unless the caller is root. The secret
    /// counts only once `EnrollConfirm` has had a code made with it.
    #[zbus(out_args("enrollment"))]
    async fn enroll_begin(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
        uid: u32,
    ) -> Result<EnrollmentDict, Refused> {
        let enrollment = self
            .ask(&header, bus, |caller, reply| {
                Request::EnrollBegin(caller, Uid(uid), reply)
            })
            .await?;
        Ok(enrollment.into())
    }

    /// Confirms an enrollment with a first code. The result is as that of `Answer`.
    #[zbus(out_args("answer"))]
    async fn enroll_confirm(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
        uid: u32,
        code: &str,
    ) -> Result<AnswerDict, Refused> {
        let code = bounded(code)?;
        let answer = self
            .ask(&header, bus, |caller, reply| {
                Request::EnrollConfirm(caller, Uid(uid), code, reply)
            })
            .await?;
        Ok(answer.into())
    }
}

/// The code, if it isn't longer than any code is. The message that it came in belongs to zbus
/// and isn't wiped.
fn bounded(code: &str) -> Result<Zeroizing<String>, Refused> {
    if code.len() > MAX_CODE {
        return Err(Refused::BadArgument(format!(
            "that is no code: it is longer than {MAX_CODE} bytes"
        )));
    }
    Ok(Zeroizing::new(code.to_owned()))
}

fn unidentified(why: &str) -> Refused {
    Refused::Unidentified(format!("the bus doesn't say who you are: {why}"))
}

fn stopping() -> Refused {
    Refused::Stopping("stiled is about to end; try again in a moment".to_owned())
}

/// The codes that calls with these bodies would hand on: `Answer` (`ts`) and `EnrollConfirm`
/// (`us`), in either byte order.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn fuzz_codes(body: &[u8]) -> Vec<Zeroizing<String>> {
    use zbus::wire::serialized::{Context, Data};
    use zbus::wire::{BE, LE};
    let mut codes = Vec::new();
    for context in [Context::new(LE, 0), Context::new(BE, 0)] {
        let data = Data::new(body, context);
        if let Ok(((_, code), _)) = data.deserialize::<(u64, &str)>() {
            codes.extend(bounded(code));
        }
        if let Ok(((_, code), _)) = data.deserialize::<(u32, &str)>() {
            codes.extend(bounded(code));
        }
    }
    codes
}
