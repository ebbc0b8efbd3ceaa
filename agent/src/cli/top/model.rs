// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the screen is about: what was seen last, what is chosen, and what is being asked. Pure:
//! an event comes in, an order goes out.

mod keys;

use std::collections::BTreeMap;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::super::approve::{more, throttled, wrong};
use super::super::text::duration;
use crate::ids::{ChallengeId, GrantId, Uid};
use crate::service::{Answer, ChallengeView, DecisionView, GrantView};
use crate::texts::Texts;
use crate::texts::Value::{Number, Text};

/// The longest code that is typed, in characters: what the agent takes.
const MAX_CODE: usize = 64;

/// What the agent knows, at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Snapshot {
    /// What waits for an answer.
    pub(super) pending: Vec<ChallengeView>,
    /// Live grants.
    pub(super) grants: Vec<GrantView>,
    /// The last decisions, newest first.
    pub(super) recent: Vec<DecisionView>,
    /// The names of their users, escaped.
    pub(super) users: BTreeMap<Uid, String>,
}

impl Snapshot {
    /// Each time that is left is a second shorter. What has none left stays until the agent says
    /// that it is over.
    fn grow_older(&mut self) {
        let challenges = self.pending.iter_mut().map(|view| &mut view.seconds_left);
        let grants = self.grants.iter_mut().map(|view| &mut view.seconds_left);
        for left in challenges.chain(grants) {
            *left = left.saturating_sub(1);
        }
    }
}

/// A part of the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pane {
    Pending,
    Grants,
    Recent,
}

/// What the keys mean now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// They move, and begin something.
    Watching,
    /// They type a code for this challenge.
    Code {
        /// What is answered, as it was when it was chosen.
        challenge: Box<ChallengeView>,
        /// So far; never shown.
        typed: Zeroizing<String>,
    },
    /// `y` does it.
    Sure(Order, String),
    /// Any of them ends the help.
    Help,
}

/// A key that means something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Char(char),
    Up,
    Down,
    Tab,
    BackTab,
    Enter,
    Escape,
    Backspace,
    /// Ctrl-U: what was typed is dropped.
    Clear,
}

/// What happened.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A key was pressed.
    Key(Key),
    /// The agent was asked again.
    Seen(Snapshot),
    /// A second has gone by since it was asked, or since the last one.
    Second,
    /// It could not be asked; why, in words that are safe to show.
    Unreachable(String),
    /// What became of a code.
    Answered(ChallengeId, Result<Answer, String>),
    /// What became of another order, in words that are safe to show.
    Done(Result<String, String>),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Answer(ChallengeId, Zeroizing<String>),
    Deny(ChallengeId),
    /// With `None` all that are seen.
    Revoke(Option<GrantId>),
    Quit,
}

/// Something to be read at the bottom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) good: bool,
    pub(super) text: String,
}

/// The state of the screen.
#[derive(Debug)]
pub(super) struct Model {
    me: Uid,
    /// In whose language it is.
    pub(super) texts: Arc<Texts>,
    /// What was seen last; nothing if the agent can't be asked.
    pub(super) seen: Snapshot,
    /// False until the agent was asked once.
    pub(super) asked: bool,
    /// Why the agent can't be asked.
    pub(super) trouble: Option<String>,
    pub(super) pane: Pane,
    /// By id, so that a list that moves doesn't put another one below somebody's finger.
    challenge: Option<ChallengeId>,
    grant: Option<GrantId>,
    decision: usize,
    pub(super) mode: Mode,
    pub(super) said: Option<Said>,
}

impl Model {
    /// Before anything was seen.
    pub(super) fn new(me: Uid, texts: Arc<Texts>) -> Self {
        Self {
            me,
            texts,
            seen: Snapshot::default(),
            asked: false,
            trouble: None,
            pane: Pane::Pending,
            challenge: None,
            grant: None,
            decision: 0,
            mode: Mode::Watching,
            said: None,
        }
    }

    /// True where other users are seen, too.
    pub(super) fn sees_all(&self) -> bool {
        self.me == Uid(0)
    }

    /// The chosen row of a pane, if it has rows.
    pub(super) fn chosen(&self, pane: Pane) -> Option<usize> {
        let (found, rows) = match pane {
            Pane::Pending => (
                position(&self.seen.pending, |view| Some(view.id) == self.challenge),
                self.seen.pending.len(),
            ),
            Pane::Grants => (
                position(&self.seen.grants, |view| Some(view.id) == self.grant),
                self.seen.grants.len(),
            ),
            Pane::Recent => (Some(self.decision), self.seen.recent.len()),
        };
        let last = rows.checked_sub(1)?;
        Some(found.unwrap_or(0).min(last))
    }

