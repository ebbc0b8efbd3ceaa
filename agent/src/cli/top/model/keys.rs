// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a key does.

use super::super::super::text::escape;
use super::{Key, MAX_CODE, Mode, Model, Order, Pane, typing};
use crate::service::ChallengeView;
use crate::texts::Value::{Number, Text};

impl Model {
    pub(super) fn on_key(&mut self, key: Key) -> Option<Order> {
        match &mut self.mode {
            Mode::Watching => {
                self.said = None;
                self.command(key)
            }
            Mode::Help => {
                self.mode = Mode::Watching;
                None
            }
            Mode::Sure(order, _) => {
                let order = (key == Key::Char('y')).then(|| order.clone());
                self.mode = Mode::Watching;
                order
            }
            Mode::Code { typed, challenge } => match key {
                Key::Char(c) if c.is_ascii_graphic() && typed.len() < MAX_CODE => {
                    typed.push(c);
                    None
                }
                Key::Backspace => {
                    typed.pop();
                    None
                }
                Key::Clear => {
                    typed.clear();
                    None
                }
                Key::Enter => {
                    let order = Order::Answer(challenge.id, std::mem::take(typed));
                    let empty = matches!(&order, Order::Answer(_, code) if code.is_empty());
                    self.mode = Mode::Watching;
                    self.said = None;
                    (!empty).then_some(order)
                }
                Key::Escape => {
                    self.mode = Mode::Watching;
                    self.said = None;
                    None
                }
                Key::Char(_) | Key::Up | Key::Down | Key::Tab | Key::BackTab => None,
            },
        }
    }

    fn command(&mut self, key: Key) -> Option<Order> {
        match key {
            Key::Char('q') => return Some(Order::Quit),
            Key::Char('?') => self.mode = Mode::Help,
            Key::Up | Key::Char('k') => self.step(|row| row.saturating_sub(1)),
            Key::Down | Key::Char('j') => self.step(|row| row.saturating_add(1)),
            Key::Tab => self.pane = self.pane.next(),
            Key::BackTab => self.pane = self.pane.next().next(),
            Key::Char('a') => self.approve(),
            Key::Char('d') => self.deny(),
            Key::Char('r') => self.revoke(),
            Key::Char('R') => self.revoke_all(),
            _ => {}
        }
        None
    }

    fn step(&mut self, to: impl Fn(usize) -> usize) {
        if let Some(row) = self.chosen(self.pane) {
            self.choose(self.pane, to(row));
        }
    }

    /// Chooses this row, or the last one if there are not so many.
    pub(super) fn choose(&mut self, pane: Pane, row: usize) {
        match pane {
            Pane::Pending => {
                let views = &self.seen.pending;
                self.challenge = views.get(row).or(views.last()).map(|view| view.id);
            }
            Pane::Grants => {
                let views = &self.seen.grants;
                self.grant = views.get(row).or(views.last()).map(|view| view.id);
            }
            Pane::Recent => self.decision = row.min(self.seen.recent.len().saturating_sub(1)),
        }
    }

    fn approve(&mut self) {
        match self.chosen_challenge() {
            None => self.say(Err(self.texts.say("top-no-pending"))),
            Some(view) if view.uid != self.me => {
                let user = self.user(view.uid);
                let text = self.texts.fill("top-only", &[("user", Text(&user))]);
                self.say(Err(text));
            }
            Some(view) if view.reason == "required" => {
                let id = view.id.to_string();
                let text = self.texts.fill("top-reason", &[("id", Text(&id))]);
                self.say(Err(text));
            }
            Some(view) => self.mode = typing(view.clone()),
        }
    }

    fn deny(&mut self) {
        let Some(view) = self.chosen_challenge() else {
            return self.say(Err(self.texts.say("top-no-pending")));
        };
        let (program, endpoint) = (escape(&view.program), escape(&view.endpoint));
        let values = [("program", Text(&program)), ("endpoint", Text(&endpoint))];
        let text = self.texts.fill("top-deny", &values);
        self.mode = Mode::Sure(Order::Deny(view.id), text);
    }

    fn revoke(&mut self) {
        let row = self.chosen(Pane::Grants);
        let Some(view) = row.and_then(|row| self.seen.grants.get(row)) else {
            return self.say(Err(self.texts.say("top-no-grants")));
        };
        let endpoint = escape(&view.endpoint);
        let number = Number(view.connections.into());
        let values = [("endpoint", Text(&endpoint)), ("number", number)];
        let text = self.texts.fill("top-revoke", &values);
        self.mode = Mode::Sure(Order::Revoke(Some(view.id)), text);
    }

    fn revoke_all(&mut self) {
        let grants = u32::try_from(self.seen.grants.len()).unwrap_or(u32::MAX);
        if grants == 0 {
            return self.say(Err(self.texts.say("top-no-grants")));
        }
        let message = match self.sees_all() {
            true => "top-revoke-everybody",
            false => "top-revoke-all",
        };
        let number = Number(grants.into());
        let text = self.texts.fill(message, &[("number", number)]);
        self.mode = Mode::Sure(Order::Revoke(None), text);
    }

    fn chosen_challenge(&self) -> Option<&ChallengeView> {
        self.seen.pending.get(self.chosen(Pane::Pending)?)
    }
}
