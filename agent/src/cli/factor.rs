// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `stile factor` and `stile unlock`.

use std::time::Duration;

use jiff::tz::TimeZone;
use zeroize::Zeroizing;

use super::enroll::{self, find_user};
use super::factor_args::{
    Factor, FactorAdd, FactorList, FactorRecovery, FactorRemove, FactorRename, FactorTest, Unlock,
    Whose,
};
use super::factor_import;
use super::failure::{Exit, Failure};
use super::output::{columns, print, print_json};
use super::show::user_name;
use super::table::{Cut, Table};
use super::terminal::{Prompter, Typed};
use super::text::{BAD, GOOD, HEAD, duration, escape, styled};
use crate::bus::{AgentClient, ClientError, Refused};
use crate::ids::Uid;
use crate::service::{CodeTestView, FactorView};
use crate::texts::Texts;

/// How long a code is waited for.
const PATIENCE: Duration = Duration::from_secs(300);

/// Runs the command.
pub(super) async fn run(factor: Factor) -> Result<Exit, Failure> {
    match factor {
        Factor::List(args) => list(args).await,
        Factor::Add(args) => add(args).await,
        Factor::Import(args) => factor_import::run(args).await,
        Factor::Rename(args) => rename(args).await,
        Factor::Remove(args) => remove(args).await,
        Factor::Test(args) => test(args).await,
        Factor::Recovery(args) => recovery(args).await,
    }
}

/// `stile unlock`.
pub(super) async fn unlock(args: Unlock) -> Result<Exit, Failure> {
    let user = find_user(&args.user)?;
    let client = AgentClient::connect_as_admin().await?;
    let unlocked = client.unlock(user).await?;
    if args.format.json {
        print_json(&serde_json::json!({ "uid": user.0, "unlocked": unlocked }))?;
    }
    match unlocked {
        true if args.format.json => Ok(Exit::Ok),
        true => {
            let text = format!("{}: wrong answers are forgotten", user_name(user));
            print(&styled(GOOD, &text)).map(|()| Exit::Ok)
        }
        false => {
            let text = format!("{} has no wrong answers to forget", user_name(user));
            Err(Failure::new(Exit::Nothing, text))
        }
    }
}

async fn list(args: FactorList) -> Result<Exit, Failure> {
    let (client, user, _) = connect(&args.whose).await?;
    let factors = client.factors(user).await?;
    if args.format.json {
        print_json(&factors)?;
    } else if factors.is_empty() {
        print("no factors; `stile enroll` sets an authenticator app up")?;
    } else {
        print(&table(&factors, columns(), &TimeZone::system()))?;
    }
    Ok(Exit::Ok)
}

async fn add(args: FactorAdd) -> Result<Exit, Failure> {
    let (client, user, own) = connect(&args.whose).await?;
    let prompter = enroll::prompter(args.format.json)?;
    let has_one = client
        .factors(user)
        .await?
        .iter()
        .any(|factor| matches!(factor.factor.as_str(), "totp" | "recovery"));
    let proves = own && has_one && !is_root();
    let enrollment = loop {
        let code = match proves {
            true => Some(own_code(&prompter).await?),
            false => None,
        };
        let name = args.name.clone();
        let begun = client.add_factor(user, name, args.replace, code.as_ref());
        match begun.await {
            Ok(enrollment) => break enrollment,
            Err(error) => again(&prompter, error)?,
        }
    };
    let texts = Texts::of_environment();
    let hint = texts.say(match args.replace {
        true => "enroll-device-replaces",
        false => "enroll-device-counts",
    });
    enroll::finish(
        &client,
        &texts,
        user,
        &prompter,
        &enrollment,
        &hint,
        args.format.json,
    )
    .await
}

async fn rename(args: FactorRename) -> Result<Exit, Failure> {
    let (client, user, _) = connect(&args.whose).await?;
    client.rename_factor(user, args.id, &args.name).await?;
    let name = args.name.trim();
    if args.format.json {
        print_json(&serde_json::json!({ "uid": user.0, "id": args.id, "name": name }))?;
        return Ok(Exit::Ok);
    }
    let text = format!("device {} is called {name:?} now", args.id);
    print(&styled(GOOD, &escape(&text)))?;
    Ok(Exit::Ok)
}

