// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `stile approve`: shows what wants to connect, and passes the code on.

use std::time::Duration;

use super::args::Approve;
use super::failure::{Exit, Failure};
use super::output::{print, print_json};
use super::show::pending_table;
use super::terminal::{Prompter, Typed};
use super::text::{BAD, GOOD, HEAD, count, duration, escape, styled};
use crate::bus::AgentClient;
use crate::ids::{ChallengeId, Uid};
use crate::service::{Answer, ChallengeView};

/// Runs the command.
pub(super) async fn run(args: Approve) -> Result<Exit, Failure> {
    let client = AgentClient::connect().await?;
    let mut challenge = select(
        own(client.pending().await?),
        args.id.map(ChallengeId),
        "approve",
    )?;
    let prompter = Prompter::open(args.stdin)?;
    prompter.say(&block(&challenge))?;
    loop {
        let patience = Duration::from_secs(challenge.seconds_left);
        let code = match prompter.code(patience).await? {
            Typed::Code(code) => code,
            Typed::NotACode if prompter.asks_again() => {
                prompter.say("that is no code; type the digits that your app shows")?;
                challenge = still_pending(&client, &challenge).await?;
                continue;
            }
            Typed::NotACode => return Err(Failure::new(Exit::Refused, "that is no code")),
            Typed::Nothing => return Err(left(&challenge)),
            Typed::TooLate => return Err(too_late()),
        };
        let answer = client.answer(challenge.id, &code).await?;
        if let Answer::Wrong { tries_left } = answer
            && tries_left > 0
            && prompter.asks_again()
        {
            prompter.say(&styled(BAD, &wrong(tries_left)))?;
            challenge = still_pending(&client, &challenge).await?;
            continue;
        }
        return conclude(&challenge, &answer, args.format.json);
    }
}

/// Says what became of the last code.
fn conclude(challenge: &ChallengeView, answer: &Answer, json: bool) -> Result<Exit, Failure> {
    if json {
        print_json(answer)?;
    }
    match outcome(challenge, answer) {
        Ok(text) if !json => print(&styled(GOOD, &text)).map(|()| Exit::Ok),
        Ok(_) => Ok(Exit::Ok),
        Err(text) => Err(Failure::new(Exit::Refused, text)),
    }
}

/// The last line: what was approved, or why not.
fn outcome(challenge: &ChallengeView, answer: &Answer) -> Result<String, String> {
    match *answer {
        Answer::Accepted {
            until_seconds,
            released,
        } => Ok(format!(
            "approved: {} for {}, {} {} on",
            escape(&challenge.endpoint),
            duration(until_seconds),
            count(released, "connection"),
            if released == 1 { "goes" } else { "go" },
        )),
        Answer::Wrong { tries_left } => Err(wrong(tries_left)),
        Answer::Throttled { retry_seconds } => Err(throttled(retry_seconds)),
    }
}

/// A code was wrong.
pub(super) fn wrong(tries_left: u32) -> String {
    match tries_left {
        0 => "wrong code, and no tries are left for now. Wait a little".to_owned(),
        1 => "wrong code; 1 try is left".to_owned(),
        _ => format!("wrong code; {tries_left} tries are left"),
    }
}

/// A code was not looked at.
pub(super) fn throttled(retry_seconds: u64) -> String {
    format!(
        "too many wrong codes. Try again in {}",
        duration(retry_seconds)
    )
}

fn left(challenge: &ChallengeView) -> Failure {
    let text = format!(
        "not answered; it waits on. `stile deny {}` ends it at once",
        challenge.id
    );
    Failure::new(Exit::Refused, text)
}

fn too_late() -> Failure {
    let text = "too late: the connection was given up. Connect again";
    Failure::new(Exit::Refused, text)
}

/// The challenge as it is now.
async fn still_pending(
    client: &AgentClient,
    challenge: &ChallengeView,
) -> Result<ChallengeView, Failure> {
    let pending = client.pending().await?;
    pending
        .into_iter()
        .find(|view| view.id == challenge.id)
        .ok_or_else(too_late)
}

/// Root sees everybody's, but answers only what is asked of root.
fn own(mut pending: Vec<ChallengeView>) -> Vec<ChallengeView> {
    let me = Uid(nix::unistd::geteuid().as_raw());
    pending.retain(|view| view.uid == me);
    pending
}

