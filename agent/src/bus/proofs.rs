// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The methods of `org.stile.Proofs1`: proofs that take a conversation.

use zbus::fdo::DBusProxy;
use zbus::message::Header;
use zbus::names::BusName;
use zbus::{Connection, interface};
use zeroize::Zeroizing;

use super::BUS_PATIENCE;
use super::desk::{Call, Desk};
use super::interface::bounded;
use super::proving::Proving;
use super::refused::Refused;
use super::wire::{AnswerDict, EmergencyDict, ForDict, StepDict};
use crate::ids::ChallengeId;
use crate::policy::{Factor, MAX_REASON};
use crate::service::{Elevate, Emergency, ProofFor, ProofRequest, Refusal, Request};

/// The longest answer that is looked at, in bytes (Linux-PAM's `PAM_MAX_RESP_SIZE`).
const MAX_ANSWER: usize = 512;
/// The longest name that is looked at, in bytes.
const MAX_NAME: usize = 256;

/// The object on the bus.
pub(super) struct Proofs {
    desk: Desk,
    proving: Proving,
}

impl Proofs {
    pub(super) fn new(desk: Desk, proving: Proving) -> Self {
        Self { desk, proving }
    }
}

/// Proofs by factors that ask questions of their own: services of PAM. What is asked and told
/// comes from the modules that the administrator has chosen.
#[interface(name = "org.stile.Proofs1")]
impl Proofs {
    /// Begins to ask the caller for a factor (`pam:SERVICE`), and waits for the first step. Keys
    /// of `what`: `challenge` (an id); or as those of `Elevate` `realm`, `seconds`,
    /// `this_process`, `reason`; or `emergency` (an endpoint) and `reason`. The result's `state` is `ask` (with `conversation`, `text`, `secret`),
    /// `tell` (with `conversation`, `text`, `error`) or `over` (with the keys of an answer).
    #[zbus(out_args("step"))]
    async fn begin(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
        what: ForDict,
        factor: &str,
    ) -> Result<StepDict, Refused> {
        let call = self.desk.identify(&header, bus).await?;
        let shown = || {
            factor
                .chars()
                .take(80)
                .filter(|c| !c.is_control())
                .collect()
        };
        let factor: Factor = factor.parse().map_err(|_| Refusal::NoSuchFactor(shown()))?;
        let what = purpose(what, bus, &call).await?;
        let step = self.proving.begin(call.caller, what, factor).await?;
        Ok(step.into())
    }

    /// Answers what was asked, or with an empty text goes on after what was told; waits for the
    /// next step.
    #[zbus(out_args("step"))]
    async fn respond(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
        conversation: u64,
        text: &str,
    ) -> Result<StepDict, Refused> {
        let call = self.desk.identify(&header, bus).await?;
        if text.len() > MAX_ANSWER {
            let why = format!("that is no answer: it is longer than {MAX_ANSWER} bytes");
            return Err(Refused::BadArgument(why));
        }
        let text = Zeroizing::new(text.to_owned());
        let step = self
            .proving
            .respond(call.caller, conversation, text)
            .await?;
        Ok(step.into())
    }

    /// Says why the caller wants what a challenge of their own asks about, where its `reason` is
    /// `required` or `optional`. It is kept in the audit log with the next factor.
    async fn explain(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
        challenge: u64,
        reason: &str,
    ) -> Result<(), Refused> {
        let reason = bounded_reason(reason)?;
        self.desk
            .ask(&header, bus, |caller, reply| {
                Request::Explain(caller, ChallengeId(challenge), reason, reply)
            })
            .await
    }

    /// Takes a one-time code before anything has connected, as `org.stile.Agent1.Elevate` does.
    /// Keys of `what`: `realm`, `seconds`, `this_process`, and `reason` where the realm asks for one.
    #[zbus(out_args("answer"))]
    async fn elevate(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
        what: ForDict,
        code: &str,
    ) -> Result<AnswerDict, Refused> {
        elevate(&self.desk, &header, bus, what, code).await
    }

    /// The endpoints that the caller may reach in an emergency, past the rules.
    #[zbus(out_args("emergencies"))]
    async fn emergencies(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
    ) -> Result<Vec<EmergencyDict>, Refused> {
        let found = self
            .desk
            .ask(&header, bus, |caller, reply| {
                Request::Proofs(caller, ProofRequest::Emergencies(reply))
            })
            .await?;
        Ok(found.into_iter().map(Into::into).collect())
    }