async fn remove(args: FactorRemove) -> Result<Exit, Failure> {
    let (client, user, own) = connect(&args.whose).await?;
    let asks = (own && !is_root()).then(|| Prompter::open(args.stdin));
    let prompter = asks.transpose()?;
    loop {
        let code = match &prompter {
            Some(prompter) => Some(own_code(prompter).await?),
            None => None,
        };
        let removed = client.remove_factor(user, args.what, code.as_ref()).await;
        match (removed, &prompter) {
            (Ok(()), _) => break,
            (Err(error), Some(prompter)) => again(prompter, error)?,
            (Err(error), None) => return Err(error.into()),
        }
    }
    if args.format.json {
        print_json(&serde_json::json!({ "uid": user.0, "id": args.what, "removed": true }))?;
        return Ok(Exit::Ok);
    }
    let text = match args.what {
        0 => "the recovery codes don't count any more".to_owned(),
        id => format!("device {id} doesn't count any more"),
    };
    print(&styled(GOOD, &text))?;
    Ok(Exit::Ok)
}

async fn test(args: FactorTest) -> Result<Exit, Failure> {
    let client = AgentClient::connect().await?;
    let prompter = Prompter::open(args.stdin)?;
    prompter.say("A code that your device shows now (it is used up):")?;
    let test = loop {
        let code = code(&prompter).await?;
        match client.test_code(&code).await {
            Ok(test) => break test,
            Err(error) => again(&prompter, error)?,
        }
    };
    if args.format.json {
        print_json(&test)?;
    } else {
        let style = if test.accepted { GOOD } else { BAD };
        print(&styled(style, &told(&test)))?;
    }
    match test.accepted {
        true => Ok(Exit::Ok),
        false => Ok(Exit::Refused),
    }
}

async fn recovery(args: FactorRecovery) -> Result<Exit, Failure> {
    let (client, user, own) = connect(&args.whose).await?;
    let asks = (own && !is_root()).then(|| Prompter::open(args.stdin));
    let prompter = asks.transpose()?;
    let codes = loop {
        let code = match &prompter {
            Some(prompter) => Some(own_code(prompter).await?),
            None => None,
        };
        let made = client.make_recovery_codes(user, code.as_ref()).await;
        match (made, &prompter) {
            (Ok(codes), _) => break codes,
            (Err(error), Some(prompter)) => again(prompter, error)?,
            (Err(error), None) => return Err(error.into()),
        }
    };
    if args.format.json {
        let plain: Vec<&str> = codes.iter().map(|code| code.as_str()).collect();
        print_json(&serde_json::json!({ "uid": user.0, "codes": plain }))?;
        return Ok(Exit::Ok);
    }
    print(&styled(
        HEAD,
        &format!("Recovery codes of {}", user_name(user)),
    ))?;
    for (number, code) in (1..).zip(&codes) {
        print(&Zeroizing::new(format!("  {number:2}  {}", code.as_str())))?;
    }
    print(
        "Each is good once, in the place of a one-time code. They aren't shown again: print \
         them, or keep them where your device isn't. Older ones don't count any more.",
    )?;
    Ok(Exit::Ok)
}

