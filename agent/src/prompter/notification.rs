// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A notification: it tells, and lets the person refuse. It never approves, because any
//! program of the session can press its buttons (`org.freedesktop.Notifications`, Desktop
//! Notifications Specification 1.2).

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};
use zbus::names::{OwnedUniqueName, UniqueName};
use zbus::{Connection, Variant};

use super::question::line;
use super::session_bus::{self, Signals};
use super::{Deed, Place, Question};

/// The name and the interface of the service.
const NAME: &str = "org.freedesktop.Notifications";
/// The keys of the two actions. There is no third.
const DENY: &str = "deny";
const ENTER_CODE: &str = "enter-code";
/// How long the service may take to hear that a notification is over.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);
/// The longest body, in characters. Services show some lines.
const MAX_BODY: usize = 1000;
/// Longest summary.
const MAX_SUMMARY: usize = 120;

#[zbus::proxy(
    interface = "org.freedesktop.Notifications",
    default_path = "/org/freedesktop/Notifications"
)]
trait Notifications {
    fn get_capabilities(&self) -> zbus::Result<Vec<String>>;
    #[expect(clippy::too_many_arguments, reason = "the interface has so many")]
    fn notify(
        &self,
        app_name: &str,
        replaces_id: u32,
        app_icon: &str,
        summary: &str,
        body: &str,
        actions: &[&str],
        hints: HashMap<&str, Variant<'_>>,
        expire_timeout: i32,
    ) -> zbus::Result<u32>;
    fn close_notification(&self, id: u32) -> zbus::Result<()>;
}

/// How much it may interrupt (the specification's `urgency` hint).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// News.
    Normal = 1,
    /// Something waits for the person: it is shown until it is over.
    Critical = 2,
}

/// What a notification shows: texts without markup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The first line.
    pub summary: String,
    /// What follows; lines are kept.
    pub body: String,
    /// How much it may interrupt.
    pub urgency: Urgency,
    /// Label of the button that refuses, if there is something to refuse.
    pub deny: Option<String>,
    /// Label of the button that asks for a place to enter a code, if there is one.
    pub enter_code: Option<String>,
}

/// What the person did with a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pressed {
    /// They refused, or somebody of their session did.
    Deny,
    /// They want to enter a code.
    EnterCode,
    /// They have closed it, or it is over.
    Nothing,
}

/// Why it can't be shown.
#[derive(Debug, thiserror::Error)]
pub enum NotificationError {
    /// The bus or the service says so.
    #[error("no notifications: {0}")]
    Bus(#[from] zbus::Error),
    /// The service ended while it was shown.
    #[error("no notifications: the service has ended")]
    Ended,
}

/// The notifications of a session.
#[derive(Clone, Debug)]
pub struct Notifier {
    service: NotificationsProxy<'static>,
    /// Who signals are accepted from.
    owner: OwnedUniqueName,
    markup: bool,
    buttons: bool,
}

impl Notifier {
    /// Finds the service, which is started if need be.
    ///
    /// # Errors
    /// If there is none on this bus.
    pub async fn join(address: &str) -> Result<Self, NotificationError> {
        let bus = session_bus::join(address).await?;
        Self::of(&bus).await
    }

    async fn of(bus: &Connection) -> Result<Self, NotificationError> {
        let owner = session_bus::owner(bus, NAME).await?;
        let service = NotificationsProxy::builder(bus)
            .destination(UniqueName::from(owner.clone()))
            .build()
            .await?;
        let can = service.get_capabilities().await?;
        let can = |what: &str| can.iter().any(|one| one == what);
        Ok(Self {
            markup: can("body-markup"),
            buttons: can("actions"),
            service,
            owner,
        })
    }

    /// Shows news that need no answer, in place of the notification with the id `instead`
    /// (0: of none), and leaves them there. Returns the id.
    ///
    /// # Errors
    /// If the service refuses.
    pub async fn tell(&self, note: &Note, instead: u32) -> Result<u32, NotificationError> {
        Ok(self.notify(note, instead, None).await?)
    }

    /// Shows it until the person has done something or the deadline is there, in place of the
    /// notification with the id `instead` (0: of none). It goes at once when this is dropped.
    ///
    /// # Errors
    /// If the service refuses or ends.
    pub async fn ask(
        &self,
        note: &Note,
        instead: u32,
        deadline: Instant,
    ) -> Result<Pressed, NotificationError> {
        let bus = self.service.inner().connection();
        let mut end = Signals::end_of(bus, &self.owner).await?;
        let mut signals = Signals::of(bus, &self.owner, NAME).await?;
        let shown = self.show(note, instead, deadline).await?;
        let id = shown.id;
        let pressed = async {
            loop {
                let signal = tokio::select! {
                    signal = signals.next() => signal.ok_or(NotificationError::Ended)?,
                    _ = end.next() => return Err(NotificationError::Ended),
                };
                let header = signal.header();
                let member = header.member().map(|name| name.as_str());
                if let Some(pressed) = understood(note, id, member, &signal) {
                    return Ok(pressed);
                }
            }
        };
        timeout_at(deadline, pressed)
            .await
            .unwrap_or(Ok(Pressed::Nothing))
    }

