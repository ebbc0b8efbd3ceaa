// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask demo --desktop`: psql waits, a dialog comes, a code is typed into it, rows come.
//!
//! It is played on the tests' own host and desktop. Each step that was seen is one line of stdout,
//! and what there is to say of it follows in lines that begin with a space. A step that isn't seen
//! in time ends it with a panic that names it.

#![expect(
    clippy::unwrap_used,
    reason = "it plays on the environment of the tests, where what fails ends the play"
)]

use std::fmt::Display;
use std::io::Write as _;
use std::process::{Command, ExitCode};
use std::time::Instant;

use stile_tests::{
    ALICE, Desktop, Host, Installed, Postgres, ROOT, Running, has_postgres, missing, postgres_bin,
    until,
};

const POLICY: &str = r#"
[[endpoint]]
name = "prod-db"
hosts = ["{address}"]
ports = [5432]

[[rule]]
name = "dba step-up"
endpoints = ["prod-db"]
users = ["%dba"]
action = "step-up"
factors = ["totp"]
ttl = "15m"
"#;
const TABLE: &str = "
create table accounts (id int primary key, owner text, balance numeric(12,2));
insert into accounts values
  (1, 'Ada Lovelace', 1815.12), (2, 'Alan Turing', 1912.06), (3, 'Grace Hopper', 1906.12);";
const QUERY: &str = "select owner, balance from accounts order by id";
/// The title of the dialog's window.
const DIALOG: &str = "stile";
/// What draws GNOME's own dialog outside of GNOME, and the desktop on which it is preferred.
const GNOME: (&str, &str) = ("gcr-prompter", "GNOME");
/// A dialog, and the desktop that it belongs to.
const PINENTRIES: [(&str, &str); 2] = [("pinentry-qt", "KDE"), ("pinentry-gtk-2", "XFCE")];

fn main() -> ExitCode {
    let installed = |(program, _): &&(&str, &str)| missing(&[program]).is_none();
    let Some(&(pinentry, desktop)) = PINENTRIES.iter().find(installed) else {
        return lacks("there is neither pinentry-qt nor pinentry-gtk-2");
    };
    if !has_postgres() {
        return lacks("there is no PostgreSQL");
    }
    let host = Host::builder().policy(POLICY).quiet().build();
    let screen = match Desktop::begin(&host, ALICE) {
        Ok(screen) => screen,
        Err(why) => return lacks(&why),
    };
    Postgres::start();
    let made = Running::start(host.psql(ROOT, "setup").args(["--command", TABLE])).output();
    assert!(made.status.success(), "psql: {made:?}");
    let authenticator = host.enroll(ALICE);
    let installed = Installed::new();
    let prompter_on = |desktop: &str| {
        let variables = [("XDG_CURRENT_DESKTOP", desktop), ("STILE_LOG", "warn")];
        host.prompter(&installed, ALICE, &screen.variables(&variables))
    };
    let mut prompter = prompter_on(desktop);

    let story = Story(Instant::now());
    story.seen("alice sits at a desktop with stile-prompt in her session");
    let ask = || Running::start(&mut psql(&host));
    let mut psql = ask();
    let challenge = host.wait_for_challenge(ALICE);
    story.seen(format!(
        "held: psql (process {}) waits in its connect to {}",
        challenge["pid"],
        challenge["destination"].as_str().unwrap()
    ));
    screen.wait_for_window(DIALOG);
    story.seen(format!("the dialog of {pinentry} is on her screen"));
    show(&screen, "demo-dialog");
    assert!(psql.ended().is_none(), "psql has not waited");
    screen.types(&authenticator.fresh_code());
    story.seen("she has typed the code of her phone");
    show(&screen, "demo-typed");
    screen.presses("Return");
    let output = psql.output();
    assert!(output.status.success(), "psql: {output:?}");
    let rows = String::from_utf8(output.stdout).unwrap();
    assert_eq!(rows.lines().count(), 3, "{rows}");
    story.seen("the same connection goes on, and rows come back:");
    for row in rows.lines() {
        tell(format!("  {}", row.replace('|', "  ")));
    }
    screen.wait_for_no_window(DIALOG);
    story.seen("the dialog is gone");

    let output = ask().output();
    assert!(output.status.success(), "psql: {output:?}");
    story.seen("another psql goes through without a question, for 15 minutes");
    host.stile(ALICE, &["revoke", "--all"]).succeeded();
    if missing(&[GNOME.0]).is_none() {
        drop(prompter);
        until("its prompter is gone", || {
            (host.prompters(ALICE) == 0).then_some(())
        });
        prompter = prompter_on(GNOME.1);
    }
    let psql = ask();
    screen.wait_for_window(DIALOG);
    story.seen("revoked, and asked again");
    show(&screen, "demo-again");
    screen.presses("Escape");
    let output = psql.output();
    assert!(!output.status.success(), "psql: {output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    let error = said.lines().next().unwrap_or_default();
    let error = error.rsplit(": ").next().unwrap_or_default();
    story.seen(format!("refused with Escape: psql says \"{error}\""));
    drop(prompter);
    ExitCode::SUCCESS
}

/// What alice types into a shell.
fn psql(host: &Host) -> Command {
    // Not the last thing that the shell does, or it would become psql.
    let mut shell = host.as_user(ALICE, "/bin/sh");
    shell
        .args(["-c", "\"$@\"; exit $?", "sh"])
        .arg(postgres_bin("psql"))
        .args(["--no-psqlrc", "--no-align", "--tuples-only"])
        .args(["--username=postgres", "--dbname=postgres", "--host"])
        .arg(host.server().address().ip().to_string())
        .args(["--command", QUERY]);
    shell
}

fn lacks(why: &str) -> ExitCode {
    eprintln!("the demo can't run: {why}");
    ExitCode::FAILURE
}

/// Keeps a picture, and says where.
fn show(screen: &Desktop, name: &str) {
    if let Some(path) = screen.screenshot(DIALOG, name) {
        tell(format!("  {}", path.display()));
    }
}

/// Tells steps with the time since the beginning.
struct Story(Instant);

impl Story {
    fn seen(&self, what: impl Display) {
        tell(format!("{:.3} s  {what}", self.0.elapsed().as_secs_f64()));
    }
}

fn tell(line: impl Display) {
    // Read as it comes, by what shows it.
    let mut output = std::io::stdout().lock();
    writeln!(output, "{line}").unwrap();
}
