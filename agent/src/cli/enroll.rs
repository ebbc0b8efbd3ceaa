// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `stile enroll`: shows a fresh secret, and has it confirmed.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use zeroize::Zeroizing;

use super::approve::{throttled, wrong};
use super::args::Enroll;
use super::failure::{Exit, Failure};
use super::output::{print, print_json};
use super::qr;
use super::show::user_name;
use super::terminal::{Prompter, Typed};
use super::text::{BAD, GOOD, HEAD, styled};
use crate::bus::AgentClient;
use crate::clock;
use crate::ids::Uid;
use crate::service::{Answer, Enrollment};
use crate::texts::Texts;
use crate::texts::Value::Text;

/// Runs the command.
pub(super) async fn run(args: Enroll) -> Result<Exit, Failure> {
    let me = Uid(nix::unistd::geteuid().as_raw());
    let user = args.user.as_deref().map_or(Ok(me), find_user)?;
    let client = AgentClient::connect().await?;
    let replaces = user == me && client.status().await?.enrolled;
    let enrollment = client.enroll_begin(user).await?;
    let json = args.format.json;
    let prompter = prompter(json)?;
    let texts = Texts::of_environment();
    let hint = hint(&texts, user, me, replaces);
    finish(&client, &texts, user, &prompter, &enrollment, &hint, json).await
}

/// Where codes come from: with --json, and where stdin is no terminal, from stdin.
pub(super) fn prompter(json: bool) -> Result<Prompter, Failure> {
    Prompter::open(json || !std::io::stdin().is_terminal())
}

/// Shows a fresh secret, and has it confirmed.
pub(super) async fn finish(
    client: &AgentClient,
    texts: &Texts,
    user: Uid,
    prompter: &Prompter,
    enrollment: &Enrollment,
    hint: &str,
    json: bool,
) -> Result<Exit, Failure> {
    if json {
        print_json(enrollment)?;
    } else {
        show(texts, enrollment, hint)?;
    }
    let answer = confirm(client, texts, user, prompter, enrollment.confirm_seconds).await?;
    if json {
        print_json(&answer)?;
    }
    match answer {
        Answer::Accepted { .. } if json => Ok(Exit::Ok),
        Answer::Accepted { .. } => {
            let text = texts.fill("enroll-done", &[("user", Text(&user_name(user)))]);
            print(&styled(GOOD, &text))?;
            print(&texts.say("enroll-clear"))?;
            Ok(Exit::Ok)
        }
        Answer::More { .. } => Err(unconfirmed(texts, "enroll-more")),
        Answer::Wrong { tries_left } => Err(Failure::new(Exit::Refused, wrong(texts, tries_left))),
        Answer::Throttled { retry_seconds } => {
            Err(Failure::new(Exit::Refused, throttled(texts, retry_seconds)))
        }
    }
}

/// Asks for codes until one is right, or none helps any more.
async fn confirm(
    client: &AgentClient,
    texts: &Texts,
    user: Uid,
    prompter: &Prompter,
    confirm_seconds: u64,
) -> Result<Answer, Failure> {
    let deadline = clock::now()
        .boot
        .after(Duration::from_secs(confirm_seconds));
    loop {
        let typed = prompter.code(deadline.since(clock::now().boot)).await?;
        let code = match typed {
            Typed::Code(code) => code,
            Typed::NotACode if prompter.asks_again() => {
                prompter.say(&texts.say("cli-no-code-again"))?;
                continue;
            }
            Typed::NotACode => return Err(unconfirmed(texts, "cli-no-code")),
            Typed::Nothing => return Err(unconfirmed(texts, "enroll-none")),
            Typed::TooLate => return Err(unconfirmed(texts, "enroll-late")),
        };
        let answer = client.enroll_confirm(user, &code).await?;
        match answer {
            Answer::Wrong { tries_left } if tries_left > 0 && prompter.asks_again() => {
                let clock = texts.say("enroll-clock");
                let text = format!("{}. {clock}", wrong(texts, tries_left));
                prompter.say(&styled(BAD, &text))?;
            }
            other => return Ok(other),
        }
    }
}

