// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Shows one challenge to the person who is asked, at one place after another, until it is over.
//!
//! A prompter is an untrusted keyboard: the code that it hands in is checked by the pipeline as
//! one that was typed anywhere else, in the name of the user whose prompter it is (promise S7).

mod calls;

pub(super) use calls::ask;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tracing::info;
use zbus::Connection;
use zeroize::Zeroizing;

use super::prompters::{Prompter, Prompters, Seen};
use super::proving::{Proving, Step};
use super::wire::{AttemptDict, DeedDict};
use crate::policy::Factor;
use crate::service::{Answer, Caller, ChallengeView, ProofFor, Refusal, Request};

/// How often one challenge is shown: a helper that ends each time it is asked is not asked for
/// ever.
const MAX_SHOWN: u32 = 10;
/// How much longer than a challenge the call of its prompter may take.
const GRACE: Duration = Duration::from_secs(2);

/// The outcome of a challenge that nobody has answered in time.
const EXPIRED: &str = "timed-out";

/// One challenge, on its way to one person.
pub(super) struct Prompt {
    pub(super) bus: Connection,
    pub(super) requests: mpsc::Sender<Request>,
    pub(super) prompters: Prompters,
    pub(super) proving: Proving,
    pub(super) view: ChallengeView,
    pub(super) until: Instant,
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
    pub(super) async fn run(mut self, mut ended: oneshot::Receiver<&'static str>) {
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
}
