// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reasons, on a terminal: why somebody wants through.

use std::time::Duration;

use super::failure::{Exit, Failure};
use super::terminal::Prompter;
use super::text::{BAD, escape, styled};
use crate::policy::{ReasonAsked, ReasonPattern, ReasonRefused};
use crate::service::ReasonView;
use crate::texts::Value::{Number, Text};
use crate::texts::{Texts, reason_label};

/// The reason that was given on the command line, or else is typed now. `None` if there is none and
/// none is required.
pub(super) async fn reason(
    texts: &Texts,
    prompter: &Prompter,
    view: &ReasonView,
    named: Option<&str>,
    patience: Duration,
) -> Result<Option<String>, Failure> {
    let refused = |text: String| Failure::new(Exit::Refused, text);
    let asked = asked(view);
    let what = escape(&reason_label(texts, view));
    if let Some(text) = named {
        asked
            .check(text)
            .map_err(|why| refused(say(texts, view, &why)))?;
        return Ok(Some(text.trim().to_owned()));
    }
    if view.demand.is_empty() || (!asked.required && !prompter.asks_again()) {
        return Ok(None);
    }
    if !prompter.asks_again() {
        return Err(refused(
            texts.fill("cli-reason-missing", &[("what", Text(&what))]),
        ));
    }
    loop {
        let question = match asked.required {
            true => "cli-reason",
            false => "cli-reason-optional",
        };
        let question = texts.fill(question, &[("what", Text(&what))]);
        let Some(typed) = prompter.answer(&question, patience, false).await? else {
            return Err(refused(texts.say("cli-not-elevated")));
        };
        match asked.check(&typed) {
            Ok(()) => return Ok(Some(typed.trim().to_owned()).filter(|text| !text.is_empty())),
            Err(ReasonRefused::Missing) => {
                return Err(refused(
                    texts.fill("cli-reason-missing", &[("what", Text(&what))]),
                ));
            }
            Err(why) => prompter.say(&styled(BAD, &say(texts, view, &why)))?,
        }
    }
}

/// What the agent will check; it knows what this doesn't tell.
fn asked(view: &ReasonView) -> ReasonAsked {
    ReasonAsked {
        required: view.demand == "required",
        pattern: ReasonPattern::new(&view.pattern).ok(),
        ..ReasonAsked::FREE
    }
}

/// What is wrong with a reason.
fn say(texts: &Texts, view: &ReasonView, why: &ReasonRefused) -> String {
    let what = escape(&reason_label(texts, view));
    match why {
        ReasonRefused::Missing => texts.fill("cli-reason-missing", &[("what", Text(&what))]),
        ReasonRefused::TooLong => texts.fill(
            "cli-reason-long",
            &[("number", Number(crate::policy::MAX_REASON as u64))],
        ),
        ReasonRefused::TooShort(least) => {
            texts.fill("cli-reason-short", &[("number", Number(*least as u64))])
        }
        ReasonRefused::Control => texts.say("cli-reason-control"),
        ReasonRefused::Unlike(_) => texts.fill("cli-reason-unlike", &[("what", Text(&what))]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket() -> ReasonView {
        ReasonView {
            demand: "required".into(),
            name: "ticket".into(),
            pattern: "[A-Z]+-[0-9]+".into(),
        }
    }

    async fn by_stdin(view: &ReasonView, named: Option<&str>) -> Result<Option<String>, String> {
        let prompter = Prompter::open(true).unwrap();
        let patience = Duration::from_secs(1);
        let given = reason(&Texts::english(), &prompter, view, named, patience).await;
        given.map_err(|failure| failure.text().to_owned())
    }

    #[tokio::test]
    async fn a_reason_on_the_command_line_is_checked_before_a_code_is_asked_for() {
        let given = by_stdin(&ticket(), Some(" OPS-12 ")).await;
        assert_eq!(given, Ok(Some("OPS-12".to_owned())));
        let refused = by_stdin(&ticket(), Some("because")).await.unwrap_err();
        assert_eq!(
            refused,
            "the reason doesn't fit: Reason: ticket, like [A-Z]+-[0-9]+"
        );
    }

    #[tokio::test]
    async fn who_can_not_be_asked_is_told_how_to_give_one() {
        let refused = by_stdin(&ticket(), None).await.unwrap_err();
        assert!(refused.contains("--reason"), "{refused}");
        assert_eq!(by_stdin(&ticket().optional(), None).await, Ok(None));
        assert_eq!(by_stdin(&ReasonView::default(), None).await, Ok(None));
    }
}
