// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Brings challenges to the people who are asked, and news to those who watch.
//!
//! A prompter is an untrusted keyboard: the code that it hands in is checked by the pipeline as
//! one that was typed anywhere else, in the name of the user whose prompter it is (promise S7).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, info, warn};
use zbus::Connection;
use zbus::fdo::DBusProxy;
use zbus::names::{BusName, OwnedUniqueName};
use zbus::object_server::SignalEmitter;
use zeroize::Zeroizing;

use super::PATH;
use super::interface::Agent;
use super::prompters::{Prompter, Prompters, Seen};
use super::proving::{Proving, Step};
use super::wire::{AttemptDict, ChallengeDict, DeedDict, NewsDict};
use crate::ids::{ChallengeId, Uid};
use crate::policy::Factor;
use crate::service::{Answer, Caller, ChallengeView, News, ProofFor, Refusal, Reply, Request};

/// The interface of a prompter, and the object that has it.
const PROMPTER: &str = "org.stile.Prompter1";
/// Where a prompter has it.
const PROMPTER_PATH: &str = "/org/stile/Prompter1";

/// How often one challenge is shown: a helper that ends each time it is asked is not asked for
/// ever.
const MAX_SHOWN: u32 = 10;
/// How much longer than a challenge the call of its prompter may take.
const GRACE: Duration = Duration::from_secs(2);

/// The outcome of a challenge that nobody has answered in time.
const EXPIRED: &str = "timed-out";

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

/// One challenge, on its way to one person.
struct Prompt {
    bus: Connection,
    requests: mpsc::Sender<Request>,
    prompters: Prompters,
    proving: Proving,
    view: ChallengeView,
    until: Instant,
}

/// How showing it at one place went.
enum Shown {
    /// It is over, one way or the other.
    Over,
    /// Nobody has answered, and the time is over.
    Late,
    /// It can't be shown there.
    Unable(String),
}

impl Prompt {
    /// Looks for a prompter, and for the next one if that can't show it.
    async fn run(mut self, mut ended: oneshot::Receiver<&'static str>) {
        let mut unable = HashMap::new();
        let mut shown = 0;
        while shown < MAX_SHOWN && Instant::now() < self.until {
            let best = self.prompters.best(&self.bus, &self.view, &unable).await;
            let Some((prompter, seen)) = best else {
                tokio::select! {
                    _ = &mut ended => return,
                    () = self.prompters.change() => continue,
                }
            };
            let showing = self.prompters.showing(&prompter.name);
            let asked = tokio::select! {
                outcome = &mut ended => {
                    let outcome = outcome.unwrap_or("withdrawn");
                    self.cancel(&prompter, outcome).await;
                    if outcome == EXPIRED {
                        self.tell_expired(&prompter).await;
                    }
                    return;
                }
                asked = self.ask_at(&prompter, seen) => asked,
            };
            drop(showing);
            match asked {
                Shown::Over => return,
                Shown::Late => {
                    let outcome = tokio::time::timeout(GRACE * 2, ended).await;
                    if outcome.is_ok_and(|outcome| outcome == Ok(EXPIRED)) {
                        self.tell_expired(&prompter).await;
                    }
                    return;
                }
                Shown::Unable(why) => {
                    // On a screen that nobody sees nothing was shown.
                    shown += u32::from(seen.0);
                    info!(challenge = %self.view.id, prompter = %prompter.name, "it can't be shown there: {why}");
                    unable.insert(prompter.name, Instant::now());
                }
            }
        }
    }

    /// Asks in front of one prompter until the person has done something that counts.
    async fn ask_at(&mut self, prompter: &Prompter, seen: Seen) -> Shown {
        if self.view.factors.is_empty() {
            return self.tell_not_enrolled(prompter).await;
        }
        if let Err(shown) = self.ask_why(prompter, seen).await {
            return shown;
        }
        if !self.takes_codes() {
            return self.converse_at(prompter, seen).await;
        }
        let screen = Some(seen.0);
        let first = AttemptDict {
            screen,
            ..AttemptDict::default()
        };
        let mut attempt = first;
        loop {
            let deed = match self.prompt(prompter, &attempt).await {
                Ok(deed) => deed,
                Err(error) => return Shown::Unable(error.to_string()),
            };
            let tries_left = match deed.outcome.as_str() {
                "code" => match self.answer(&deed).await {
                    Ok(Answer::Wrong { tries_left }) => tries_left,
                    Ok(Answer::Throttled { retry_seconds }) => {
                        tokio::time::sleep(Duration::from_secs(retry_seconds)).await;
                        0
                    }
                    Ok(Answer::More { factors }) => {
                        self.view.factors = factors;
                        // Boxed, because the one leads to the other.
                        return Box::pin(self.ask_at(prompter, seen)).await;
                    }
                    Ok(Answer::Accepted { .. }) => return Shown::Over,
                    Err(over) => return over,
                },
                _ => return self.not_answered(&deed).await,
            };
            attempt = AttemptDict {
                wrong: Some(true),
                tries_left: Some(tries_left),
                retry_seconds: Some(0),
                screen,
                ..AttemptDict::default()
            };
        }
    }

