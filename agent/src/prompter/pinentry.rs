// SPDX-License-Identifier: Apache-2.0 OR MIT
//! GnuPG's dialog for secrets, which nearly every desktop has: a program of its own, spoken
//! to over pipes.
//!
//! Only flavours that draw a window: those for terminals would fight with whatever runs there.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::{ChildStdin, ChildStdout};
use tokio::time::{Instant, timeout, timeout_at};

use super::assuan::{Answer, AssuanError, Client};
use super::children::{Program, Running};
use super::question::typed;
use super::{Deed, Environment, Place, Question};
use crate::service::seconds_up;

/// Flavours of Qt, newest first. They know Wayland, and screen readers.
const QT: [&str; 3] = ["pinentry-qt", "pinentry-qt6", "pinentry-qt5"];
/// Flavours that need X11, or an XWayland.
const X11: [&str; 5] = [
    "pinentry-gtk-2",
    "pinentry-gtk",
    "pinentry-fltk",
    "pinentry-x11",
    "pinentry-qt4",
];
/// Flavours of other toolkits that know Wayland.
const OTHERS: [&str; 1] = ["pinentry-efl"];
/// Passes the question on to GNOME Shell or gcr-prompter. Falls back to the terminal without a
/// session bus.
const GNOME3: &str = "pinentry-gnome3";
/// What a distribution or an admin has chosen: any flavour, or a script that chooses one.
const CHOSEN: &str = "pinentry";

/// How long a pinentry may take until it has understood the question.
const START_PATIENCE: Duration = Duration::from_secs(10);
/// How often an empty field is asked for again.
const MAX_BLANK: usize = 8;

/// Labels a field whose question stands above it.
const BELOW: &str = ">";

/// `GPG_ERR_TIMEOUT`, `GPG_ERR_CANCELED`, `GPG_ERR_NOT_CONFIRMED` and
/// `GPG_ERR_FULLY_CANCELED` (libgpg-error, err-codes.h).
const TIMED_OUT: u32 = 62;
const CANCELED: [u32; 3] = [99, 114, 198];
/// The bits of an error that are its code; the others name its source.
const CODE_MASK: u32 = 0xffff;

/// A pinentry that fits the session.
#[derive(Clone, Debug)]
pub struct Pinentry {
    program: Program,
    environment: Environment,
}

impl Pinentry {
    /// The pinentry that fits this session best, if there is a display and one is installed.
    #[must_use]
    pub fn find(environment: &Environment) -> Option<Self> {
        if !environment.has_display() {
            return None;
        }
        let program = candidates(environment)
            .into_iter()
            .filter_map(Program::find)
            .find(|program| draws_windows(program.real_name()))?;
        Some(Self {
            program,
            environment: environment.clone(),
        })
    }

    /// Its flavour, as `pinentry-qt`.
    #[must_use]
    pub fn flavour(&self) -> &str {
        self.program.real_name()
    }

    /// Asks, until the person has done something.
    async fn converse(&self, question: &Question) -> Result<Deed, AssuanError> {
        let mut running = Running::start(&self.program, [""; 0], &self.environment, Stdio::null())?;
        let (stdin, stdout) = running.pipes().ok_or(AssuanError::Ended)?;
        let mut dialog = match timeout(START_PATIENCE, self.prepare(question, stdin, stdout)).await
        {
            Ok(Ok(dialog)) => dialog,
            Ok(Err(error)) => return Err(error),
            Err(_) => return Ok(self.unable("it didn't start in time")),
        };
        for _ in 0..MAX_BLANK {
            match dialog.command("GETPIN", "").await? {
                Answer::Done(data) => {
                    if let Some(code) = typed(data) {
                        return Ok(Deed::Code(code));
                    }
                }
                Answer::Failed { code, text } => return Ok(self.refused(code, &text)),
            }
        }
        Ok(self.unable("its field stays empty"))
    }

    /// Tells it all that the dialog shows.
    async fn prepare(
        &self,
        question: &Question,
        stdin: ChildStdin,
        stdout: ChildStdout,
    ) -> Result<Client<ChildStdout, ChildStdin>, AssuanError> {
        let mut dialog = Client::greeted(stdout, stdin).await?;
        // It may have fallen back to the terminal, which it says here and only here.
        if let Answer::Done(flavour) = dialog.command("GETINFO", "flavor").await?
            && falls_back(&flavour)
        {
            return Err(AssuanError::Garbled("a fallback to the terminal"));
        }
        for (name, text) in self.settings(question) {
            let needed = matches!(name, "SETDESC" | "SETPROMPT");
            let answer = dialog.command(name, &text).await?;
            // A flavour that doesn't know a label or an option still asks.
            if needed && matches!(answer, Answer::Failed { .. }) {
                return Err(AssuanError::Garbled("an error to the question"));
            }
        }
        Ok(dialog)
    }

