// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `stile approve`: shows what wants to connect, and passes the code on.

use std::time::Duration;

use jiff::tz::TimeZone;

use super::answer_args::Approve;
use super::failure::{Exit, Failure};
use super::output::{print, print_json};
use super::proof::{chosen, converse};
use super::reason::reason;
use super::show::pending_table;
use super::terminal::{Prompter, Typed};
use super::text::{BAD, GOOD, HEAD, escape, styled};
use crate::bus::{AgentClient, ClientError, Refused};
use crate::ids::{ChallengeId, Uid};
use crate::service::{Answer, ChallengeView, ProofFor};
use crate::texts::Value::{Number, Text};
use crate::texts::{Texts, details, heading, warning};

/// Runs the command.
pub(super) async fn run(args: Approve) -> Result<Exit, Failure> {
    let texts = Texts::of_environment();
    let client = AgentClient::connect().await?;
    let mut challenge = select(
        &texts,
        own(client.pending().await?),
        args.id.map(ChallengeId),
        "approve",
    )?;
    let prompter = Prompter::open(args.stdin)?;
    prompter.say(&block(&texts, &challenge, &TimeZone::system()))?;
    let patience = Duration::from_secs(challenge.seconds_left);
    let (asked, given) = (challenge.asked_reason(), args.with.reason.as_deref());
    if let Some(why) = reason(&texts, &prompter, &asked, given, patience).await? {
        let kept = client.explain(challenge.id, &why).await;
        kept.map_err(|error| refused(&texts, error))?;
        challenge = still_pending(&texts, &client, &challenge).await?;
    }
    let mut named = args.with.factor;
    loop {
        let answer = match chosen(named.as_deref(), &challenge.factors) {
            Some(factor) => {
                let what = ProofFor::Challenge(challenge.id);
                converse(&texts, &prompter, &what, &factor).await?
            }
            None => by_code(&texts, &client, &prompter, &mut challenge).await?,
        };
        match &answer {
            Answer::More { factors } if prompter.asks_again() && !factors.is_empty() => {
                prompter.say(&more(&texts, factors))?;
                challenge = still_pending(&texts, &client, &challenge).await?;
                named = None;
            }
            _ => return conclude(&texts, &challenge, &answer, args.format.json),
        }
    }
}

/// Asks for codes until one is right, or no further one would help.
async fn by_code(
    texts: &Texts,
    client: &AgentClient,
    prompter: &Prompter,
    challenge: &mut ChallengeView,
) -> Result<Answer, Failure> {
    loop {
        let patience = Duration::from_secs(challenge.seconds_left);
        let code = match prompter.code(patience).await? {
            Typed::Code(code) => code,
            Typed::NotACode if prompter.asks_again() => {
                prompter.say(&texts.say("cli-no-code-again"))?;
                *challenge = still_pending(texts, client, challenge).await?;
                continue;
            }
            Typed::NotACode => {
                return Err(Failure::new(Exit::Refused, texts.say("cli-no-code")));
            }
            Typed::Nothing => return Err(left(texts, challenge)),
            Typed::TooLate => return Err(too_late(texts)),
        };
        let answered = client.answer(challenge.id, &code).await;
        let answer = answered.map_err(|error| refused(texts, error))?;
        if let Answer::Wrong { tries_left } = answer
            && tries_left > 0
            && prompter.asks_again()
        {
            prompter.say(&styled(BAD, &wrong(texts, tries_left)))?;
            *challenge = still_pending(texts, client, challenge).await?;
            continue;
        }
        return Ok(answer);
    }
}

/// Says what became of the last code.
fn conclude(
    texts: &Texts,
    challenge: &ChallengeView,
    answer: &Answer,
    json: bool,
) -> Result<Exit, Failure> {
    if json {
        print_json(answer)?;
    }
    match outcome(texts, &challenge.endpoint, answer) {
        Ok(text) if !json => print(&styled(GOOD, &text)).map(|()| Exit::Ok),
        Ok(_) => Ok(Exit::Ok),
        Err(text) => Err(Failure::new(Exit::Refused, text)),
    }
}