/// The agent, whom it is about, and whether that is the user of this process.
async fn connect(whose: &Whose) -> Result<(AgentClient, Uid, bool), Failure> {
    let me = Uid(nix::unistd::geteuid().as_raw());
    let user = whose.user.as_deref().map_or(Ok(me), find_user)?;
    let client = match user == me {
        true => AgentClient::connect().await?,
        false => AgentClient::connect_as_admin().await?,
    };
    Ok((client, user, user == me))
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// A code of a factor that the user has.
async fn own_code(prompter: &Prompter) -> Result<Zeroizing<String>, Failure> {
    prompter.say("A code of a factor that you have, to show that this is you:")?;
    code(prompter).await
}

async fn code(prompter: &Prompter) -> Result<Zeroizing<String>, Failure> {
    loop {
        match prompter.code(PATIENCE).await? {
            Typed::Code(code) => return Ok(code),
            Typed::NotACode if prompter.asks_again() => {
                prompter.say("that is no code; type the digits that your device shows")?;
            }
            Typed::NotACode => return Err(Failure::new(Exit::Refused, "that is no code")),
            Typed::Nothing | Typed::TooLate => {
                let text = "no code, so nothing has changed";
                return Err(Failure::new(Exit::Refused, text));
            }
        }
    }
}

/// Says that a code was wrong, if another one may be typed.
fn again(prompter: &Prompter, error: ClientError) -> Result<(), Failure> {
    match error {
        ClientError::Refused(Refused::WrongCode(text)) if prompter.asks_again() => {
            prompter.say(&styled(BAD, &text))
        }
        error => Err(error.into()),
    }
}

/// What a test has shown.
fn told(test: &CodeTestView) -> String {
    let name = escape(&test.name);
    let off = duration(test.seconds_ahead.unsigned_abs());
    match (test.accepted, test.seconds_ahead) {
        (true, 0) => format!("{name}: its clock is right"),
        (true, 1..) => format!("{name}: right; its clock is about {off} ahead, which still works"),
        (true, _) => format!("{name}: right; its clock is about {off} behind, which still works"),
        (false, 1..) => format!(
            "{name}: its clock is about {off} ahead of this computer's, so its codes are refused. \
             Set both by the network"
        ),
        (false, _) => format!(
            "{name}: its clock is about {off} behind this computer's, so its codes are refused. \
             Set both by the network"
        ),
    }
}

fn table(factors: &[FactorView], columns: Option<usize>, zone: &TimeZone) -> String {
    let mut table = Table::new(&[
        ("ID", Cut::Never),
        ("FACTOR", Cut::Never),
        ("NAME", Cut::Back),
        ("SINCE", Cut::Never),
        ("CODES", Cut::Back),
        ("STATE", Cut::Back),
    ]);
    for view in factors {
        let codes = match (view.parameters.as_str(), view.left) {
            ("", 0) => String::new(),
            ("", left) => format!("{left} left"),
            (parameters, _) => escape(parameters),
        };
        table.row(vec![
            match view.id {
                0 => "-".to_owned(),
                id => id.to_string(),
            },
            escape(&view.factor),
            escape(&view.name),
            day(view.enrolled, zone),
            codes,
            state(view),
        ]);
    }
    table.render(columns)
}

fn state(view: &FactorView) -> String {
    match (view.locked, view.retry_seconds, view.failures) {
        (true, ..) => "locked out".to_owned(),
        (false, 0, 0) => "ok".to_owned(),
        (false, 0, 1) => "1 wrong answer".to_owned(),
        (false, 0, wrong) => format!("{wrong} wrong answers"),
        (false, wait, wrong) => format!("{wrong} wrong answers, wait {}", duration(wait)),
    }
}

fn day(seconds: u64, zone: &TimeZone) -> String {
    let time = i64::try_from(seconds)
        .ok()
        .filter(|seconds| *seconds > 0)
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.map_or_else(String::new, |time| {
        time.to_zoned(zone.clone()).date().to_string()
    })
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;

    fn factor() -> FactorView {
        FactorView {
            uid: Uid(1000),
            factor: "totp".into(),
            id: 3,
            name: "phone\u{1b}[2J".into(),
            parameters: "sha1, 6 digits, 30 s".into(),
            assurance: 1,
            enrolled: 1_767_582_058,
            left: 0,
            failures: 0,
            retry_seconds: 0,
            locked: false,
        }
    }

    #[test]
    fn factors_are_a_table_that_a_name_can_not_disturb() {
        let recovery = FactorView {
            factor: "recovery".into(),
            id: 0,
            name: String::new(),
            parameters: String::new(),
            enrolled: 0,
            left: 9,
            failures: 4,
            retry_seconds: 60,
            ..factor()
        };
        let text = table(&[factor(), recovery], None, &TimeZone::UTC);
        let lines: Vec<String> = strip_str(&text)
            .to_string()
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(
            lines[1],
            r"3 totp phone\u{1b}[2J 2026-01-05 sha1, 6 digits, 30 s ok"
        );
        assert_eq!(lines[2], "- recovery 9 left 4 wrong answers, wait 1m 00s");
    }

    #[test]
    fn a_test_says_how_far_the_clock_is_off() {
        let told = |seconds_ahead, accepted| {
            told(&CodeTestView {
                id: 3,
                name: "phone".into(),
                seconds_ahead,
                accepted,
            })
        };
        assert_eq!(told(0, true), "phone: its clock is right");
        assert!(told(-30, true).contains("30s behind, which still works"));
        assert!(told(60, false).contains("ahead of this computer's"));
        assert!(told(-90, false).contains("behind this computer's"));
    }
}
