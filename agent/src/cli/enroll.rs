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
use super::text::{BAD, GOOD, HEAD, duration, styled};
use crate::bus::AgentClient;
use crate::clock;
use crate::ids::Uid;
use crate::service::{Answer, Enrollment};
use crate::texts::Texts;

/// Runs the command.
pub(super) async fn run(args: Enroll) -> Result<Exit, Failure> {
    let me = Uid(nix::unistd::geteuid().as_raw());
    let user = args.user.as_deref().map_or(Ok(me), find_user)?;
    let client = AgentClient::connect().await?;
    let replaces = user == me && client.status().await?.enrolled;
    let enrollment = client.enroll_begin(user).await?;
    let json = args.format.json;
    let prompter = prompter(json)?;
    let hint = hint(user, me, replaces);
    finish(&client, user, &prompter, &enrollment, &hint, json).await
}

/// Where codes come from: with --json, and where stdin is no terminal, from stdin.
pub(super) fn prompter(json: bool) -> Result<Prompter, Failure> {
    Prompter::open(json || !std::io::stdin().is_terminal())
}

/// Shows a fresh secret, and has it confirmed.
pub(super) async fn finish(
    client: &AgentClient,
    user: Uid,
    prompter: &Prompter,
    enrollment: &Enrollment,
    hint: &str,
    json: bool,
) -> Result<Exit, Failure> {
    if json {
        print_json(enrollment)?;
    } else {
        show(enrollment, hint)?;
    }
    let answer = confirm(client, user, prompter, enrollment.confirm_seconds).await?;
    if json {
        print_json(&answer)?;
    }
    match answer {
        Answer::Accepted { .. } if json => Ok(Exit::Ok),
        Answer::Accepted { .. } => {
            let text = format!("enrolled: {}", user_name(user));
            print(&styled(GOOD, &text))?;
            print("The secret is still on this screen: clear it before others see it.")?;
            Ok(Exit::Ok)
        }
        Answer::More { .. } => Err(unconfirmed("the agent asks for more")),
        Answer::Wrong { tries_left } => Err(Failure::new(
            Exit::Refused,
            wrong(&Texts::english(), tries_left),
        )),
        Answer::Throttled { retry_seconds } => Err(Failure::new(
            Exit::Refused,
            throttled(&Texts::english(), retry_seconds),
        )),
    }
}

/// Asks for codes until one is right, or none helps any more.
async fn confirm(
    client: &AgentClient,
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
                prompter.say("that is no code; type the digits that the app shows now")?;
                continue;
            }
            Typed::NotACode => return Err(unconfirmed("that is no code")),
            Typed::Nothing => return Err(unconfirmed("no code was given")),
            Typed::TooLate => return Err(unconfirmed("too late")),
        };
        let answer = client.enroll_confirm(user, &code).await?;
        match answer {
            Answer::Wrong { tries_left } if tries_left > 0 && prompter.asks_again() => {
                let text = format!(
                    "{}. Is this computer's clock right?",
                    wrong(&Texts::english(), tries_left)
                );
                prompter.say(&styled(BAD, &text))?;
            }
            other => return Ok(other),
        }
    }
}

fn unconfirmed(why: &str) -> Failure {
    let text = format!("{why}, so the secret doesn't count. Run `stile enroll` again");
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
fn hint(user: Uid, me: Uid, replaces: bool) -> String {
    if replaces {
        "You are enrolled already. Once confirmed, this secret replaces the other one.".to_owned()
    } else if user == me {
        "This secret counts once you have confirmed it.".to_owned()
    } else {
        let name = user_name(user);
        format!("Once confirmed, this secret replaces any other that {name} has.")
    }
}

/// Shows the secret, as picture and as text.
fn show(enrollment: &Enrollment, hint: &str) -> Result<(), Failure> {
    let terminal = std::io::stdout().is_terminal();
    let picture = qr::render(&enrollment.url, terminal).map_err(|error| {
        let text = format!("can't show the secret as a QR code: {error}. Try --json");
        Failure::new(Exit::Refused, text)
    })?;
    let page = Zeroizing::new(format!(
        "{}\n\nor type this secret (time based, TOTP):\n\n  {}\n\n{hint}\nType the code that the \
         app shows, within {}, to confirm it.",
        styled(HEAD, "Scan this with your authenticator app"),
        groups(&enrollment.secret).as_str(),
        duration(enrollment.confirm_seconds),
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
        assert!(hint(me, me, true).contains("replaces the other one"));
        assert!(!hint(me, me, false).contains("replaces"));
        assert!(hint(other, me, false).contains("replaces any other that 4000000 has"));
    }
}