    /// Asks for the reason first, where the rule doesn't let anybody through without one. `Err` if
    /// it is over with that.
    async fn ask_why(&mut self, prompter: &Prompter, seen: Seen) -> Result<(), Shown> {
        let mut attempt = AttemptDict {
            screen: Some(seen.0),
            reason: Some(true),
            ..AttemptDict::default()
        };
        while self.view.reason == "required" {
            let deed = self.prompt(prompter, &attempt).await;
            let deed = deed.map_err(|error| Shown::Unable(error.to_string()))?;
            match deed.outcome.as_str() {
                "code" => match self.explain(&deed).await {
                    Ok(()) => self.view.reason = String::new(),
                    Err(Refusal::BadReason(_)) => attempt.wrong = Some(true),
                    Err(Refusal::Busy) => tokio::time::sleep(Duration::from_secs(1)).await,
                    Err(_) => return Err(Shown::Over),
                },
                _ => return Err(self.not_answered(&deed).await),
            }
        }
        Ok(())
    }

    /// Hands a reason in.
    async fn explain(&self, deed: &DeedDict) -> Result<(), Refusal> {
        let (caller, id) = (Caller::user(self.view.uid), self.view.id);
        let text = deed.code.clone().unwrap_or_default();
        ask(&self.requests, |reply| {
            Request::Explain(caller, id, text, reply)
        })
        .await
    }

    /// What it means that the person has typed nothing.
    async fn not_answered(&self, deed: &DeedDict) -> Shown {
        match deed.outcome.as_str() {
            "denied" => {
                self.deny().await;
                Shown::Over
            }
            // Its own clock may have run out just before the agent's.
            "silent" if Instant::now() + GRACE >= self.until => Shown::Late,
            "silent" => Shown::Over,
            _ => {
                let why = deed.why.as_deref().unwrap_or_default();
                Shown::Unable(why.chars().take(200).collect())
            }
        }
    }

    /// True if a code is one of the answers.
    fn takes_codes(&self) -> bool {
        let mut factors = self.view.factors.iter();
        factors.any(|factor| matches!(factor.as_str(), "totp" | "recovery"))
    }

    async fn deny(&self) {
        let (caller, id) = (Caller::user(self.view.uid), self.view.id);
        let denied = ask(&self.requests, |reply| Request::Deny(caller, id, reply));
        if let Err(refusal) = denied.await {
            debug!(challenge = %id, "{refusal}");
        }
    }

    /// Passes on what a service of PAM asks and tells, where no code will do.
    async fn converse_at(&mut self, prompter: &Prompter, seen: Seen) -> Shown {
        let caller = Caller::user(self.view.uid);
        let what = ProofFor::Challenge(self.view.id);
        let named = self.view.factors.first();
        let Some(factor) = named.and_then(|name| name.parse::<Factor>().ok()) else {
            return Shown::Over;
        };
        let begin = || self.proving.begin(caller, what.clone(), factor.clone());
        let mut attempt = AttemptDict {
            screen: Some(seen.0),
            ..AttemptDict::default()
        };
        // Whoever drops this ends the conversation, and with it what asks PAM.
        let mut led = self.proving.lead(caller);
        let mut step = begin().await;
        loop {
            step = match step {
                Ok(Step::Tell {
                    conversation, text, ..
                }) => {
                    led.goes_on(conversation);
                    self.pass_on(prompter, &text).await;
                    let on = self
                        .proving
                        .respond(caller, conversation, Zeroizing::default());
                    on.await
                }
                Ok(Step::Ask {
                    conversation, text, ..
                }) => {
                    led.goes_on(conversation);
                    attempt.question = Some(text);
                    let deed = match self.prompt(prompter, &attempt).await {
                        Ok(deed) => deed,
                        Err(error) => return Shown::Unable(error.to_string()),
                    };
                    if deed.outcome != "code" {
                        return self.not_answered(&deed).await;
                    }
                    let text = deed.code.clone().unwrap_or_default();
                    let answer = self.proving.respond(caller, conversation, text.into());
                    answer.await
                }
                Ok(Step::Over(Answer::More { factors })) if !factors.is_empty() => {
                    self.view.factors = factors;
                    // Boxed, because the one leads to the other.
                    return Box::pin(self.ask_at(prompter, seen)).await;
                }
                Ok(Step::Over(Answer::Wrong { tries_left })) if tries_left > 0 => {
                    attempt.wrong = Some(true);
                    attempt.tries_left = Some(tries_left);
                    begin().await
                }
                Ok(Step::Over(_)) => return Shown::Over,
                Err(refusal) => {
                    self.pass_on(prompter, &refusal.to_string()).await;
                    return Shown::Over;
                }
            };
        }
    }