fn unconfirmed(texts: &Texts, why: &str) -> Failure {
    let text = texts.fill("enroll-not", &[("why", Text(&texts.say(why)))]);
    Failure::new(Exit::Refused, text)
}

/// Who is meant by a name or, where nobody has that name, a number.
pub(super) fn find_user(text: &str) -> Result<Uid, Failure> {
    match nix::unistd::User::from_name(text) {
        Ok(Some(user)) => return Ok(Uid(user.uid.as_raw())),
        Ok(None) => {}
        Err(error) => {
            let text = format!("can't look user {text:?} up: {error}. Name the uid instead");
            return Err(Failure::new(Exit::Refused, text));
        }
    }
    text.parse().map(Uid).map_err(|_| {
        let text = format!("no user is called {text:?}. See `getent passwd`");
        Failure::new(Exit::Usage, text)
    })
}

/// What happens to another secret.
fn hint(texts: &Texts, user: Uid, me: Uid, replaces: bool) -> String {
    if replaces {
        texts.say("enroll-replaces")
    } else if user == me {
        texts.say("enroll-counts")
    } else {
        texts.fill("enroll-replaces-of", &[("user", Text(&user_name(user)))])
    }
}

/// Shows the secret, as picture and as text.
fn show(texts: &Texts, enrollment: &Enrollment, hint: &str) -> Result<(), Failure> {
    let terminal = std::io::stdout().is_terminal();
    let picture = qr::render(&enrollment.url, terminal).map_err(|error| {
        let text = format!("can't show the secret as a QR code: {error}. Try --json");
        Failure::new(Exit::Refused, text)
    })?;
    let time = texts.span(enrollment.confirm_seconds);
    let page = Zeroizing::new(format!(
        "{}\n\n{}\n\n  {}\n\n{hint}\n{}",
        styled(HEAD, &texts.say("enroll-scan")),
        texts.say("enroll-type"),
        groups(&enrollment.secret).as_str(),
        texts.fill("enroll-confirm", &[("time", Text(&time))]),
    ));
    // Not through anstream: with NO_COLOR it would take the colours off the QR code.
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}\n", picture.trim_end_matches('\n'))
        .and_then(|()| out.flush())
        .map_err(|error| Failure::output(&error))?;
    drop(out);
    print(&page)
}

/// The secret in groups of four, as it is typed.
fn groups(secret: &str) -> Zeroizing<String> {
    let mut grouped = Zeroizing::new(String::with_capacity(secret.len() * 2));
    for (i, c) in secret
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .enumerate()
    {
        if i > 0 && i % 4 == 0 {
            grouped.push(' ');
        }
        grouped.push(c);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_typed_in_groups_of_four() {
        assert_eq!(groups("GEZDGNBVGY3T").as_str(), "GEZD GNBV GY3T");
        assert_eq!(groups("GEZDGN").as_str(), "GEZD GN");
        assert_eq!(groups("\x1bGE").as_str(), "GE");
    }

    #[test]
    fn users_are_found_by_name_and_by_number() {
        assert_eq!(find_user("root").unwrap(), Uid(0));
        assert_eq!(find_user("0").unwrap(), Uid(0));
        assert_eq!(find_user("4000000").unwrap(), Uid(4_000_000));
        let failure = find_user("no-such-user").unwrap_err();
        assert_eq!(failure.exit(), Exit::Usage);
        assert!(find_user("-1").is_err());
    }

    #[test]
    fn the_hint_says_what_becomes_of_another_secret() {
        let (me, other) = (Uid(0), Uid(4_000_000));
        let hint = |user, replaces| hint(&Texts::english(), user, me, replaces);
        assert!(hint(me, true).contains("replaces the other one"));
        assert!(!hint(me, false).contains("replaces"));
        assert!(hint(other, false).contains("replaces any other that 4000000 has"));
    }
}
