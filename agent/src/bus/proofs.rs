// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The methods of `org.stile.Proofs1`: proofs that take a conversation.

use zbus::fdo::DBusProxy;
use zbus::message::Header;
use zbus::names::BusName;
use zbus::{Connection, interface};
use zeroize::Zeroizing;

use super::BUS_PATIENCE;
use super::desk::{Call, Desk};
use super::proving::Proving;
use super::refused::Refused;
use super::wire::{ForDict, StepDict};
use crate::ids::ChallengeId;
use crate::policy::Factor;
use crate::service::{Elevate, ProofFor, Refusal};

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
    /// of `what`: `challenge` (an id), or as those of `Elevate` `realm`, `seconds`,
    /// `this_process`. The result's `state` is `ask` (with `conversation`, `text`, `secret`),
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
        let what = match what {
            ForDict {
                challenge: Some(id),
                ..
            } => ProofFor::Challenge(ChallengeId(id)),
            ForDict {
                realm: Some(realm),
                seconds,
                this_process,
                ..
            } if realm.len() <= MAX_NAME => ProofFor::Realm(Elevate {
                realm,
                seconds: seconds.unwrap_or(0),
                pid: pid_of(bus, &call).await,
                this_process: this_process.unwrap_or(false),
            }),
            _ => {
                return Err(Refused::BadArgument(
                    "for which challenge or realm?".to_owned(),
                ));
            }
        };
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

/// The caller's process, if the bus knows it.
pub(super) async fn pid_of(bus: &Connection, call: &Call) -> Option<u32> {
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