    /// The commands before `GETPIN`.
    fn settings(&self, question: &Question) -> Vec<(&'static str, String)> {
        let mut settings = Vec::new();
        for (option, category) in [("lc-ctype", "LC_CTYPE"), ("lc-messages", "LC_MESSAGES")] {
            if let Some(locale) = self.environment.locale(category) {
                settings.push(("OPTION", format!("{option}={locale}")));
            }
        }
        let facts = question.facts();
        let (description, prompt) = if self.flavour() == GNOME3 {
            // This one shows the prompt as the headline, and labels the field itself.
            let description = format!("{facts}\n\n{}", question.takes());
            (description, question.headline())
        } else {
            let description = format!("{}\n\n{facts}", question.headline());
            match question.label() {
                Some(label) => (description, format!("{label}:")),
                None => (
                    format!("{description}\n\n{}", question.takes()),
                    BELOW.to_owned(),
                ),
            }
        };
        settings.extend([
            ("SETTITLE", question.title.clone()),
            ("SETDESC", description),
            ("SETPROMPT", prompt),
            ("SETOK", label(&question.approve)),
            ("SETCANCEL", label(&question.deny)),
            ("SETTIMEOUT", seconds_up(question.time_left()).to_string()),
        ]);
        if let Some(error) = &question.error {
            settings.push(("SETERROR", error.clone()));
        }
        settings
    }

    fn refused(&self, code: u32, text: &str) -> Deed {
        match code & CODE_MASK {
            TIMED_OUT => Deed::Silent,
            code if CANCELED.contains(&code) => Deed::Denied,
            _ => self.unable(text),
        }
    }

    fn unable(&self, why: impl std::fmt::Display) -> Deed {
        Deed::Unable(format!("{}: {why}", self.flavour()))
    }
}

impl Place for Pinentry {
    fn name(&self) -> &'static str {
        "pinentry"
    }

    async fn ask(&self, question: &Question) -> Deed {
        let question = question.bounded();
        let deadline = Instant::from_std(question.deadline);
        // While its dialog is up a pinentry doesn't read: it is ended by a signal.
        match timeout_at(deadline, self.converse(&question)).await {
            Ok(Ok(deed)) => deed,
            Ok(Err(error)) => self.unable(error),
            Err(_) => Deed::Silent,
        }
    }
}

/// Names to look for, best first.
fn candidates(environment: &Environment) -> Vec<&'static str> {
    let is_any = |names: &[&str]| names.iter().any(|name| environment.is_desktop(name));
    let has_bus = environment.get("DBUS_SESSION_BUS_ADDRESS").is_some();
    let gnome3 = has_bus.then_some(GNOME3);
    let x11 = environment.get("DISPLAY").map(|_| X11);
    let x11 = || x11.into_iter().flatten();
    if is_any(&["KDE", "LXQt"]) {
        QT.into_iter()
            .chain(x11())
            .chain(OTHERS)
            .chain([CHOSEN])
            .chain(gnome3)
            .collect()
    } else if is_any(&["GNOME", "Unity", "Budgie", "Pantheon"]) {
        gnome3
            .into_iter()
            .chain(x11())
            .chain(QT)
            .chain(OTHERS)
            .chain([CHOSEN])
            .collect()
    } else {
        x11()
            .chain(QT)
            .chain(OTHERS)
            .chain([CHOSEN])
            .chain(gnome3)
            .collect()
    }
}

/// True for a flavour that never takes the terminal where there is a display. A script that
/// chooses a flavour is none.
fn draws_windows(name: &str) -> bool {
    name == GNOME3 || QT.contains(&name) || X11.contains(&name) || OTHERS.contains(&name)
}

/// True if this answer to `GETINFO flavor` names a terminal, as `gtk2:curses`.
fn falls_back(flavour: &[u8]) -> bool {
    let flavour = String::from_utf8_lossy(flavour);
    flavour
        .split(':')
        .any(|part| matches!(part, "curses" | "tty"))
}

/// A label in which no letter is taken for an accelerator.
fn label(text: &str) -> String {
    text.replace('_', "__")
}

#[cfg(test)]
mod tests;
