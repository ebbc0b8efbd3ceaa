// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the screen asks of the agent, and when.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

use super::super::failure::Failure;
use super::super::show::user_name;
use super::super::text::count;
use super::model::{Event, Order, Snapshot};
use crate::bus::{AgentClient, ClientError};
use crate::ids::Uid;

/// How often the agent is asked: what is new shows within a second, and so does a countdown.
const EACH: Duration = Duration::from_secs(1);

/// Tells when to look again.
pub(super) struct Looks(Interval);

impl Looks {
    pub(super) fn new() -> Self {
        let mut each = interval(EACH);
        each.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self(each)
    }

    /// Waits until it is time. The first time is now.
    pub(super) async fn due(&mut self) {
        self.0.tick().await;
    }

    /// Something has changed: it is time.
    pub(super) fn hurry(&mut self) {
        self.0.reset_immediately();
    }
}

/// Asks the agent for everything that is shown. Gives the connection back if it is still good; an
/// agent or a bus that comes back is found with the next look.
pub(super) async fn look(client: Option<AgentClient>) -> (Option<AgentClient>, Event) {
    match seen(client).await {
        Ok((client, seen)) => (Some(client), Event::Seen(seen)),
        Err(error) => (None, Event::Unreachable(told(error))),
    }
}

async fn seen(client: Option<AgentClient>) -> Result<(AgentClient, Snapshot), ClientError> {
    let client = connected(client).await?;
    let (pending, grants, recent) =
        tokio::try_join!(client.pending(), client.grants(), client.recent())?;
    let uids = pending.iter().map(|view| view.uid);
    let uids = uids.chain(grants.iter().map(|view| view.uid));
    let mut users: BTreeMap<Uid, String> = BTreeMap::new();
    for uid in uids.chain(recent.iter().map(|view| view.uid)) {
        users.entry(uid).or_insert_with(|| user_name(uid));
    }
    let seen = Snapshot {
        pending,
        grants,
        recent,
        users,
    };
    Ok((client, seen))
}

/// Does what the user has asked for; [`Order::Quit`] asks nothing of the agent.
pub(super) async fn carry_out(client: Option<AgentClient>, order: Order) -> Option<Event> {
    let connected = connected(client).await;
    Some(match order {
        Order::Quit => return None,
        Order::Answer(id, code) => {
            let answer = match connected {
                Ok(client) => client.answer(id, &code).await,
                Err(error) => Err(error),
            };
            Event::Answered(id, answer.map_err(told))
        }
        Order::Deny(id) => {
            let denied = match connected {
                Ok(client) => client.deny(id).await,
                Err(error) => Err(error),
            };
            Event::Done(denied.map(|()| "denied".to_owned()).map_err(told))
        }
        Order::Revoke(which) => {
            let ended = match connected {
                Ok(client) => client.revoke(which).await,
                Err(error) => Err(error),
            };
            let text = |ended| format!("revoked: {}", count(ended, "grant"));
            Event::Done(ended.map(text).map_err(told))
        }
    })
}

async fn connected(client: Option<AgentClient>) -> Result<AgentClient, ClientError> {
    match client {
        Some(client) => Ok(client),
        None => AgentClient::connect().await,
    }
}

/// As every command says it.
fn told(error: ClientError) -> String {
    Failure::from(error).into_text()
}