    /// Shows it in a task of its own: the id comes with the answer, and without it nobody could
    /// close what was asked for just before this was dropped.
    async fn show(&self, note: &Note, instead: u32, deadline: Instant) -> zbus::Result<Shown> {
        let (sender, shown) = oneshot::channel();
        let (notifier, note) = (self.clone(), note.clone());
        tokio::spawn(async move {
            let id = notifier.notify(&note, instead, Some(deadline)).await;
            // If nobody waits for it any longer, dropping it closes it.
            let _ = sender.send(id.map(|id| Shown {
                service: notifier.service,
                id,
            }));
        });
        shown.await.unwrap_or(Err(zbus::Error::InvalidReply))
    }

    async fn notify(
        &self,
        note: &Note,
        instead: u32,
        deadline: Option<Instant>,
    ) -> zbus::Result<u32> {
        let mut actions = Vec::new();
        for (key, label) in [(DENY, &note.deny), (ENTER_CODE, &note.enter_code)] {
            if let Some(label) = label
                && self.buttons
            {
                actions.extend([key, label]);
            }
        }
        let body = bounded_lines(&note.body);
        let body = if self.markup { escaped(&body) } else { body };
        // -1: as the service sees fit.
        let expire = deadline.map_or(-1, |deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            i32::try_from(left.as_millis()).unwrap_or(i32::MAX)
        });
        let hints = HashMap::from([("urgency", Variant::from(note.urgency as u8))]);
        self.service
            .notify(
                "stile",
                instead,
                "dialog-password",
                &line(&note.summary, MAX_SUMMARY),
                &body,
                &actions,
                hints,
                expire,
            )
            .await
    }
}

/// What a signal says about the notification with this id.
fn understood(
    note: &Note,
    id: u32,
    member: Option<&str>,
    signal: &zbus::Message,
) -> Option<Pressed> {
    let body = signal.body();
    match member? {
        "ActionInvoked" => {
            let (about, key): (u32, &str) = body.deserialize().ok()?;
            match key {
                DENY if about == id && note.deny.is_some() => Some(Pressed::Deny),
                ENTER_CODE if about == id && note.enter_code.is_some() => Some(Pressed::EnterCode),
                _ => None,
            }
        }
        "NotificationClosed" => {
            let (about, _why): (u32, u32) = body.deserialize().ok()?;
            (about == id).then_some(Pressed::Nothing)
        }
        _ => None,
    }
}

/// A notification that is shown. Dropping it closes it.
struct Shown {
    service: NotificationsProxy<'static>,
    id: u32,
}

impl Drop for Shown {
    fn drop(&mut self) {
        let (service, id) = (self.service.clone(), self.id);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let _ = timeout(CLOSE_PATIENCE, service.close_notification(id)).await;
            });
        }
    }
}

/// The last place: it tells that something waits, and how to answer.
#[derive(Clone, Debug)]
pub struct Notification {
    address: String,
    hint: String,
}

impl Notification {
    /// That of the session bus at this address. `hint` says how to answer, as ``Run `stile
    /// approve 12` in a terminal.``
    #[must_use]
    pub fn new(address: String, hint: String) -> Self {
        Self { address, hint }
    }

    async fn converse(&self, question: &Question) -> Result<Pressed, NotificationError> {
        let notifier = Notifier::join(&self.address).await?;
        let note = Note {
            summary: question.heading.clone(),
            body: format!("{}\n{}", self.hint, question.facts()),
            urgency: Urgency::Critical,
            deny: Some(question.deny.clone()),
            enter_code: None,
        };
        notifier
            .ask(&note, 0, Instant::from_std(question.deadline))
            .await
    }
}

impl Place for Notification {
    fn name(&self) -> &'static str {
        "notification"
    }

    async fn ask(&self, question: &Question) -> Deed {
        let question = question.bounded();
        let deadline = Instant::from_std(question.deadline);
        match timeout_at(deadline, self.converse(&question)).await {
            Ok(Ok(Pressed::Deny)) => Deed::Denied,
            Ok(Ok(Pressed::EnterCode | Pressed::Nothing)) | Err(_) => Deed::Silent,
            Ok(Err(error)) => Deed::Unable(error.to_string()),
        }
    }
}

/// Lines as they are, each bounded, and all together.
fn bounded_lines(body: &str) -> String {
    let mut left = MAX_BODY;
    let mut lines = Vec::new();
    for text in body.lines() {
        if left == 0 {
            break;
        }
        let text = line(text, left);
        left = left.saturating_sub(text.chars().count() + 1);
        lines.push(text);
    }
    lines.join("\n")
}

/// The text as markup that shows it as it is.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests;
