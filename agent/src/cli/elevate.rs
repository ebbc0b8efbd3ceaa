// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `stile elevate`, `stile run` and `stile realms`: proof before anything connects.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

use super::answer_args::{Elevate, Run, With};
use super::approve::{more, throttled, wrong};
use super::args::Format;
use super::failure::{Exit, Failure};
use super::output::{columns, print, print_json};
use super::proof::Asked;
use super::reason::reason;
use super::table::{Cut, Table};
use super::terminal::Prompter;
use super::text::{GOOD, HEAD, duration, escape, styled};
use crate::bus::AgentClient;
use crate::service::{self, Answer, ProofFor, RealmView};
use crate::texts::Texts;
use crate::texts::Value::Text;

/// How long somebody may take to type a code that nothing waits for.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

/// `stile realms`.
pub(super) async fn realms(format: Format) -> Result<Exit, Failure> {
    let realms = AgentClient::connect().await?.realms().await?;
    if format.json {
        print_json(&realms)?;
    } else if realms.is_empty() {
        print("no rule asks you for proof")?;
    } else {
        print(&realms_table(&realms, columns()))?;
    }
    Ok(Exit::Ok)
}

fn realms_table(realms: &[RealmView], columns: Option<usize>) -> String {
    let mut table = Table::new(&[
        ("REALM", Cut::Back),
        ("LEFT", Cut::Never),
        ("AT MOST", Cut::Never),
        ("FOR EACH", Cut::Never),
        ("ENDPOINTS", Cut::Back),
    ]);
    for view in realms {
        table.row(vec![
            escape(&view.realm),
            match view.seconds_left {
                0 => "-".to_owned(),
                left => duration(left),
            },
            duration(view.ttl_seconds),
            escape(&view.scopes.join(", ")),
            escape(&view.endpoints.join(", ")),
        ]);
    }
    table.render(columns)
}

/// `stile elevate`.
pub(super) async fn run(args: Elevate) -> Result<Exit, Failure> {
    let texts = Texts::of_environment();
    let client = AgentClient::connect().await?;
    let realm = select(&texts, client.realms().await?, args.realm.as_deref())?;
    let prompter = Prompter::open(args.stdin)?;
    let way = Way {
        limit: args.limit,
        this_process: false,
        with: args.with,
    };
    let answer = ask(&texts, &client, &prompter, &realm, &way).await?;
    if args.format.json {
        print_json(&answer)?;
    }
    let text = said(&texts, &realm, &answer).map_err(|text| Failure::new(Exit::Refused, text))?;
    if !args.format.json {
        print(&styled(GOOD, &text))?;
    }
    Ok(Exit::Ok)
}

/// `stile run`: asks, and then is the command. It returns only if it can't be.
pub(super) async fn exec(args: Run) -> Result<Exit, Failure> {
    let texts = Texts::of_environment();
    let client = AgentClient::connect().await?;
    let realm = select(&texts, client.realms().await?, args.realm.as_deref())?;
    let only_users = realm.scopes.iter().all(|scope| scope == "user");
    if realm.seconds_left == 0 || !only_users {
        let prompter = Prompter::open(false)?;
        let way = Way {
            limit: args.limit,
            this_process: true,
            with: args.with,
        };
        let answer = ask(&texts, &client, &prompter, &realm, &way).await?;
        let text =
            said(&texts, &realm, &answer).map_err(|text| Failure::new(Exit::Refused, text))?;
        prompter.say(&styled(GOOD, &text))?;
    }
    drop(client);
    let [program, rest @ ..] = args.command.as_slice() else {
        return Err(Failure::new(Exit::Usage, "which command?"));
    };
    Err(become_it(program, rest))
}

/// The process stays the same, so that a proof for it counts for the command.
fn become_it(program: &OsString, arguments: &[OsString]) -> Failure {
    let error = Command::new(program).args(arguments).exec();
    let shown = escape(&program.to_string_lossy());
    let exit = match error.kind() {
        std::io::ErrorKind::NotFound => Exit::NoCommand,
        _ => Exit::NotRun,
    };
    Failure::new(exit, format!("can't run {shown}: {error}"))
}

/// What is to be proven, and how.
struct Way {
    /// For how many seconds at most.
    limit: Option<u64>,
    /// This very process is going to connect.
    this_process: bool,
    /// What was named with it.
    with: With,
}

/// Asks for a code until one is right, or no further one would help.
async fn ask(
    texts: &Texts,
    client: &AgentClient,
    prompter: &Prompter,
    realm: &RealmView,
    way: &Way,
) -> Result<Answer, Failure> {
    prompter.say(&block(texts, realm, way.limit))?;
    let (asked, given) = (realm.asked_reason(), way.with.reason.as_deref());
    let wanted = service::Elevate {
        realm: realm.realm.clone(),
        seconds: way.limit.unwrap_or(0),
        pid: None,
        this_process: way.this_process,
        reason: reason(texts, prompter, &asked, given, PATIENCE).await?,
    };
    let asked = Asked {
        texts,
        prompter,
        what: ProofFor::Realm(wanted.clone()),
        possible: realm.factors.clone(),
        named: way.with.factor.clone(),
    };
    asked
        .answer(async |code| client.elevate(&wanted, code).await)
        .await
}

