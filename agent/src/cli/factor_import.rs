// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `stile factor import`: one token by its secret, or a file of them.

use std::io;
use std::path::Path;
use std::time::Duration;

use zeroize::Zeroizing;

use super::enroll::find_user;
use super::factor_args::FactorImport;
use super::failure::{Exit, Failure};
use super::output::{note, print, print_json};
use super::show::user_name;
use super::terminal::Prompter;
use super::text::{BAD, GOOD, count, escape, styled};
use super::tokens::{self, Listed, MAX_FILE, Mistake, Owners};
use crate::bus::{AgentClient, ImportedTokens, Token};
use crate::ids::Uid;
use crate::sys::file::read_bounded;

/// How long a secret is waited for.
const PATIENCE: Duration = Duration::from_secs(300);

pub(super) async fn run(args: FactorImport) -> Result<Exit, Failure> {
    match (&args.file, &args.user) {
        (Some(file), _) => several(&args, file).await,
        (None, Some(user)) => one(&args, find_user(user)?).await,
        (None, None) => Err(Failure::new(
            Exit::Usage,
            "whose is it? Give --user, or --file",
        )),
    }
}

async fn one(args: &FactorImport, user: Uid) -> Result<Exit, Failure> {
    let client = AgentClient::connect_as_admin().await?;
    let prompter = Prompter::open(args.stdin)?;
    prompter.say("The secret of the token, in base 32:")?;
    let token = Token {
        name: args.name.clone(),
        secret: prompter.secret(PATIENCE).await?,
        algorithm: args.algorithm.clone(),
        digits: args.digits,
        period: args.period,
    };
    let id = client.import_factor(user, &token).await?;
    if args.format.json {
        print_json(&serde_json::json!({ "uid": user.0, "id": id }))?;
    } else {
        let text = format!("{} has the token now, as device {id}", user_name(user));
        print(&styled(GOOD, &text))?;
    }
    Ok(Exit::Ok)
}

async fn several(args: &FactorImport, file: &Path) -> Result<Exit, Failure> {
    let (listed, client) = match read(args, file)? {
        Ok(listed) => (listed, AgentClient::connect_as_admin().await?),
        Err(wrong) => return told(args, file, wrong),
    };
    let (lines, tokens): (Vec<_>, Vec<_>) = listed
        .into_iter()
        .map(
            |Listed {
                 line,
                 serial,
                 user,
                 token,
             }| ((line, serial, user), (user, token)),
        )
        .unzip();
    let ids = match client.import_factors(&tokens, args.dry_run).await? {
        ImportedTokens::Done(ids) => ids,
        ImportedTokens::Mistakes(mistakes) => {
            let placed = mistakes.into_iter().map(|(at, text)| {
                let line = lines.get(at).map_or(0, |(line, ..)| *line);
                Mistake::new(line, escape(&text))
            });
            return told(args, file, placed.collect());
        }
    };
    let ids = ids.into_iter().map(Some).chain(std::iter::repeat(None));
    if args.format.json {
        let imported: Vec<_> = lines
            .iter()
            .zip(ids)
            .map(|((line, serial, user), id)| {
                serde_json::json!({ "line": line, "serial": serial, "uid": user.0, "id": id })
            })
            .collect();
        let dry_run = args.dry_run;
        print_json(&serde_json::json!({ "tokens": imported, "dry_run": dry_run }))?;
        return Ok(Exit::Ok);
    }
    for ((line, serial, user), id) in lines.iter().zip(ids) {
        let token = match serial.as_str() {
            "" => format!("the token on line {line}"),
            serial => format!("token {}", escape(serial)),
        };
        print(&match id {
            Some(id) => format!("{}: {token}, as device {id}", user_name(*user)),
            None => format!("{}: {token}", user_name(*user)),
        })?;
    }
    let number = count(u32::try_from(lines.len()).unwrap_or(u32::MAX), "token");
    match args.dry_run {
        true => print(&styled(GOOD, &format!("{number} can be taken over")))?,
        false => {
            print(&styled(GOOD, &format!("{number} taken over")))?;
            note("The file still has the secrets: destroy it, as with `shred -u`.")?;
        }
    }
    Ok(Exit::Ok)
}

/// The tokens of the file, or all that is wrong with it.
fn read(args: &FactorImport, file: &Path) -> Result<Result<Vec<Listed>, Vec<Mistake>>, Failure> {
    let mut owners = match Owners::typed(&args.map) {
        Ok(owners) => owners,
        Err(wrong) => return Ok(Err(wrong)),
    };
    if let Some(path) = &args.map_file {
        let wrong = owners.read(&text_of(path)?);
        if !wrong.is_empty() {
            let path = escape(&path.display().to_string());
            let wrong = wrong
                .into_iter()
                .map(|it| Mistake::new(0, format!("{path}:{}: {}", it.line, it.message)));
            return Ok(Err(wrong.collect()));
        }
    }
    Ok(tokens::read(&text_of(file)?, &owners))
}

fn text_of(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let unreadable = |why: &dyn std::fmt::Display| {
        let path = escape(&path.display().to_string());
        Failure::new(Exit::Refused, format!("can't read {path}: {why}"))
    };
    let bytes = read_bounded(path, MAX_FILE).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => unreadable(&"there is no such file"),
        _ => unreadable(&error),
    })?;
    let text = String::from_utf8(bytes).map(Zeroizing::new);
    text.map_err(|_| unreadable(&"it is no UTF-8"))
}

/// Tells all that is wrong with a file.
fn told(args: &FactorImport, file: &Path, wrong: Vec<Mistake>) -> Result<Exit, Failure> {
    if args.format.json {
        print_json(&serde_json::json!({ "mistakes": wrong, "dry_run": args.dry_run }))?;
    }
    let file = escape(&file.display().to_string());
    for Mistake { line, message } in &wrong {
        let place = match line {
            0 => file.clone(),
            line => format!("{file}:{line}"),
        };
        note(&format!("{}: {message}", styled(BAD, &place)))?;
    }
    let text = "nothing was imported. Mend the file, and try it with --dry-run";
    Err(Failure::new(Exit::Refused, text))
}
