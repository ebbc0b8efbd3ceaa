// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One question to PAM, from its start to its verdict.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::AbortHandle;
use zeroize::Zeroizing;

use super::failure::PamFailure;
use super::message::{self, Lines, garbled};
use super::process::{Helper, Leash};
use super::protocol::{MAX_ANSWER, MAX_MESSAGES, Message, is_answer};
use super::runs::Slot;
use super::service::PamService;

/// What `stile-pam` ends with if nobody could be asked.
const UNABLE: i32 = 2;

/// What comes next in a run.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum PamStep {
    /// A module asks the person, and waits for [`PamRun::respond`].
    Ask {
        /// The question. Its only control characters are ends of lines.
        text: String,
        /// What is typed mustn't be shown.
        secret: bool,
    },
    /// A module tells the person, as to touch the reader.
    Tell {
        /// What it says. Its only control characters are ends of lines.
        text: String,
        /// It says so as an error.
        error: bool,
    },
    /// The last step: PAM said yes.
    Passed(PamPassed),
    /// The last step: it didn't.
    Failed(PamFailure),
}

/// Proof that PAM said yes, for this user and this service. Not `Clone`: one proof, one use.
///
/// Only a [`PamRun`] makes one, after `stile-pam` told the verdict and ended well.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct PamPassed {
    user: String,
    service: PamService,
}

impl PamPassed {
    /// The name of the user.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Which service said so.
    #[must_use]
    pub fn service(&self) -> &PamService {
        &self.service
    }
}

/// Why an answer doesn't go to PAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RespondError {
    /// No question waits for one.
    #[error("PAM has asked nothing that waits for an answer")]
    NothingAsked,
    /// The question still waits for another.
    #[error("an answer to PAM has at most {MAX_ANSWER} bytes, and no NUL")]
    NoAnswer,
    /// The run has ended meanwhile; [`PamRun::next`] tells how.
    #[error("PAM no longer waits for an answer")]
    Over,
}

/// A question to PAM that is under way. Dropping it ends the process, and all that the modules
/// have started.
#[derive(Debug)]
pub struct PamRun {
    steps: Receiver<PamStep>,
    answers: Sender<Zeroizing<String>>,
    /// The last step was a question.
    asked: bool,
    leash: Leash,
    task: AbortHandle,
    /// The user's place among the runs.
    _slot: Slot,
}

impl PamRun {
    /// Leads the conversation of a helper, whether or not anybody asks for its steps, until the
    /// limit at the latest.
    pub(super) fn new(
        (helper, input, output): (Helper, ChildStdin, ChildStdout),
        passed: (String, PamService),
        limit: Duration,
        slot: Slot,
    ) -> Self {
        // Never full, so that the limit holds whoever reads: no run has more steps than messages,
        // one too many, and a verdict.
        let (send_step, steps) = channel(MAX_MESSAGES + 2);
        let (answers, receive_answer) = channel(1);
        let leash = helper.leash().clone();
        let mut talk = Talk {
            helper,
            has_exited: false,
            input,
            output: Lines::new(output),
            steps: send_step,
            answers: receive_answer,
        };
        let task = tokio::spawn(async move {
            let last = match tokio::time::timeout(limit, talk.verdict()).await {
                Ok(Ok(())) => {
                    let (user, service) = passed;
                    PamStep::Passed(PamPassed { user, service })
                }
                Ok(Err(failure)) => PamStep::Failed(failure),
                Err(_) => PamStep::Failed(PamFailure::TimedOut { limit }),
            };
            // Nothing runs on once the verdict is told.
            talk.helper.leash().kill();
            talk.tell(last).await;
        });
        Self {
            steps,
            answers,
            asked: false,
            leash,
            task: task.abort_handle(),
            _slot: slot,
        }
    }

    /// Waits for the next step. May be dropped while it waits.
    pub async fn next(&mut self) -> PamStep {
        let step = self.steps.recv().await;
        let step = step.unwrap_or(PamStep::Failed(PamFailure::Over));
        self.asked = matches!(step, PamStep::Ask { .. });
        step
    }

