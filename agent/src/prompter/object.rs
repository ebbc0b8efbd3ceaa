// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the agent calls in a person's session.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Mutex as Turn, oneshot};
use tracing::{info, warn};
use zbus::interface;
use zbus::message::Header;
use zbus::names::{OwnedUniqueName, UniqueName};

use super::Deed;
use super::choose::{Origin, Places, Session};
use super::notification::{Note, Notifier, Urgency};
use crate::bus::wire::{AttemptDict, ChallengeDict, DeedDict, NewsDict};
use crate::ids::ChallengeId;
use crate::service::ChallengeView;
use crate::texts::{Attempt, Texts, Value, escape, question};

/// How many questions wait for the person at most; more are beyond the agent's own bound.
const MAX_OPEN: usize = 64;

/// Who the agent is now.
#[derive(Clone, Debug, Default)]
pub(super) struct Agent {
    name: Arc<Mutex<Option<OwnedUniqueName>>>,
    shown: Shown,
}

impl Agent {
    /// Another one, or none. What the one before has asked goes from the screen.
    pub(super) fn set(&self, name: Option<OwnedUniqueName>) {
        let before = std::mem::replace(&mut *lock(&self.name), name.clone());
        if before != name {
            self.shown.close_all();
        }
    }

    fn is(&self, sender: Option<&UniqueName<'_>>) -> bool {
        let agent = lock(&self.name);
        let both = sender.zip(agent.as_ref());
        both.is_some_and(|(sender, agent)| *sender == **agent)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it is held.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is on the screen, and how to take it away.
#[derive(Clone, Debug, Default)]
struct Shown(Arc<Mutex<HashMap<ChallengeId, oneshot::Sender<()>>>>);

impl Shown {
    /// Notes that a question is open. `None` if there are too many.
    fn open(&self, id: ChallengeId) -> Option<oneshot::Receiver<()>> {
        let mut open = lock(&self.0);
        open.retain(|_, end| !end.is_closed());
        if open.len() >= MAX_OPEN {
            return None;
        }
        let (end, ended) = oneshot::channel();
        open.insert(id, end);
        Some(ended)
    }

    /// The agent is gone, and with it everything that it has asked.
    fn close_all(&self) {
        lock(&self.0).clear();
    }

    fn close(&self, id: ChallengeId) {
        if let Some(end) = lock(&self.0).remove(&id) {
            let _ = end.send(());
        }
    }
}

/// The object that the agent calls.
pub(super) struct Prompter {
    session: Session,
    texts: Texts,
    agent: Agent,
    shown: Shown,
    /// One dialog at a time: the person has one keyboard.
    turn: Turn<()>,
}

/// Shows challenges to the person in this session. It hands in what they type, and decides
/// nothing.
#[interface(name = "org.stile.Prompter1")]
impl Prompter {
    /// Asks, and waits for the person. The result's `outcome` is `code` (with `code`), `denied`,
    /// `silent` (they did nothing, or answer elsewhere) or `unable` (with `why`).
    #[zbus(out_args("deed"))]
    async fn prompt(
        &self,
        #[zbus(header)] header: Header<'_>,
        challenge: ChallengeDict,
        attempt: AttemptDict,
    ) -> zbus::fdo::Result<DeedDict> {
        self.check(&header)?;
        let view = ChallengeView::from(challenge);
        let Some(mut ended) = self.shown.open(view.id) else {
            return Ok(unable("too many questions are open"));
        };
        let deed = tokio::select! {
            _ = &mut ended => Deed::Silent,
            deed = self.ask(&view, &attempt) => deed,
        };
        // Not closed by its number: the agent may have asked again, and then that is another one.
        Ok(match deed {
            Deed::Code(code) => DeedDict {
                outcome: "code".to_owned(),
                code: Some(code.to_string()),
                why: None,
            },
            Deed::Denied => outcome("denied"),
            Deed::Silent => outcome("silent"),
            Deed::Unable(why) => unable(&why),
        })
    }

    /// The challenge is over: what asks for it goes away.
    fn cancel(
        &self,
        #[zbus(header)] header: Header<'_>,
        id: u64,
        outcome: &str,
    ) -> zbus::fdo::Result<()> {
        self.check(&header)?;
        info!(challenge = id, outcome, "over");
        self.shown.close(ChallengeId(id));
        Ok(())
    }

    /// Tells the person something that needs no answer.
    async fn tell(
        &self,
        #[zbus(header)] header: Header<'_>,
        news: NewsDict,
    ) -> zbus::fdo::Result<()> {
        self.check(&header)?;
        let Some(bus) = self.session.bus.clone() else {
            return Ok(());
        };
        let endpoint = escape(news.endpoint.as_deref().unwrap_or_default());
        let kind = news.kind.as_str();
        let body = match kind {
            "told" => escape(news.text.as_deref().unwrap_or_default()),
            "not-enrolled" | "expired" => self.texts.say(&format!("{kind}-what")),
            // News of a newer agent.
            _ => return Ok(()),
        };
        let endpoint = [("endpoint", Value::Text(&endpoint))];
        let note = Note {
            summary: self.texts.fill(kind, &endpoint),
            body,
            urgency: Urgency::Normal,
            deny: None,
            enter_code: None,
        };
        let told = async { Notifier::join(&bus).await?.tell(&note, 0).await };
        if let Err(error) = told.await {
            warn!("not told: {error}");
        }
        Ok(())
    }
}

impl Prompter {
    pub(super) fn new(session: Session, agent: Agent) -> Self {
        Self {
            session,
            texts: Texts::of_environment(),
            shown: agent.shown.clone(),
            agent,
            turn: Turn::new(()),
        }
    }

    /// Only the agent may ask: root's other programs have no business here.
    fn check(&self, header: &Header<'_>) -> zbus::fdo::Result<()> {
        match self.agent.is(header.sender()) {
            true => Ok(()),
            false => Err(zbus::fdo::Error::AccessDenied(
                "only the agent calls a prompter".to_owned(),
            )),
        }
    }

    async fn ask(&self, view: &ChallengeView, attempt: &AttemptDict) -> Deed {
        // What is drawn on a screen that nobody sees is only lost.
        let unseen = attempt.screen == Some(false);
        let session = match unseen {
            true => self.session.without_screen(),
            false => self.session.clone(),
        };
        // "Password: ": a place that shows a colon has its own.
        let asks = attempt.question.as_deref();
        let asks = asks.map(|text| escape(text.trim_end().trim_end_matches(':')));
        let attempt = Attempt {
            wrong: attempt.wrong.unwrap_or(false),
            tries_left: attempt.tries_left.unwrap_or(0),
            retry_seconds: attempt.retry_seconds.unwrap_or(0),
            reason: attempt.reason.unwrap_or(false),
        };
        let mut asked = question(&self.texts, view, attempt);
        if let Some(asks) = asks {
            asked.prompt = asks;
        }
        // While another one is on the screen this one waits; its time goes on.
        let until = tokio::time::Instant::from_std(asked.deadline);
        let Ok(_turn) = tokio::time::timeout_at(until, self.turn.lock()).await else {
            return Deed::Silent;
        };
        let origin = Origin {
            terminal: view.terminal.clone(),
            remote: !view.from.is_empty(),
        };
        let id = view.id.to_string();
        let hint = self.texts.fill("hint", &[("id", Value::Text(&id))]);
        Places::of(&session, &origin, &hint).ask(&asked).await
    }
}

fn outcome(outcome: &str) -> DeedDict {
    DeedDict {
        outcome: outcome.to_owned(),
        code: None,
        why: None,
    }
}

fn unable(why: &str) -> DeedDict {
    DeedDict {
        outcome: "unable".to_owned(),
        code: None,
        why: Some(why.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::interface_testing::is_as_packaged;
    use crate::ids::Uid;
    use crate::prompter::Environment;

    #[test]
    fn the_packaged_description_is_that_of_the_prompter() {
        let session = Session {
            environment: Environment::default(),
            bus: None,
            uid: Uid(1000),
        };
        let prompter = Prompter::new(session, Agent::default());
        is_as_packaged("org.stile.Prompter1", &prompter);
    }
}
