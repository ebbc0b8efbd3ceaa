// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Conversations with PAM. They are led here, beside the pipeline: a reader that nobody touches
//! keeps nobody waiting but its own user.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::ids::Uid;
use crate::policy::Factor;
use crate::service::{Answer, Caller, ProofFor, ProofRequest, Refusal, Reply, Request, Unanswered};
use crate::verify::pam::{PamRun, PamRuns, PamService, PamStep, SERVICES, StartError};

/// How long a conversation is kept after its time is over, so that its end can still be told.
const KEPT: Duration = Duration::from_secs(30);

/// Leads conversations. Clones share them.
#[derive(Clone)]
pub(super) struct Proving {
    requests: mpsc::Sender<Request>,
    runs: Arc<PamRuns>,
    talks: Arc<Mutex<HashMap<u64, Talk>>>,
    next: Arc<AtomicU64>,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The person is asked something.
    Ask {
        /// The conversation that the answer belongs to.
        conversation: u64,
        /// The question.
        text: String,
        /// What is typed mustn't be shown.
        secret: bool,
    },
    /// The person is told something, as to touch the reader.
    Tell {
        /// The conversation that goes on.
        conversation: u64,
        /// What they are told.
        text: String,
        /// It is an error.
        error: bool,
    },
    /// The conversation is over.
    Over(Answer),
}

/// Leads conversations of one caller's; the last of them ends when this is dropped.
pub(super) struct Led {
    proving: Proving,
    caller: Caller,
    conversation: Option<u64>,
}

impl Led {
    /// This one goes on.
    pub(super) fn goes_on(&mut self, conversation: u64) {
        self.conversation = Some(conversation);
    }
}

impl Drop for Led {
    fn drop(&mut self) {
        if let Some(conversation) = self.conversation {
            // One that is over is gone already.
            let _ = self.proving.cancel(self.caller, conversation);
        }
    }
}

struct Talk {
    uid: Uid,
    what: ProofFor,
    factor: Factor,
    /// Away while somebody waits for its next step.
    run: Option<PamRun>,
    until: Instant,
}

impl Proving {
    /// With the program that asks PAM.
    pub(super) fn new(requests: mpsc::Sender<Request>, helper: &Path) -> Self {
        Self {
            requests,
            runs: Arc::new(PamRuns::new(helper, Path::new(SERVICES))),
            talks: Arc::default(),
            next: Arc::new(AtomicU64::new(1)),
        }
    }

    /// Begins a conversation, and waits for its first step. An earlier one of the same user ends.
    pub(super) async fn begin(
        &self,
        caller: Caller,
        what: ProofFor,
        factor: Factor,
    ) -> Result<Step, Refusal> {
        let admission = self
            .ask(caller, |reply| {
                ProofRequest::Admit(what.clone(), factor.clone(), reply)
            })
            .await?;
        self.talks()
            .retain(|_, talk| talk.uid != caller.uid && talk.until > Instant::now());
        let service = PamService::new(admission.service.as_str())
            .map_err(|error| Refusal::NotTold(error.to_string()))?;
        let started = self.runs.start(&service, &admission.user, admission.limit);
        let run = match started {
            Ok(run) => run,
            // The user's own doing.
            Err(StartError::Busy) => return Err(Refusal::NotTold(StartError::Busy.to_string())),
            Err(error) => return self.unanswered(caller, what, factor, error.into()).await,
        };
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let talk = Talk {
            uid: caller.uid,
            what,
            factor,
            run: None,
            until: Instant::now() + admission.limit + KEPT,
        };
        self.talks().insert(id, talk);
        self.step(caller, id, run).await
    }

    /// Answers what was asked, or goes on after what was told, and waits for the next step.
    pub(super) async fn respond(
        &self,
        caller: Caller,
        id: u64,
        text: Zeroizing<String>,
    ) -> Result<Step, Refusal> {
        let mut run = self
            .talks()
            .get_mut(&id)
            .filter(|talk| talk.uid == caller.uid)
            .and_then(|talk| talk.run.take())
            .ok_or(Refusal::NoSuchConversation)?;
        use crate::verify::pam::RespondError;
        match run.respond(text).await {
            // After what was told there is nothing to answer.
            Ok(()) | Err(RespondError::NothingAsked | RespondError::Over) => {}
            Err(RespondError::NoAnswer) => {
                if let Some(talk) = self.talks().get_mut(&id) {
                    talk.run = Some(run);
                }
                return Err(Refusal::NotTold(RespondError::NoAnswer.to_string()));
            }
        }
        self.step(caller, id, run).await
    }

    /// Leads this caller's conversations as long as the result is kept.
    pub(super) fn lead(&self, caller: Caller) -> Led {
        Led {
            proving: self.clone(),
            caller,
            conversation: None,
        }
    }

    /// Ends a conversation; nothing is judged.
    pub(super) fn cancel(&self, caller: Caller, id: u64) -> Result<(), Refusal> {
        let mut talks = self.talks();
        match talks.get(&id) {
            Some(talk) if talk.uid == caller.uid => {
                talks.remove(&id);
                Ok(())
            }
            _ => Err(Refusal::NoSuchConversation),
        }
    }

    async fn step(&self, caller: Caller, id: u64, mut run: PamRun) -> Result<Step, Refusal> {
        let step = run.next().await;
        let over = matches!(step, PamStep::Passed(_) | PamStep::Failed(_));
        let (what, factor) = {
            let mut talks = self.talks();
            // Cancelled meanwhile: then nothing of it counts.
            let talk = talks.get_mut(&id).ok_or(Refusal::NoSuchConversation)?;
            let about = (talk.what.clone(), talk.factor.clone());
            match over {
                true => drop(talks.remove(&id)),
                false => talk.run = Some(run),
            }
            about
        };
        match step {
            PamStep::Ask { text, secret } => Ok(Step::Ask {
                conversation: id,
                text,
                secret,
            }),
            PamStep::Tell { text, error } => Ok(Step::Tell {
                conversation: id,
                text,
                error,
            }),
            PamStep::Passed(passed) => self
                .ask(caller, |reply| ProofRequest::Passed(what, passed, reply))
                .await
                .map(Step::Over),
            PamStep::Failed(failure) => {
                if !failure.is_wrong_answer() {
                    return self.unanswered(caller, what, factor, failure.into()).await;
                }
                tracing::info!(uid = %caller.uid, %factor, "{failure}");
                self.ask(caller, |reply| ProofRequest::Failed(what, factor, reply))
                    .await
                    .map(Step::Over)
            }
        }
    }

    /// Has it written down that PAM could not tell, and refuses.
    async fn unanswered(
        &self,
        caller: Caller,
        what: ProofFor,
        factor: Factor,
        why: Unanswered,
    ) -> Result<Step, Refusal> {
        self.ask(caller, |reply| {
            ProofRequest::Unanswered(what, factor, why, reply)
        })
        .await
        .map(Step::Over)
    }

    async fn ask<T>(
        &self,
        caller: Caller,
        request: impl FnOnce(Reply<T>) -> ProofRequest,
    ) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        let request = Request::Proofs(caller, request(reply));
        if self.requests.send(request).await.is_err() {
            return Err(Refusal::Busy);
        }
        answer.await.unwrap_or(Err(Refusal::Busy))
    }

    fn talks(&self) -> MutexGuard<'_, HashMap<u64, Talk>> {
        // No change of it can be left half done.
        self.talks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
