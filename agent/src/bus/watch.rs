// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the agent tells those who watch.

use std::time::Duration;

use futures_util::StreamExt as _;
use zbus::names::OwnedUniqueName;
use zbus::{Connection, MatchRule, Message, MessageStream};

use super::client::ClientError;
use super::refused::Refused;
use super::wire::{ChallengeDict, GrantDict};
use super::{NAME, PATH};
use crate::ids::{ChallengeId, GrantId};
use crate::service::{ChallengeView, GrantView};

/// One piece of news.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A challenge was raised.
    Raised(Box<ChallengeView>),
    /// A challenge is over: `approved`, `denied`, `timed-out`, `withdrawn` or `failed`.
    Ended(ChallengeId, String),
    /// A grant has begun.
    Granted(Box<GrantView>),
    /// A grant is over: `expired` or `revoked`.
    GrantEnded(GrantId, String),
    /// Something of the status has changed.
    Status,
    /// The agent is gone, and watches have ended with it.
    Gone,
}

/// A stream of news from the agent. It ends when this is dropped.
pub struct Watch {
    signals: MessageStream,
    /// The agent: others could send signals to us alone, in its words.
    agent: OwnedUniqueName,
    owners: zbus::fdo::NameOwnerChangedStream,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watch")
    }
}

impl Watch {
    /// Begins to listen.
    pub(super) async fn begin(bus: &Connection) -> Result<Self, ClientError> {
        let begun = Self::listen(bus).await;
        begun.map_err(|error| ClientError::from(Refused::from(error)))
    }

    async fn listen(bus: &Connection) -> zbus::Result<Self> {
        let rule = MatchRule::builder()
            .msg_type(zbus::message::Type::Signal)
            .sender(NAME)
            .interface(NAME)
            .build()?;
        // First the ears, then the word: nothing is missed in between.
        let signals = MessageStream::for_match_rule(rule, bus, None).await?;
        let daemon = zbus::fdo::DBusProxy::new(bus).await?;
        let owners = daemon
            .receive_name_owner_changed_with_args(&[(0, NAME)])
            .await?;
        let agent = daemon.get_name_owner(NAME.try_into()?).await?;
        bus.call_method(Some(agent.as_str()), PATH, Some(NAME), "Subscribe", &())
            .await?;
        Ok(Self {
            signals,
            agent,
            owners,
        })
    }

    /// The next piece of news; None once the bus is lost.
    pub async fn next(&mut self) -> Option<Heard> {
        loop {
            tokio::select! {
                signal = self.signals.next() => {
                    let signal = signal?.ok()?;
                    let header = signal.header();
                    let is_agents = header.sender().is_some_and(|it| *it == *self.agent);
                    if let Some(heard) = understood(&signal).filter(|_| is_agents) {
                        return Some(heard);
                    }
                }
                changed = self.owners.next() => {
                    let changed = changed?;
                    if changed.args().is_ok_and(|args| args.new_owner.is_none()) {
                        return Some(Heard::Gone);
                    }
                }
            }
        }
    }

    /// The next piece of news within this time.
    pub async fn next_within(&mut self, patience: Duration) -> Option<Heard> {
        tokio::time::timeout(patience, self.next()).await.ok()?
    }
}

/// A signal in our words; None for one of a newer agent.
fn understood(signal: &Message) -> Option<Heard> {
    let body = signal.body();
    match signal.header().member()?.as_str() {
        "ChallengeRaised" => {
            let dict: ChallengeDict = body.deserialize().ok()?;
            Some(Heard::Raised(Box::new(dict.into())))
        }
        "ChallengeEnded" => {
            let (id, outcome): (u64, String) = body.deserialize().ok()?;
            Some(Heard::Ended(ChallengeId(id), outcome))
        }
        "GrantBegun" => {
            let dict: GrantDict = body.deserialize().ok()?;
            Some(Heard::Granted(Box::new(dict.into())))
        }
        "GrantEnded" => {
            let (id, why): (u64, String) = body.deserialize().ok()?;
            Some(Heard::GrantEnded(GrantId(id), why))
        }
        "StatusChanged" => Some(Heard::Status),
        _ => None,
    }
}