/// The challenge that is meant: the one that is named, or the only one there is.
pub(super) fn select(
    mut pending: Vec<ChallengeView>,
    wanted: Option<ChallengeId>,
    command: &str,
) -> Result<ChallengeView, Failure> {
    if let Some(id) = wanted {
        let text = || format!("no challenge {id} of yours is pending. `stile pending` lists them");
        return pending
            .into_iter()
            .find(|view| view.id == id)
            .ok_or_else(|| Failure::new(Exit::Nothing, text()));
    }
    match pending.len() {
        0 => Err(Failure::new(Exit::Nothing, "nothing is pending")),
        1 => Ok(pending.swap_remove(0)),
        _ => Err(Failure::new(
            Exit::Usage,
            format!(
                "several are pending. Name one, as in `stile {command} {}`\n\n{}",
                pending[0].id,
                pending_table(&pending, Some(80))
            ),
        )),
    }
}

/// What a code gives.
pub(super) fn gives(challenge: &ChallengeView) -> String {
    let what = match challenge.scope.as_str() {
        "socket" => "this connection".to_owned(),
        _ => {
            let endpoints = [&challenge.endpoint].into_iter().chain(&challenge.also);
            let endpoints: Vec<_> = endpoints.map(|name| escape(name)).collect();
            endpoints.join(", ")
        }
    };
    format!("{what} for {}", duration(challenge.ttl_seconds))
}

/// What is asked for, for the one who answers.
fn block(challenge: &ChallengeView) -> String {
    let head = format!(
        "Challenge {}: {} left to answer",
        challenge.id,
        duration(challenge.seconds_left)
    );
    let because = match challenge.reasons.as_slice() {
        [] => String::new(),
        reasons => format!("\n  because      {}", escape(&reasons.join("; "))),
    };
    format!(
        "{}\n  program      {}\n  pid          {}, started by {}\n  destination  {}\n  \
         endpoint     {}\n  rule         {}{because}\n  waiting      {}\n  a code gives {}",
        styled(HEAD, &head),
        escape(&challenge.program),
        challenge.pid,
        escape(&challenge.origin()),
        escape(&challenge.destination),
        escape(&challenge.endpoint),
        escape(&challenge.rule),
        count(challenge.waiting, "connection"),
        styled(HEAD, &gives(challenge)),
    )
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;

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
        }
    }

    #[test]
    fn the_only_challenge_is_meant_without_a_name() {
        let selected = select(vec![challenge(7)], None, "approve").unwrap();
        assert_eq!(selected.id, ChallengeId(7));
    }

    #[test]
    fn of_several_one_has_to_be_named() {
        let both = || vec![challenge(7), challenge(9)];
        let failure = select(both(), None, "approve").unwrap_err();
        assert_eq!(failure.exit(), Exit::Usage);
        assert!(failure.text().contains("`stile approve 7`"));
        assert!(failure.text().contains("\n9   58s "), "{}", failure.text());
        let selected = select(both(), Some(ChallengeId(9)), "approve").unwrap();
        assert_eq!(selected.id, ChallengeId(9));
    }

    #[test]
    fn what_is_not_there_is_nothing_to_do() {
        let failure = select(vec![], None, "approve").unwrap_err();
        assert_eq!(failure.exit(), Exit::Nothing);
        let failure = select(vec![challenge(7)], Some(ChallengeId(8)), "deny").unwrap_err();
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
            strip_str(&block(&challenge(7))).to_string(),
            "Challenge 7: 58s left to answer\n  \
             program      /usr/bin/psql\n  \
             pid          4242, started by bash on pts/3\n  \
             destination  10.20.0.1:5432\n  \
             endpoint     prod-db\n  \
             rule         dba step-up\n  \
             waiting      2 connections\n  \
             a code gives prod-db for 15m 00s"
        );
    }

    #[test]
    fn a_program_cannot_draw_over_the_block() {
        let mut view = challenge(7);
        view.program = "/tmp/x\x1b[5A\x1b[2Kprogram /usr/bin/psql".into();
        view.parent = "\u{202e}hsab".into();
        let text = strip_str(&block(&view)).to_string();
        assert!(text.contains("/tmp/x\\u{1b}[5A"), "{text}");
        assert!(text.contains("\\u{202e}hsab"), "{text}");
    }

    #[test]
    fn each_outcome_reads_well() {
        let accepted = |released| Answer::Accepted {
            until_seconds: 900,
            released,
        };
        let say = |answer| outcome(&challenge(7), &answer);
        assert_eq!(
            say(accepted(1)).unwrap(),
            "approved: prod-db for 15m 00s, 1 connection goes on"
        );
        assert_eq!(
            say(accepted(2)).unwrap(),
            "approved: prod-db for 15m 00s, 2 connections go on"
        );
        assert_eq!(
            say(Answer::Wrong { tries_left: 1 }).unwrap_err(),
            "wrong code; 1 try is left"
        );
        assert_eq!(
            say(Answer::Throttled { retry_seconds: 65 }).unwrap_err(),
            "too many wrong codes. Try again in 1m 05s"
        );
    }
}
