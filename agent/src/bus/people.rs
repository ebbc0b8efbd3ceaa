// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Brings challenges to the people who are asked, and news to those who watch.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, warn};
use zbus::Connection;
use zbus::fdo::DBusProxy;
use zbus::names::{BusName, OwnedUniqueName};
use zbus::object_server::SignalEmitter;

use super::PATH;
use super::interface::Agent;
use super::prompters::Prompters;
use super::proving::Proving;
use super::showing::{Prompt, ask};
use crate::ids::{ChallengeId, Uid};
use crate::service::{Caller, ChallengeView, News, Request};

/// Most who watch at a time.
const MAX_WATCHERS: usize = 4096;

/// What the methods of the interface want of this task.
pub(super) enum Order {
    /// A prompter has come, or one has changed.
    Came(Uid),
    /// Wants to hear news.
    Watch(OwnedUniqueName, Uid, oneshot::Sender<bool>),
    /// Wants no more of it.
    Unwatch(OwnedUniqueName),
}

/// Everything that this task works on.
pub(super) struct People {
    bus: Connection,
    requests: mpsc::Sender<Request>,
    prompters: Prompters,
    /// Who hears news.
    watchers: HashMap<OwnedUniqueName, Uid>,
    /// Tells the pipeline whether anybody does.
    proving: Proving,
    watched: Arc<AtomicBool>,
    /// The challenges that are shown, or that wait for a prompter; and how to end that.
    shown: HashMap<ChallengeId, oneshot::Sender<&'static str>>,
}

impl People {
    pub(super) fn new(
        bus: Connection,
        requests: mpsc::Sender<Request>,
        prompters: Prompters,
        proving: Proving,
        watched: Arc<AtomicBool>,
    ) -> Self {
        Self {
            bus,
            requests,
            prompters,
            proving,
            watchers: HashMap::new(),
            watched,
            shown: HashMap::new(),
        }
    }

    /// Works until the bus is lost.
    pub(super) async fn work(
        mut self,
        news: &mut mpsc::Receiver<News>,
        orders: &mut mpsc::Receiver<Order>,
    ) {
        let mut gone = match self.departures().await {
            Ok(gone) => gone,
            Err(error) => {
                warn!("the bus doesn't say who leaves it: {error}");
                return;
            }
        };
        let bus = self.bus.clone();
        loop {
            tokio::select! {
                () = bus.closed() => return,
                departed = gone.next() => {
                    let Some(departed) = departed else { return };
                    let Ok(args) = departed.args() else { continue };
                    if args.new_owner.is_none() {
                        self.forget(args.name.as_str());
                    }
                }
                order = orders.recv() => match order {
                    Some(order) => self.obey(order).await,
                    None => return,
                },
                piece = news.recv() => match piece {
                    Some(piece) => self.hear(piece).await,
                    None => return,
                },
            }
        }
    }

    async fn departures(&self) -> zbus::Result<zbus::fdo::NameOwnerChangedStream> {
        DBusProxy::new(&self.bus)
            .await?
            .receive_name_owner_changed()
            .await
    }

    fn forget(&mut self, name: &str) {
        self.prompters.forget(name);
        self.watchers.retain(|known, _| known.as_str() != name);
        self.note_watchers();
    }

    fn unwatch(&mut self, name: &OwnedUniqueName) {
        self.watchers.remove(name);
        self.note_watchers();
    }

    fn note_watchers(&self) {
        let any = !self.watchers.is_empty();
        self.watched.store(any, Ordering::Relaxed);
    }

    async fn obey(&mut self, order: Order) {
        match order {
            Order::Came(uid) => {
                let asked = ask(&self.requests, |reply| {
                    Request::Pending(Caller::user(uid), reply)
                });
                for view in asked.await.unwrap_or_default() {
                    // Root sees everybody's, and is asked only its own.
                    if view.uid == uid {
                        self.show(view);
                    }
                }
            }
            Order::Watch(name, uid, reply) => {
                let known = self.watchers.contains_key(&name);
                let room = known || self.watchers.len() < MAX_WATCHERS;
                if room {
                    self.watchers.insert(name, uid);
                }
                self.note_watchers();
                let _ = reply.send(room);
            }
            Order::Unwatch(name) => self.unwatch(&name),
        }
    }