/// The realm that is meant: the one that is named, or the only one.
fn select(
    texts: &Texts,
    mut realms: Vec<RealmView>,
    wanted: Option<&str>,
) -> Result<RealmView, Failure> {
    if let Some(wanted) = wanted {
        let none = || {
            let text = texts.fill("cli-no-such-realm", &[("realm", Text(&escape(wanted)))]);
            Failure::new(Exit::Nothing, text)
        };
        return realms
            .into_iter()
            .find(|view| view.realm == wanted)
            .ok_or_else(none);
    }
    match realms.len() {
        0 => Err(Failure::new(Exit::Nothing, texts.say("cli-no-realm"))),
        1 => Ok(realms.swap_remove(0)),
        _ => {
            let first = escape(&realms[0].realm);
            let text = texts.fill("cli-several-realms", &[("realm", Text(&first))]);
            let text = format!("{text}\n\n{}", realms_table(&realms, Some(80)));
            Err(Failure::new(Exit::Usage, text))
        }
    }
}

/// What is asked for, for the one who answers.
fn block(texts: &Texts, realm: &RealmView, limit: Option<u64>) -> String {
    let longest = limit.map_or(realm.ttl_seconds, |limit| limit.min(realm.ttl_seconds));
    let named = [("realm", Text(&escape(&realm.realm)))];
    let time = texts.span(longest);
    let labels = [texts.say("label-endpoints"), texts.say("label-gives")];
    let columns = labels.iter().map(|label| label.chars().count());
    let columns = columns.max().unwrap_or_default();
    format!(
        "{}\n  {:columns$}  {}\n  {:columns$}  {}",
        styled(HEAD, &texts.fill("cli-realm", &named)),
        labels[0],
        escape(&realm.endpoints.join(", ")),
        labels[1],
        styled(HEAD, &texts.fill("cli-up-to", &[("time", Text(&time))])),
    )
}

fn said(texts: &Texts, realm: &RealmView, answer: &Answer) -> Result<String, String> {
    match answer {
        &Answer::Accepted { until_seconds, .. } => Ok(texts.fill(
            "cli-elevated",
            &[
                ("realm", Text(&escape(&realm.realm))),
                ("time", Text(&texts.span(until_seconds))),
            ],
        )),
        &Answer::Wrong { tries_left } => Err(wrong(texts, tries_left)),
        &Answer::Throttled { retry_seconds } => Err(throttled(texts, retry_seconds)),
        Answer::More { factors } => Err(more(texts, factors)),
    }
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;

    fn english() -> Texts {
        Texts::english()
    }

    fn realm(name: &str) -> RealmView {
        RealmView {
            realm: name.into(),
            endpoints: vec!["prod-db".into(), "prod-cache".into()],
            scopes: vec!["user".into()],
            ttl_seconds: 900,
            seconds_left: 0,
            factors: vec!["totp".into()],
            reason: String::new(),
            reason_name: String::new(),
            reason_pattern: String::new(),
        }
    }

    #[test]
    fn the_only_realm_is_meant_without_a_name() {
        assert_eq!(
            select(&english(), vec![realm("prod")], None),
            Ok(realm("prod"))
        );
        let both = || vec![realm("prod"), realm("lab")];
        assert_eq!(
            select(&english(), both(), None).unwrap_err().exit(),
            Exit::Usage
        );
        assert_eq!(select(&english(), both(), Some("lab")), Ok(realm("lab")));
        let failure = select(&english(), both(), Some("x\u{1b}[2J")).unwrap_err();
        assert_eq!(failure.exit(), Exit::Nothing);
        assert!(failure.text().contains("x\\u{1b}[2J"), "{}", failure.text());
        assert_eq!(
            select(&english(), vec![], None).unwrap_err().exit(),
            Exit::Nothing
        );
    }

    #[test]
    fn the_block_says_for_how_long_at_most() {
        let text = |limit| strip_str(&block(&english(), &realm("prod"), limit)).to_string();
        assert_eq!(
            text(None),
            "Realm prod\n  Endpoints     prod-db, prod-cache\n  \
             A code gives  access for up to 15 minutes"
        );
        assert!(text(Some(60)).contains("up to 1 minute"));
        assert!(text(Some(86_400)).contains("up to 15 minutes"));
    }

    #[test]
    fn a_realm_is_one_line() {
        let text = realms_table(&[realm("prod")], Some(80));
        assert_eq!(
            strip_str(&text).to_string(),
            "REALM  LEFT  AT MOST  FOR EACH  ENDPOINTS\n\
             prod   -     15m 00s  user      prod-db, prod-cache"
        );
    }
}