    /// Opens an endpoint to the caller past the rules, with a reason and a one-time code. Alarms
    /// whoever reads the audit log. The result is as that of `Answer`.
    #[zbus(out_args("answer"))]
    async fn break_glass(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
        endpoint: &str,
        reason: &str,
        code: &str,
    ) -> Result<AnswerDict, Refused> {
        let code = bounded(code)?;
        let wanted = Emergency {
            endpoint: bounded_name(endpoint)?,
            reason: bounded_reason(reason)?,
        };
        let answer = self
            .desk
            .ask(&header, bus, |caller, reply| {
                Request::Proofs(caller, ProofRequest::BreakGlass(wanted, code, reply))
            })
            .await?;
        Ok(answer.into())
    }

    /// Ends a conversation; nothing of it counts.
    async fn cancel(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
        conversation: u64,
    ) -> Result<(), Refused> {
        let call = self.desk.identify(&header, bus).await?;
        Ok(self.proving.cancel(call.caller, conversation)?)
    }
}

/// Takes a code before anything has connected.
pub(super) async fn elevate(
    desk: &Desk,
    header: &Header<'_>,
    bus: &Connection,
    what: ForDict,
    code: &str,
) -> Result<AnswerDict, Refused> {
    let code = bounded(code)?;
    let call = desk.identify(header, bus).await?;
    let ProofFor::Realm(wanted) = purpose(what, bus, &call).await? else {
        return Err(Refused::BadArgument("for which realm?".to_owned()));
    };
    let answer = desk
        .pass_on(call.caller, |caller, reply| {
            Request::Elevate(caller, wanted, code, reply)
        })
        .await?;
    Ok(answer.into())
}

/// What a proof is for, as the caller says it.
async fn purpose(what: ForDict, bus: &Connection, call: &Call) -> Result<ProofFor, Refused> {
    let reason = what.reason.as_deref().map(bounded_reason).transpose()?;
    match what {
        ForDict {
            challenge: Some(id),
            ..
        } => Ok(ProofFor::Challenge(ChallengeId(id))),
        ForDict {
            emergency: Some(endpoint),
            ..
        } => Ok(ProofFor::Emergency(Emergency {
            endpoint: bounded_name(&endpoint)?,
            reason: reason.unwrap_or_default(),
        })),
        ForDict {
            realm: Some(realm), ..
        } if realm.len() > MAX_NAME => Err(Refusal::NoSuchRealm.into()),
        ForDict {
            realm: Some(realm),
            seconds,
            this_process,
            ..
        } => Ok(ProofFor::Realm(Elevate {
            realm,
            seconds: seconds.unwrap_or(0),
            pid: pid_of(bus, call).await,
            this_process: this_process.unwrap_or(false),
            reason: reason.filter(|text| !text.is_empty()),
        })),
        _ => {
            let why = "for which challenge, realm or emergency?";
            Err(Refused::BadArgument(why.to_owned()))
        }
    }
}

fn bounded_name(endpoint: &str) -> Result<String, Refused> {
    match endpoint.len() <= MAX_NAME {
        true => Ok(endpoint.to_owned()),
        false => Err(Refusal::NoEmergency.into()),
    }
}

/// The reason, if it isn't longer than any reason is.
fn bounded_reason(text: &str) -> Result<String, Refused> {
    if text.len() > 4 * MAX_REASON {
        let why = format!("that is no reason: it is longer than {MAX_REASON} characters");
        return Err(Refused::BadReason(why));
    }
    Ok(text.to_owned())
}

/// The caller's process, if the bus knows it.
async fn pid_of(bus: &Connection, call: &Call) -> Option<u32> {
    let proxy = DBusProxy::new(bus).await.ok()?;
    let asked = proxy.get_connection_unix_process_id(BusName::from(call.sender.as_ref()));
    let pid = tokio::time::timeout(BUS_PATIENCE, asked).await;
    pid.ok().and_then(Result::ok)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tokio::sync::mpsc;

    use super::super::interface::testing;
    use super::*;

    #[test]
    fn the_packaged_description_is_that_of_the_object() {
        let (requests, _requests) = mpsc::channel(1);
        let proving = Proving::new(requests.clone(), Path::new("/nowhere"));
        let proofs = Proofs::new(Desk::new(requests), proving);
        testing::is_as_packaged("org.stile.Proofs1", &proofs);
    }
}