/// The last line: what was approved, or why not.
pub(super) fn outcome(texts: &Texts, endpoint: &str, answer: &Answer) -> Result<String, String> {
    match answer {
        &Answer::Accepted {
            until_seconds,
            released,
        } => Ok(texts.fill(
            "cli-approved",
            &[
                ("endpoint", Text(&escape(endpoint))),
                ("time", Text(&texts.span(until_seconds))),
                ("number", Number(released.into())),
            ],
        )),
        &Answer::Wrong { tries_left } => Err(wrong(texts, tries_left)),
        &Answer::Throttled { retry_seconds } => Err(throttled(texts, retry_seconds)),
        Answer::More { factors } => Err(more(texts, factors)),
    }
}

/// A code was wrong.
pub(super) fn wrong(texts: &Texts, tries_left: u32) -> String {
    texts.fill("cli-wrong", &[("number", Number(tries_left.into()))])
}

/// A code was not looked at.
pub(super) fn throttled(texts: &Texts, retry_seconds: u64) -> String {
    let time = texts.span(retry_seconds);
    texts.fill("cli-throttled", &[("time", Text(&time))])
}

/// A proof was right, and more is asked for.
pub(super) fn more(texts: &Texts, factors: &[String]) -> String {
    let factors = escape(&factors.join(", "));
    texts.fill("cli-more", &[("factors", Text(&factors))])
}

fn left(texts: &Texts, challenge: &ChallengeView) -> Failure {
    let id = challenge.id.to_string();
    Failure::new(Exit::Refused, texts.fill("cli-left", &[("id", Text(&id))]))
}

/// The agent has not taken the code.
fn refused(texts: &Texts, error: ClientError) -> Failure {
    match error {
        ClientError::Refused(Refused::ChallengeOver(_)) => too_late(texts),
        other => other.into(),
    }
}

fn too_late(texts: &Texts) -> Failure {
    Failure::new(Exit::Refused, texts.say("cli-too-late"))
}

/// The challenge as it is now.
async fn still_pending(
    texts: &Texts,
    client: &AgentClient,
    challenge: &ChallengeView,
) -> Result<ChallengeView, Failure> {
    let pending = client.pending().await?;
    pending
        .into_iter()
        .find(|view| view.id == challenge.id)
        .ok_or_else(|| too_late(texts))
}

/// Root sees everybody's, but answers only what is asked of root.
fn own(mut pending: Vec<ChallengeView>) -> Vec<ChallengeView> {
    let me = Uid(nix::unistd::geteuid().as_raw());
    pending.retain(|view| view.uid == me);
    pending
}

/// The challenge that is meant: the one that is named, or the only one there is.
pub(super) fn select(
    texts: &Texts,
    mut pending: Vec<ChallengeView>,
    wanted: Option<ChallengeId>,
    command: &str,
) -> Result<ChallengeView, Failure> {
    if let Some(id) = wanted {
        let shown = id.to_string();
        let text = || texts.fill("cli-not-pending", &[("id", Text(&shown))]);
        return pending
            .into_iter()
            .find(|view| view.id == id)
            .ok_or_else(|| Failure::new(Exit::Nothing, text()));
    }
    match pending.len() {
        0 => Err(Failure::new(
            Exit::Nothing,
            texts.say("cli-nothing-pending"),
        )),
        1 => Ok(pending.swap_remove(0)),
        _ => {
            let id = pending[0].id.to_string();
            let values = [("command", Text(command)), ("id", Text(&id))];
            let text = texts.fill("cli-several-pending", &values);
            let table = pending_table(&pending, Some(80));
            Err(Failure::new(Exit::Usage, format!("{text}\n\n{table}")))
        }
    }
}

