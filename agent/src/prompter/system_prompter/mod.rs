// SPDX-License-Identifier: Apache-2.0 OR MIT
//! GNOME's own dialog for secrets: drawn by GNOME Shell, over everything and dimming it, or by
//! gcr-prompter on other desktops.
//!
//! The interface is `org.gnome.keyring.internal.Prompter` (gcr, gcr/gcr-system-prompt.c). The
//! prompter shows one prompt at a time; ours waits for its turn, and is taken back at any time.

mod callback;
mod exchange;
mod owner;

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use zbus::names::{OwnedUniqueName, UniqueName};
use zbus::{Connection, ObjectPath, Variant};

use callback::{Callback, QUEUE, Said};
use exchange::{Exchange, ExchangeError};
use owner::OwnerError;

use super::question::typed;
use super::session_bus::{self, Signals};
use super::{Deed, Place, Question};

/// Our object. The connection is made for one question, so one path does.
const CALLBACK: ObjectPath<'static> =
    ObjectPath::from_static_str_unchecked("/org/stile/Prompter1/Callback");
/// How long the prompter may take to hear that the prompt is over.
const STOP_PATIENCE: Duration = Duration::from_secs(2);
/// How often an empty field is asked for again.
const MAX_BLANK: usize = 8;

#[zbus::proxy(
    interface = "org.gnome.keyring.internal.Prompter",
    default_path = "/org/gnome/keyring/Prompter"
)]
trait Prompter {
    fn begin_prompting(&self, callback: &ObjectPath<'_>) -> zbus::Result<()>;
    fn perform_prompt(
        &self,
        callback: &ObjectPath<'_>,
        kind: &str,
        properties: HashMap<&str, Variant<'_>>,
        exchange: &str,
    ) -> zbus::Result<()>;
    fn stop_prompting(&self, callback: &ObjectPath<'_>) -> zbus::Result<()>;
}

/// Why the prompter can't be used.
#[derive(Debug, thiserror::Error)]
enum PrompterError {
    #[error(transparent)]
    Owner(#[from] OwnerError),
    #[error("the GNOME prompter refused: {0}")]
    Bus(#[from] zbus::Error),
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    #[error("the GNOME prompter ended the question")]
    Ended,
}

/// The prompter of the session with this bus.
#[derive(Clone, Debug)]
pub struct SystemPrompter {
    address: String,
}

impl SystemPrompter {
    /// That of the session bus at this address.
    #[must_use]
    pub fn new(address: String) -> Self {
        Self { address }
    }

    async fn converse(&self, question: &Question) -> Result<Deed, PrompterError> {
        let bus = session_bus::join(&self.address).await?;
        let prompter = owner::owner(&bus).await?;
        Self::converse_with(&bus, prompter, question).await
    }

    async fn converse_with(
        bus: &Connection,
        prompter: OwnedUniqueName,
        question: &Question,
    ) -> Result<Deed, PrompterError> {
        let mut prompt = Prompt::begin(bus, prompter).await?;
        // One for the whole prompt: the prompter makes the key with our first message.
        let exchange = Exchange::begin()?;
        for _ in 0..=MAX_BLANK {
            match prompt.said().await? {
                Said::Done => return Err(PrompterError::Ended),
                // Our turn.
                Said::Ready { reply, .. } if reply.is_empty() => {}
                Said::Ready {
                    reply,
                    exchange: answer,
                } if reply == "yes" => {
                    if let Some(code) = typed(exchange.secret(&answer)?) {
                        return Ok(Deed::Code(code));
                    }
                }
                Said::Ready { .. } => return Ok(Deed::Denied),
            }
            prompt.show(question, &exchange).await?;
        }
        Err(PrompterError::Ended)
    }
}

impl Place for SystemPrompter {
    fn name(&self) -> &'static str {
        "gnome"
    }

    async fn ask(&self, question: &Question) -> Deed {
        let question = question.bounded();
        // The time runs while other prompts are before ours, too.
        let deadline = Instant::from_std(question.deadline);
        match timeout_at(deadline, self.converse(&question)).await {
            Ok(Ok(deed)) => deed,
            Ok(Err(error)) => Deed::Unable(error.to_string()),
            Err(_) => Deed::Silent,
        }
    }
}

/// Our prompt: it waits, it is shown, and it is taken back when this is dropped.
struct Prompt {
    prompter: PrompterProxy<'static>,
    said: mpsc::Receiver<Said>,
    end: Signals,
}

impl Prompt {
    async fn begin(bus: &Connection, prompter: OwnedUniqueName) -> Result<Self, PrompterError> {
        let end = Signals::end_of(bus, &prompter).await?;
        let (sender, said) = mpsc::channel(QUEUE);
        let callback = Callback {
            prompter: prompter.clone(),
            said: sender,
        };
        bus.object_server().at(CALLBACK, callback).await?;
        let prompter = PrompterProxy::builder(bus)
            .destination(UniqueName::from(prompter))
            .build()
            .await?;
        // Made before the call, so that a prompt that is begun is taken back as well.
        let prompt = Self {
            prompter,
            said,
            end,
        };
        prompt.prompter.begin_prompting(&CALLBACK).await?;
        Ok(prompt)
    }

    /// What the prompter says next.
    async fn said(&mut self) -> Result<Said, PrompterError> {
        tokio::select! {
            said = self.said.recv() => said.ok_or(PrompterError::Ended),
            _ = self.end.next() => Err(PrompterError::Ended),
        }
    }

    async fn show(&self, question: &Question, exchange: &Exchange) -> zbus::Result<()> {
        // It labels the field itself, or not at all.
        let description = format!("{}\n\n{}", question.facts(), question.takes());
        let text = |text: &str| Variant::from(text.to_owned());
        let properties = HashMap::from([
            ("title", text(&question.title)),
            ("message", text(&question.headline())),
            ("description", text(description.trim_start())),
            ("warning", text(question.error.as_deref().unwrap_or(""))),
            ("continue-label", text(&question.approve)),
            ("cancel-label", text(&question.deny)),
            // All there are, or those of the prompt before stay.
            ("password-new", Variant::from(false)),
            ("password-strength", Variant::from(0)),
            ("choice-label", text("")),
            ("choice-chosen", Variant::from(false)),
            ("caller-window", text("")),
        ]);
        self.prompter
            .perform_prompt(&CALLBACK, "password", properties, &exchange.message())
            .await
    }
}

impl Drop for Prompt {
    fn drop(&mut self) {
        let prompter = self.prompter.clone();
        // Where nothing can send it, the end of the connection says it to the prompter.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let _ = timeout(STOP_PATIENCE, prompter.stop_prompting(&CALLBACK)).await;
            });
        }
    }
}

#[cfg(test)]
mod tests;
