// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the screen asks of the agent, and when.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::super::failure::Failure;
use super::super::show::user_name;
use super::model::{Event, Order, Snapshot};
use crate::bus::{AgentClient, ClientError, Heard, Watch};
use crate::ids::Uid;
use crate::texts::Texts;
use crate::texts::Value::Number;

/// How often the agent is asked without its word: what it doesn't say by itself is a refusal
/// that asked nobody, and how many connections wait or are live.
const SLOW: Duration = Duration::from_secs(5);
/// How often an agent is asked that can't be heard: one that isn't there, or has no room for
/// another one who watches.
const EACH: Duration = Duration::from_secs(1);
/// The shortest time between two looks, however much it says.
const PAUSE: Duration = Duration::from_millis(100);
/// How often what is left of a time is drawn anew.
const SECOND: Duration = Duration::from_secs(1);

/// Tells when to look again.
pub(super) struct Looks {
    watch: Option<Watch>,
    last: Instant,
    due: Instant,
}

impl Looks {
    /// The first time is now.
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            watch: None,
            last: now,
            due: now,
        }
    }

    /// When it is time.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Waits for news of the agent; it decides when to look. To be called again and again: news
    /// that nobody takes would hold up the answers on the same connection.
    pub(super) async fn hear(&mut self) {
        let Some(watch) = &mut self.watch else {
            return std::future::pending().await;
        };
        if matches!(watch.next().await, None | Some(Heard::Gone)) {
            self.watch = None;
        }
        self.hurry();
    }

    /// Something has changed: it is time.
    pub(super) fn hurry(&mut self) {
        self.due = self.due.min(self.last + PAUSE);
    }

    /// A look has begun; what is heard from now on asks for another one.
    pub(super) fn begun(&mut self) {
        self.last = Instant::now();
        self.due = self.last + SLOW;
    }

    /// True if the agent is heard.
    pub(super) fn hears(&self) -> bool {
        self.watch.is_some()
    }

    /// A look is over. It may have begun to listen.
    pub(super) fn done(&mut self, looked: Option<Watch>) {
        self.watch = self.watch.take().or(looked);
        if !self.hears() {
            self.due = self.due.min(self.last + EACH);
        }
    }
}

/// Ticks each second.
pub(super) fn seconds() -> Interval {
    let mut each = interval_at(Instant::now() + SECOND, SECOND);
    each.set_missed_tick_behavior(MissedTickBehavior::Skip);
    each
}

/// What came of a look.
pub(super) struct Looked {
    /// The connection, if it is still good; an agent or a bus that comes back is found with the
    /// next look.
    pub(super) client: Option<AgentClient>,
    /// The agent's news, if it wasn't heard before.
    pub(super) watch: Option<Watch>,
    /// What was seen.
    pub(super) event: Event,
}

/// Asks the agent for everything that is shown, and begins to listen if it isn't heard.
pub(super) async fn look(client: Option<AgentClient>, hears: bool) -> Looked {
    let looked = async {
        let client = connected(client).await?;
        // First the ears, then the look: nothing is missed in between.
        let watch = match hears {
            true => None,
            false => client.watch().await.ok(),
        };
        let seen = seen(&client).await?;
        Ok::<_, ClientError>((client, watch, seen))
    };
    match looked.await {
        Ok((client, watch, seen)) => Looked {
            client: Some(client),
            watch,
            event: Event::Seen(seen),
        },
        Err(error) => Looked {
            client: None,
            watch: None,
            event: Event::Unreachable(told(error)),
        },
    }
}

async fn seen(client: &AgentClient) -> Result<Snapshot, ClientError> {
    let (pending, grants, recent) =
        tokio::try_join!(client.pending(), client.grants(), client.recent())?;
    let uids = pending.iter().map(|view| view.uid);
    let uids = uids.chain(grants.iter().map(|view| view.uid));
    let mut users: BTreeMap<Uid, String> = BTreeMap::new();
    for uid in uids.chain(recent.iter().map(|view| view.uid)) {
        users.entry(uid).or_insert_with(|| user_name(uid));
    }
    Ok(Snapshot {
        pending,
        grants,
        recent,
        users,
    })
}

/// Does what the user has asked for; [`Order::Quit`] asks nothing of the agent.
pub(super) async fn carry_out(
    client: Option<AgentClient>,
    texts: Arc<Texts>,
    order: Order,
) -> Option<Event> {
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
            Event::Done(denied.map(|()| texts.say("top-denied")).map_err(told))
        }
        Order::Revoke(which) => {
            let ended = match connected {
                Ok(client) => client.revoke(which).await,
                Err(error) => Err(error),
            };
            let text = |ended: u32| texts.fill("top-revoked", &[("number", Number(ended.into()))]);
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