    /// The user's name, or the number of one who has none.
    pub(super) fn user(&self, uid: Uid) -> String {
        let name = self.seen.users.get(&uid);
        name.map_or_else(|| uid.to_string(), Clone::clone)
    }

    /// Takes in what happened.
    pub(super) fn on(&mut self, event: Event) -> Option<Order> {
        match event {
            Event::Key(key) => return self.on_key(key),
            Event::Seen(seen) => self.see(seen),
            Event::Second => {
                self.seen.grow_older();
                if let Mode::Code { challenge, .. } = &mut self.mode {
                    challenge.seconds_left = challenge.seconds_left.saturating_sub(1);
                }
            }
            Event::Unreachable(why) => {
                // What may have changed since isn't shown as if it were known.
                self.seen = Snapshot::default();
                self.trouble = Some(why);
                self.leave_what_is_over();
            }
            Event::Answered(id, result) => self.answered(id, result),
            Event::Done(result) => self.say(result),
        }
        None
    }

    fn see(&mut self, seen: Snapshot) {
        // What is chosen by its place stays chosen when newer ones come before it.
        if self.decision > 0 {
            let chosen = self.seen.recent.get(self.decision);
            let moved = chosen.and_then(|old| position(&seen.recent, |view| view == old));
            self.decision = moved.unwrap_or(self.decision);
        }
        // One that is over gives way to what has come to its place.
        let (challenge, grant) = (self.chosen(Pane::Pending), self.chosen(Pane::Grants));
        self.seen = seen;
        self.asked = true;
        self.trouble = None;
        if position(&self.seen.pending, |view| Some(view.id) == self.challenge).is_none() {
            self.choose(Pane::Pending, challenge.unwrap_or(0));
        }
        if position(&self.seen.grants, |view| Some(view.id) == self.grant).is_none() {
            self.choose(Pane::Grants, grant.unwrap_or(0));
        }
        self.leave_what_is_over();
    }

    /// Nobody types a code, or says yes, for what is over.
    fn leave_what_is_over(&mut self) {
        let challenge = |id| position(&self.seen.pending, |view| view.id == id).is_some();
        let grant = |id| position(&self.seen.grants, |view| view.id == id).is_some();
        let stands = match &self.mode {
            Mode::Code {
                challenge: view, ..
            } => challenge(view.id),
            Mode::Sure(Order::Deny(id), _) => challenge(*id),
            Mode::Sure(Order::Revoke(Some(id)), _) => grant(*id),
            Mode::Sure(..) | Mode::Watching | Mode::Help => true,
        };
        if !stands {
            self.mode = Mode::Watching;
            let over = self.texts.say("top-over");
            self.say(Err(over));
        }
    }

    fn answered(&mut self, id: ChallengeId, result: Result<Answer, String>) {
        let text = match result {
            Ok(Answer::Accepted {
                until_seconds,
                released,
            }) => {
                let time = duration(until_seconds);
                let values = [("time", Text(&time)), ("number", Number(released.into()))];
                let text = self.texts.fill("top-approved", &values);
                return self.say(Ok(text));
            }
            Ok(Answer::Wrong { tries_left }) => {
                // Once more, if nothing else was begun meanwhile.
                let again = self.seen.pending.iter().find(|view| view.id == id);
                if let Some(view) = again
                    && tries_left > 0
                    && self.mode == Mode::Watching
                {
                    self.mode = typing(view.clone());
                }
                wrong(&self.texts, tries_left)
            }
            Ok(Answer::Throttled { retry_seconds }) => throttled(&self.texts, retry_seconds),
            Ok(Answer::More { factors }) => more(&self.texts, &factors),
            Err(why) => why,
        };
        self.say(Err(text));
    }

    fn say(&mut self, result: Result<String, String>) {
        let good = result.is_ok();
        let (Ok(text) | Err(text)) = result;
        self.said = Some(Said { good, text });
    }
}

impl Pane {
    /// From top to bottom.
    pub(super) const ALL: [Self; 3] = [Self::Pending, Self::Grants, Self::Recent];

    fn next(self) -> Self {
        match self {
            Self::Pending => Self::Grants,
            Self::Grants => Self::Recent,
            Self::Recent => Self::Pending,
        }
    }
}

/// Room for the whole code at once, so that no copy is left behind by growing.
fn typing(challenge: ChallengeView) -> Mode {
    Mode::Code {
        challenge: Box::new(challenge),
        typed: Zeroizing::new(String::with_capacity(MAX_CODE)),
    }
}

fn position<T>(views: &[T], is_it: impl Fn(&T) -> bool) -> Option<usize> {
    views.iter().position(is_it)
}

#[cfg(test)]
mod tests;