/// What is asked for, for the one who answers.
fn block(texts: &Texts, challenge: &ChallengeView, zone: &TimeZone) -> String {
    let details = details(texts, challenge, Some(challenge.seconds_left), zone);
    let columns = details.iter().map(|(label, _)| label.chars().count());
    let columns = columns.max().unwrap_or_default();
    let mut lines = vec![styled(HEAD, &heading(texts, challenge))];
    lines.extend(warning(texts, challenge).map(|text| styled(BAD, &text)));
    lines.extend(
        details
            .iter()
            .map(|(label, value)| format!("  {label:columns$}  {value}")),
    );
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;

    fn english() -> Texts {
        Texts::english()
    }

    fn challenge(id: u64) -> ChallengeView {
        ChallengeView {
            id: ChallengeId(id),
            uid: Uid(nix::unistd::geteuid().as_raw()),
            endpoint: "prod-db".into(),
            destination: "10.20.0.1:5432".into(),
            rule: "dba step-up".into(),
            realm: "prod".into(),
            program: "/usr/bin/psql".into(),
            pid: 4242,
            parent: "bash".into(),
            terminal: "pts/3".into(),
            from: String::new(),
            session: String::new(),
            reasons: Vec::new(),
            warnings: Vec::new(),
            waiting: 2,
            scope: "user".into(),
            ttl_seconds: 900,
            also: Vec::new(),
            deadline: 1_767_582_058,
            seconds_left: 58,
            factors: vec!["totp".into()],
            reason: String::new(),
            reason_name: String::new(),
            reason_pattern: String::new(),
        }
    }

    #[test]
    fn the_only_challenge_is_meant_without_a_name() {
        let selected = select(&english(), vec![challenge(7)], None, "approve").unwrap();
        assert_eq!(selected.id, ChallengeId(7));
    }

    #[test]
    fn of_several_one_has_to_be_named() {
        let both = || vec![challenge(7), challenge(9)];
        let failure = select(&english(), both(), None, "approve").unwrap_err();
        assert_eq!(failure.exit(), Exit::Usage);
        assert!(failure.text().contains("`stile approve 7`"));
        assert!(failure.text().contains("\n9   58s "), "{}", failure.text());
        let selected = select(&english(), both(), Some(ChallengeId(9)), "approve").unwrap();
        assert_eq!(selected.id, ChallengeId(9));
    }

    #[test]
    fn what_is_not_there_is_nothing_to_do() {
        let failure = select(&english(), vec![], None, "approve").unwrap_err();
        assert_eq!(failure.exit(), Exit::Nothing);
        let failure =
            select(&english(), vec![challenge(7)], Some(ChallengeId(8)), "deny").unwrap_err();
        assert_eq!(failure.exit(), Exit::Nothing);
    }

    #[test]
    fn the_challenge_of_another_user_is_not_ours_to_answer() {
        let mut foreign = challenge(7);
        foreign.uid = Uid(foreign.uid.0 + 1);
        assert_eq!(own(vec![foreign, challenge(8)]), [challenge(8)]);
    }

    #[test]
    fn the_block_says_what_is_asked_for() {
        assert_eq!(
            strip_str(&block(&english(), &challenge(7), &TimeZone::UTC)).to_string(),
            "psql wants to reach prod-db\n  \
             Destination   10.20.0.1:5432\n  \
             Program       /usr/bin/psql (pid 4242)\n  \
             Started by    bash on pts/3\n  \
             Rule          dba step-up\n  \
             A code gives  prod-db for 15 minutes, all your programs\n  \
             Request       7, open until 03:00:58 (58 seconds left)\n  \
             Waiting       2 connections"
        );
    }

    #[test]
    fn a_program_cannot_draw_over_the_block() {
        let mut view = challenge(7);
        view.program = "/tmp/x\x1b[5A\x1b[2Kprogram /usr/bin/psql".into();
        view.parent = "\u{202e}hsab".into();
        let text = strip_str(&block(&english(), &view, &TimeZone::UTC)).to_string();
        assert!(text.contains("/tmp/x\\u{1b}[5A"), "{text}");
        assert!(text.contains("\\u{202e}hsab"), "{text}");
    }

    #[test]
    fn each_outcome_reads_well() {
        let accepted = |released| Answer::Accepted {
            until_seconds: 900,
            released,
        };
        let say = |answer| outcome(&english(), "prod-db", &answer);
        assert_eq!(
            say(accepted(1)).unwrap(),
            "approved: prod-db for 15 minutes, 1 connection goes on"
        );
        assert_eq!(
            say(accepted(2)).unwrap(),
            "approved: prod-db for 15 minutes, 2 connections go on"
        );
        assert_eq!(
            say(Answer::Wrong { tries_left: 1 }).unwrap_err(),
            "wrong code; 1 try is left"
        );
        assert_eq!(
            say(Answer::Throttled { retry_seconds: 65 }).unwrap_err(),
            "too many wrong codes. Try again in 1 minute 5 seconds"
        );
    }
}
