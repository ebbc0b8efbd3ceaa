// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `stile top`: what waits, what is granted and what was decided, on one screen.

mod agent;
mod model;
mod screen;
#[cfg(test)]
mod testing;
mod view;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use crossterm::event::{
    Event as Input, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers,
};
use futures_core::Stream as _;
use jiff::tz::TimeZone;
use tokio::signal::unix::SignalKind;
use tokio::task::{JoinError, JoinSet};
use tokio::time::sleep_until;

use super::failure::{Exit, Failure};
use crate::bus::AgentClient;
use crate::ids::Uid;
use crate::texts::Texts;
use agent::{Looked, Looks, carry_out, look, seconds};
use model::{Event, Key, Model, Order};
use screen::Screen;
use view::{Look, draw};

/// Runs the command, until it is left.
pub(super) async fn run() -> Result<Exit, Failure> {
    let texts = Arc::new(Texts::of_environment());
    if !Screen::is_there() {
        let text = texts.say("top-no-terminal");
        return Err(Failure::new(Exit::Usage, text));
    }
    let style = Look {
        zone: TimeZone::system(),
        colours: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
    };
    let mut screen = Screen::open().map_err(broken)?;
    let mut model = Model::new(Uid(nix::unistd::geteuid().as_raw()), Arc::clone(&texts));
    let mut keys = EventStream::new();
    let mut looks = Looks::new();
    let mut looking: JoinSet<Looked> = JoinSet::new();
    let mut orders: JoinSet<Option<Event>> = JoinSet::new();
    let mut client: Option<AgentClient> = None;
    let mut seconds = seconds();
    loop {
        let due = looks.due();
        screen
            .draw(|frame| draw(&model, &style, frame))
            .map_err(broken)?;
        let event = tokio::select! {
            input = next(&mut keys) => match input.map_err(broken)? {
                Pressed::Interrupt => return Ok(Exit::Signal(SignalKind::interrupt())),
                Pressed::Key(key) => Some(Event::Key(key)),
                Pressed::Nothing => None,
            },
            () = looks.hear() => None,
            () = sleep_until(due), if looking.is_empty() => {
                looks.begun();
                looking.spawn(look(client.take(), looks.hears()));
                None
            }
            Some(looked) = looking.join_next() => {
                let looked = looked.map_err(failed)?;
                client = looked.client;
                looks.done(looked.watch);
                seconds.reset();
                Some(looked.event)
            }
            _ = seconds.tick() => Some(Event::Second),
            Some(done) = orders.join_next() => {
                looks.hurry();
                done.map_err(failed)?
            }
        };
        match event.and_then(|event| model.on(event)) {
            Some(Order::Quit) => return Ok(Exit::Ok),
            Some(order) => {
                let texts = Arc::clone(&texts);
                drop(orders.spawn(carry_out(client.clone(), texts, order)));
            }
            None => {}
        }
    }
}

/// What a key press is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pressed {
    /// Ctrl-C: without the terminal's own handling of it, it is a key like others.
    Interrupt,
    Key(Key),
    /// Nothing that means something; a resize is only drawn.
    Nothing,
}

/// The next input.
async fn next(keys: &mut EventStream) -> io::Result<Pressed> {
    match poll_fn(|context| Pin::new(&mut *keys).poll_next(context)).await {
        Some(Ok(Input::Key(event))) => Ok(pressed(event)),
        Some(Ok(_)) => Ok(Pressed::Nothing),
        Some(Err(error)) => Err(error),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn pressed(event: KeyEvent) -> Pressed {
    if event.kind == KeyEventKind::Release {
        return Pressed::Nothing;
    }
    let control = event.modifiers.contains(KeyModifiers::CONTROL);
    let key = match event.code {
        KeyCode::Char('c') if control => return Pressed::Interrupt,
        KeyCode::Char('u') if control => Key::Clear,
        // What a pasted line ends with.
        KeyCode::Char('j') if control => Key::Enter,
        KeyCode::Char(_) if control || event.modifiers.contains(KeyModifiers::ALT) => {
            return Pressed::Nothing;
        }
        KeyCode::Char(c) => Key::Char(c),
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Tab => Key::Tab,
        KeyCode::BackTab => Key::BackTab,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Backspace => Key::Backspace,
        _ => return Pressed::Nothing,
    };
    Pressed::Key(key)
}

/// A task has panicked, and said so; the terminal is as it was already.
fn failed(error: JoinError) -> Failure {
    Failure::new(Exit::Refused, format!("it can't go on: {error}"))
}

fn broken(error: io::Error) -> Failure {
    Failure::new(
        Exit::Refused,
        format!("the terminal can't be used: {error}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_keys_type_nothing() {
        let key = |code, modifiers| pressed(KeyEvent::new(code, modifiers));
        let control = KeyModifiers::CONTROL;
        assert_eq!(key(KeyCode::Char('c'), control), Pressed::Interrupt);
        assert_eq!(key(KeyCode::Char('u'), control), Pressed::Key(Key::Clear));
        assert_eq!(key(KeyCode::Char('j'), control), Pressed::Key(Key::Enter));
        assert_eq!(key(KeyCode::Char('a'), control), Pressed::Nothing);
        assert_eq!(key(KeyCode::Char('a'), KeyModifiers::ALT), Pressed::Nothing);
        assert_eq!(
            key(KeyCode::Char('R'), KeyModifiers::SHIFT),
            Pressed::Key(Key::Char('R'))
        );
    }
}
