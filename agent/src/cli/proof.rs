// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Proofs that take a conversation, on a terminal.

use std::time::Duration;

use zeroize::Zeroizing;

use super::approve::{more, wrong};
use super::failure::{Exit, Failure};
use super::terminal::{Prompter, Typed};
use super::text::{BAD, escape, styled};
use crate::bus::{AgentClient, ClientError};
use crate::service::{Answer, ProofFor, ProofStep};
use crate::texts::Texts;

/// How long an answer is waited for; the agent ends the conversation sooner.
const PATIENCE: Duration = Duration::from_secs(300);

/// The factor that is meant: the one that is named; else, where no code will do, the first other
/// one that will. `None` for a code.
pub(super) fn chosen(named: Option<&str>, possible: &[String]) -> Option<String> {
    let is_code = |factor: &str| matches!(factor, "totp" | "recovery");
    match named {
        Some(named) if is_code(named) => None,
        Some(named) => Some(named.to_owned()),
        None if possible.iter().any(|factor| is_code(factor)) => None,
        None => possible.first().cloned(),
    }
}

/// A proof that nothing waits for, and whom it is asked of.
pub(super) struct Asked<'a> {
    pub(super) texts: &'a Texts,
    pub(super) prompter: &'a Prompter,
    /// What it is for.
    pub(super) what: ProofFor,
    /// The factors that will do.
    pub(super) possible: Vec<String>,
    /// The factor that was named.
    pub(super) named: Option<String>,
}

impl Asked<'_> {
    /// Asks for one factor after the other, until all that is asked for was given or no further
    /// one would help. `give` hands a code in.
    pub(super) async fn answer(
        mut self,
        give: impl AsyncFn(&Zeroizing<String>) -> Result<Answer, ClientError>,
    ) -> Result<Answer, Failure> {
        loop {
            let answer = match chosen(self.named.as_deref(), &self.possible) {
                Some(factor) => converse(self.texts, self.prompter, &self.what, &factor).await?,
                None => self.by_code(&give).await?,
            };
            match answer {
                Answer::More { factors } if self.prompter.asks_again() && !factors.is_empty() => {
                    self.prompter.say(&more(self.texts, &factors))?;
                    (self.possible, self.named) = (factors, None);
                }
                answer => return Ok(answer),
            }
        }
    }

    /// Asks for codes until one is right, or no further one would help.
    async fn by_code(
        &self,
        give: &impl AsyncFn(&Zeroizing<String>) -> Result<Answer, ClientError>,
    ) -> Result<Answer, Failure> {
        let Self {
            texts, prompter, ..
        } = self;
        loop {
            let code = match prompter.code(PATIENCE).await? {
                Typed::Code(code) => code,
                Typed::NotACode if prompter.asks_again() => {
                    prompter.say(&texts.say("cli-no-code-again"))?;
                    continue;
                }
                Typed::NotACode => {
                    return Err(Failure::new(Exit::Refused, texts.say("cli-no-code")));
                }
                Typed::Nothing | Typed::TooLate => {
                    return Err(Failure::new(Exit::Refused, texts.say("cli-not-elevated")));
                }
            };
            match give(&code).await? {
                Answer::Wrong { tries_left } if tries_left > 0 && prompter.asks_again() => {
                    prompter.say(&styled(BAD, &wrong(texts, tries_left)))?;
                }
                answer => return Ok(answer),
            }
        }
    }
}

/// Leads one conversation to its end.
pub(super) async fn converse(
    texts: &Texts,
    prompter: &Prompter,
    what: &ProofFor,
    factor: &str,
) -> Result<Answer, Failure> {
    let client = AgentClient::connect_for_proof().await?;
    let mut step = client.begin_proof(what, factor).await?;
    loop {
        step = match step {
            ProofStep::Over(answer) => return Ok(answer),
            ProofStep::Tell {
                conversation,
                text,
                error,
            } => {
                let text = shown(&text);
                prompter.say(&if error { styled(BAD, &text) } else { text })?;
                client.respond(conversation, &String::new().into()).await?
            }
            ProofStep::Ask {
                conversation,
                text,
                secret,
            } => {
                let question = shown(&text);
                let asked = prompter.answer(&question, PATIENCE, secret);
                let Some(answer) = asked.await? else {
                    client.cancel_proof(conversation).await?;
                    return Err(Failure::new(Exit::Refused, texts.say("cli-no-code")));
                };
                client.respond(conversation, &answer).await?
            }
        };
    }
}

/// What a module says, in lines.
fn shown(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(escape).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_asked_for_wherever_one_will_do() {
        let possible = |names: &[&str]| -> Vec<String> {
            names.iter().map(|name| (*name).to_owned()).collect()
        };
        let pam = "pam:stile-stepup";
        assert_eq!(chosen(None, &possible(&["totp", pam])), None);
        assert_eq!(chosen(None, &possible(&[pam, "recovery"])), None);
        assert_eq!(chosen(None, &possible(&[pam])).as_deref(), Some(pam));
        assert_eq!(chosen(None, &[]), None);
        assert_eq!(chosen(Some("totp"), &possible(&[pam])), None);
        assert_eq!(
            chosen(Some(pam), &possible(&["totp"])).as_deref(),
            Some(pam)
        );
    }

    #[test]
    fn what_a_module_says_moves_no_cursor() {
        assert_eq!(shown("one\ntwo\u{1b}[2J"), "one\ntwo\\u{1b}[2J");
    }
}
