// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is asked of a prompter, and what of the pipeline.

use std::time::Instant;

use tokio::sync::{mpsc, oneshot};
use tracing::debug;
use zeroize::Zeroizing;

use super::{GRACE, Prompt, Shown};
use crate::bus::interface::bounded;
use crate::bus::prompters::Prompter;
use crate::bus::wire::{AttemptDict, ChallengeDict, DeedDict, NewsDict};
use crate::service::{Answer, Caller, Refusal, Reply, Request};

/// The interface of a prompter, and the object that has it.
const PROMPTER: &str = "org.stile.Prompter1";
/// Where a prompter has it.
const PROMPTER_PATH: &str = "/org/stile/Prompter1";

impl Prompt {
    pub(super) async fn prompt(
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
    pub(super) async fn answer(&self, deed: &DeedDict) -> Result<Answer, Shown> {
        let code = deed.code.as_deref().unwrap_or_default();
        let code = match bounded(code) {
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

    /// Hands a reason in.
    pub(super) async fn explain(&self, deed: &DeedDict) -> Result<(), Refusal> {
        let (caller, id) = (Caller::user(self.view.uid), self.view.id);
        let text = deed.code.clone().unwrap_or_default();
        ask(&self.requests, |reply| {
            Request::Explain(caller, id, text, reply)
        })
        .await
    }

    pub(super) async fn deny(&self) {
        let (caller, id) = (Caller::user(self.view.uid), self.view.id);
        let denied = ask(&self.requests, |reply| Request::Deny(caller, id, reply));
        if let Err(refusal) = denied.await {
            debug!(challenge = %id, "{refusal}");
        }
    }

    /// Says that the challenge is over, and waits for nothing.
    pub(super) async fn cancel(&self, prompter: &Prompter, outcome: &str) {
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
    pub(super) async fn tell_not_enrolled(&self, prompter: &Prompter) -> Shown {
        match self.tell(prompter, "not-enrolled", None).await {
            Ok(()) => Shown::Over,
            Err(why) => Shown::Unable(why),
        }
    }

    /// Who comes back to the screen learns why the program has failed.
    pub(super) async fn tell_expired(&self, prompter: &Prompter) {
        if let Err(why) = self.tell(prompter, "expired", None).await {
            debug!(prompter = %prompter.name, "it was not told that nobody answered: {why}");
        }
    }

    /// Tells what a service of PAM says; whether the person sees it isn't waited for.
    pub(super) async fn pass_on(&self, prompter: &Prompter, text: &str) {
        if let Err(why) = self.tell(prompter, "told", Some(text)).await {
            debug!(prompter = %prompter.name, "it could not tell what a service of PAM says: {why}");
        }
    }

    /// Says something that needs no answer.
    pub(super) async fn tell(
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
pub(in crate::bus) async fn ask<T>(
    requests: &mpsc::Sender<Request>,
    request: impl FnOnce(Reply<T>) -> Request,
) -> Result<T, Refusal> {
    let (reply, answer) = oneshot::channel();
    if requests.send(request(reply)).await.is_err() {
        return Err(Refusal::Busy);
    }
    answer.await.unwrap_or(Err(Refusal::Busy))
}