    async fn hear(&mut self, news: News) {
        match &news {
            News::Raised(view) => self.show(view.as_ref().clone()),
            News::Ended { id, outcome, .. } => {
                if let Some(end) = self.shown.remove(id) {
                    let _ = end.send(outcome);
                }
            }
            News::Granted(_) | News::GrantEnded { .. } | News::Status => {}
        }
        let (uid, signal) = match news {
            News::Raised(view) => (Some(view.uid), Signal::Raised(view)),
            News::Ended { id, uid, outcome } => (Some(uid), Signal::Ended(id.0, outcome)),
            News::Granted(view) => (Some(view.uid), Signal::Granted(view)),
            News::GrantEnded { id, uid, why } => (Some(uid), Signal::GrantEnded(id.0, why)),
            News::Status => (None, Signal::Status),
        };
        for (name, watcher) in &self.watchers {
            if may_hear(*watcher, uid) {
                signal.send(&self.bus, name).await;
            }
        }
    }

    /// Shows a challenge in a task of its own, unless it is shown already.
    fn show(&mut self, view: ChallengeView) {
        self.shown.retain(|_, end| !end.is_closed());
        if self.shown.contains_key(&view.id) {
            return;
        }
        let (end, ended) = oneshot::channel();
        self.shown.insert(view.id, end);
        let prompt = Prompt {
            bus: self.bus.clone(),
            requests: self.requests.clone(),
            prompters: self.prompters.clone(),
            proving: self.proving.clone(),
            until: Instant::now() + Duration::from_secs(view.seconds_left),
            view,
        };
        tokio::spawn(prompt.run(ended));
    }
}

/// Whether somebody who watches may hear what is of this user, or of nobody (promise S7).
fn may_hear(watcher: Uid, of: Option<Uid>) -> bool {
    of.is_none_or(|uid| watcher == uid || watcher == Uid(0))
}

/// A signal, as it goes over the bus.
enum Signal {
    Raised(Box<ChallengeView>),
    Ended(u64, &'static str),
    Granted(Box<crate::service::GrantView>),
    GrantEnded(u64, &'static str),
    Status,
}

impl Signal {
    /// Sends it to one who watches, and to nobody else: on a bus everybody could listen.
    async fn send(&self, bus: &Connection, to: &OwnedUniqueName) {
        let emitter = SignalEmitter::new(bus, PATH).map(|emitter| {
            let to = BusName::from(to.as_ref()).to_owned();
            emitter.set_destination(to)
        });
        let sent = match (emitter, self) {
            (Err(error), _) => Err(error),
            (Ok(emitter), Self::Raised(view)) => {
                Agent::challenge_raised(&emitter, view.as_ref().clone().into()).await
            }
            (Ok(emitter), Self::Ended(id, how)) => Agent::challenge_ended(&emitter, *id, how).await,
            (Ok(emitter), Self::Granted(view)) => {
                Agent::grant_begun(&emitter, view.as_ref().clone().into()).await
            }
            (Ok(emitter), Self::GrantEnded(id, why)) => {
                Agent::grant_ended(&emitter, *id, why).await
            }
            (Ok(emitter), Self::Status) => Agent::status_changed(&emitter).await,
        };
        if let Err(error) = sent {
            debug!(?to, "a signal was lost: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_of_a_user_is_for_that_user_and_for_root() {
        assert!(may_hear(Uid(1000), Some(Uid(1000))));
        assert!(may_hear(Uid(0), Some(Uid(1000))));
        assert!(!may_hear(Uid(1001), Some(Uid(1000))));
        assert!(!may_hear(Uid(1000), Some(Uid(0))));
        assert!(may_hear(Uid(1001), None));
    }
}