    /// Tells what a service of PAM says; whether the person sees it isn't waited for.
    async fn pass_on(&self, prompter: &Prompter, text: &str) {
        if let Err(why) = self.tell(prompter, "told", Some(text)).await {
            debug!(prompter = %prompter.name, "it could not tell what a service of PAM says: {why}");
        }
    }

    async fn prompt(
        &self,
        prompter: &Prompter,
        attempt: &AttemptDict,
    ) -> Result<DeedDict, zbus::Error> {
        let left = self.until.saturating_duration_since(Instant::now());
        let mut view = self.view.clone();
        view.seconds_left = crate::service::seconds_up(left);
        let body = (ChallengeDict::from(view), attempt);
        let to = Some(prompter.name.as_str());
        let call = self
            .bus
            .call_method(to, PROMPTER_PATH, Some(PROMPTER), "Prompt", &body);
        let reply = tokio::time::timeout(left + GRACE, call)
            .await
            .map_err(|late| zbus::Error::from(std::io::Error::from(late)))??;
        reply.body().deserialize()
    }

    /// Hands a code in. `Err` if the challenge is over with that.
    async fn answer(&self, deed: &DeedDict) -> Result<Answer, Shown> {
        let code = deed.code.as_deref().unwrap_or_default();
        let code = match super::interface::bounded(code) {
            Ok(code) => code,
            // Longer than any code: as wrong as another one, and nobody has to look at it.
            Err(_) => Zeroizing::new(String::new()),
        };
        let (caller, id) = (Caller::user(self.view.uid), self.view.id);
        let answered = ask(&self.requests, |reply| {
            Request::Answer(caller, id, code, reply)
        });
        match answered.await {
            Ok(answer) => Ok(answer),
            Err(Refusal::Busy) => Ok(Answer::Throttled { retry_seconds: 1 }),
            Err(refusal) => {
                debug!(challenge = %id, "a code from a prompter came to nothing: {refusal}");
                match Instant::now() >= self.until {
                    true => Err(Shown::Late),
                    false => Err(Shown::Over),
                }
            }
        }
    }

    /// Says that the challenge is over, and waits for nothing.
    async fn cancel(&self, prompter: &Prompter, outcome: &str) {
        let to = Some(prompter.name.as_str());
        let body = (self.view.id.0, outcome);
        let sent = self
            .bus
            .call_method(to, PROMPTER_PATH, Some(PROMPTER), "Cancel", &body);
        if let Ok(Err(error)) = tokio::time::timeout(GRACE, sent).await {
            debug!(prompter = %prompter.name, "it was not told that a challenge is over: {error}");
        }
    }

    /// Whoever has nothing to answer with is told so once, instead of being asked.
    async fn tell_not_enrolled(&self, prompter: &Prompter) -> Shown {
        match self.tell(prompter, "not-enrolled", None).await {
            Ok(()) => Shown::Over,
            Err(why) => Shown::Unable(why),
        }
    }

    /// Who comes back to the screen learns why the program has failed.
    async fn tell_expired(&self, prompter: &Prompter) {
        if let Err(why) = self.tell(prompter, "expired", None).await {
            debug!(prompter = %prompter.name, "it was not told that nobody answered: {why}");
        }
    }

    /// Says something that needs no answer.
    async fn tell(
        &self,
        prompter: &Prompter,
        kind: &str,
        text: Option<&str>,
    ) -> Result<(), String> {
        let news = NewsDict {
            kind: kind.to_owned(),
            endpoint: Some(self.view.endpoint.clone()),
            text: text.map(str::to_owned),
        };
        let to = Some(prompter.name.as_str());
        let told = self
            .bus
            .call_method(to, PROMPTER_PATH, Some(PROMPTER), "Tell", &news);
        match tokio::time::timeout(GRACE, told).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("it doesn't answer".to_owned()),
        }
    }
}

/// Asks the pipeline.
async fn ask<T>(
    requests: &mpsc::Sender<Request>,
    request: impl FnOnce(Reply<T>) -> Request,
) -> Result<T, Refusal> {
    let (reply, answer) = oneshot::channel();
    if requests.send(request(reply)).await.is_err() {
        return Err(Refusal::Busy);
    }
    answer.await.unwrap_or(Err(Refusal::Busy))
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