    /// Answers the question that [`Self::next`] told last.
    ///
    /// # Errors
    /// If none waits, or this can't be an answer.
    pub async fn respond(&mut self, text: Zeroizing<String>) -> Result<(), RespondError> {
        if !self.asked {
            return Err(RespondError::NothingAsked);
        }
        if !is_answer(&text) {
            return Err(RespondError::NoAnswer);
        }
        self.asked = false;
        let sent = self.answers.send(text).await;
        sent.map_err(|_| RespondError::Over)
    }
}

impl Drop for PamRun {
    fn drop(&mut self) {
        self.leash.kill();
        self.task.abort();
    }
}

/// The agent's end of the conversation.
struct Talk {
    helper: Helper,
    has_exited: bool,
    input: ChildStdin,
    output: Lines<ChildStdout>,
    steps: Sender<PamStep>,
    answers: Receiver<Zeroizing<String>>,
}

impl Talk {
    /// Passes messages on, up to the verdict. `Ok` is PAM's yes, and nothing else is.
    async fn verdict(&mut self) -> Result<(), PamFailure> {
        for _ in 0..=MAX_MESSAGES {
            let Some(line) = self.line().await? else {
                return Err(self.end_without_verdict().await?);
            };
            match message::parse(&line)? {
                Message::Ask { text, secret } => {
                    let text = message::shown(&text);
                    self.tell(PamStep::Ask { text, secret }).await;
                    self.answer().await?;
                }
                Message::Tell { text, error } => {
                    let text = message::shown(&text);
                    if !text.is_empty() {
                        self.tell(PamStep::Tell { text, error }).await;
                    }
                }
                Message::Passed {} => return self.confirm().await,
                Message::Failed { kind, text } => {
                    return Err(PamFailure::refused(kind, message::shown(&text)));
                }
            }
        }
        Err(PamFailure::TooMuch)
    }

    async fn tell(&self, step: PamStep) {
        // Nobody is there to hear it: then the run was dropped, and so will this be.
        let _ = self.steps.send(step).await;
    }

    /// The next line. What a module has left running may hold the pipe open, so that goes when
    /// the helper goes.
    async fn line(&mut self) -> Result<Option<Vec<u8>>, PamFailure> {
        loop {
            tokio::select! {
                line = self.output.next() => return line,
                exited = self.helper.exited(), if !self.has_exited => {
                    exited?;
                    self.has_exited = true;
                    self.helper.leash().kill();
                }
            }
        }
    }

    /// Waits for the person's answer, and sends it.
    async fn answer(&mut self) -> Result<(), PamFailure> {
        let answer = loop {
            tokio::select! {
                answer = self.answers.recv() => match answer {
                    Some(answer) => break answer,
                    // The run was dropped, and so will this be.
                    None => std::future::pending().await,
                },
                line = self.output.next() => return Err(match line? {
                    Some(_) => garbled("more before its question was answered"),
                    None => self.end_without_verdict().await?,
                }),
                exited = self.helper.exited(), if !self.has_exited => {
                    exited?;
                    self.has_exited = true;
                    self.helper.leash().kill();
                }
            }
        };
        let line = message::answer(answer)?;
        match self.input.write_all(&line).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.end_without_verdict().await?),
        }
    }

    /// A yes counts if nothing follows it but a good end.
    async fn confirm(&mut self) -> Result<(), PamFailure> {
        let unconfirmed = |what: &str| {
            Err(PamFailure::Unconfirmed {
                what: what.to_owned(),
            })
        };
        match self.line().await {
            Ok(None) => {}
            Ok(Some(_)) | Err(PamFailure::Garbled { .. }) => return unconfirmed("said more"),
            Err(failure) => return Err(failure),
        }
        let status = self.helper.status().await?;
        if status.success() {
            return Ok(());
        }
        unconfirmed(&format!("ended badly ({status})"))
    }

    /// Why it has closed its pipe without a verdict.
    async fn end_without_verdict(&mut self) -> Result<PamFailure, PamFailure> {
        use std::os::unix::process::ExitStatusExt;
        let status = self.helper.status().await?;
        Ok(match (status.signal(), status.code()) {
            (Some(signal), _) => PamFailure::Crashed { signal },
            (None, Some(UNABLE)) => PamFailure::Unable,
            (None, code) => PamFailure::NoVerdict {
                code: code.unwrap_or_default(),
            },
        })
    }
}
