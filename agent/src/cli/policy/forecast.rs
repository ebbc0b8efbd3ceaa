// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `stile policy forecast`: how often a policy would have asked and refused.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;

use super::diff::load;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{columns, print, print_json};
use crate::cli::policy_args::PolicyForecast;
use crate::cli::table::{Cut, Table};
use crate::cli::text::{HEAD, escape, styled};
use crate::forecast::{Forecast, ReadError, forecast as replay};
use crate::policy::{Remembered, SystemNames};

/// Most rows of a table for people; JSON has all.
const MAX_ROWS: usize = 20;

/// Runs the command.
pub(in crate::cli) fn forecast(args: &PolicyForecast) -> Result<Exit, Failure> {
    let mut policy = load(&args.policy)?;
    // The hosts of the log have the services that their policy names.
    policy.assume_services();
    let shown = escape(&args.from.display().to_string());
    let log = File::open(&args.from)
        .map_err(|error| Failure::new(Exit::Refused, format!("{shown}: {error}")))?;
    let names = Remembered::new(SystemNames);
    let found = replay(&policy, &names, BufReader::new(log), args.days);
    let found = found.map_err(|error| {
        let exit = match error {
            ReadError::Io(_) => Exit::Refused,
            ReadError::Line { .. } => Exit::Broken,
        };
        Failure::new(exit, format!("{shown}: {}", escape(&error.to_string())))
    })?;
    if args.format.json {
        print_json(&found)?;
    } else {
        print(&text(&found, columns()))?;
    }
    Ok(Exit::Ok)
}

/// The forecast for people.
fn text(found: &Forecast, columns: Option<usize>) -> String {
    let (Some(first), Some(last)) = (&found.first_day, &found.last_day) else {
        return "the log has no attempt".to_owned();
    };
    let prompts: u64 = found.prompts.iter().map(|one| one.prompts).sum();
    let refused: u64 = found.refused.iter().map(|one| one.attempts).sum();
    let mut parts = vec![format!(
        "{} attempts from {first} to {last} (days of UTC):\n  {prompts} prompts\n  {refused} \
         refused\n  {} passed without a prompt\n  {} not protected by this policy",
        found.attempts, found.passed, found.unprotected
    )];
    if found.observed > 0 {
        parts.push(format!(
            "The policy only observes {} of them; this is what it would do otherwise.",
            found.observed
        ));
    }
    if !found.prompts.is_empty() {
        parts.push(titled("Prompts by user", prompt_table(found), columns));
        parts.push(titled("Rules that ask most", rule_table(found), columns));
    }
    if !found.refused.is_empty() {
        parts.push(titled("Refusals", refusal_table(found), columns));
    }
    parts.push(notes(found));
    parts.join("\n\n")
}

/// A table with its title; what is too long is cut.
fn titled(title: &str, (table, rows): (Table, usize), columns: Option<usize>) -> String {
    let mut text = format!("{}\n{}", styled(HEAD, title), table.render(columns));
    if rows > MAX_ROWS {
        text.push_str(&format!("\n({} more: --json has all)", rows - MAX_ROWS));
    }
    text
}

/// Users with their prompts by day.
fn prompt_table(found: &Forecast) -> (Table, usize) {
    let mut users: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for one in &found.prompts {
        users.entry(&one.user).or_default().push(one);
    }
    let mut users: Vec<_> = users.into_iter().collect();
    let sum = |days: &[&crate::forecast::Prompts]| days.iter().map(|day| day.prompts).sum::<u64>();
    users.sort_by_key(|(_, days)| std::cmp::Reverse(sum(days)));
    let mut table = Table::new(&[
        ("USER", Cut::Back),
        ("PROMPTS", Cut::Never),
        ("DAYS", Cut::Never),
        ("A DAY", Cut::Never),
        ("MOST", Cut::Never),
        ("ON", Cut::Never),
    ]);
    for (user, days) in users.iter().take(MAX_ROWS) {
        let all = sum(days);
        let count = days.len() as u64;
        let most = days.iter().max_by_key(|day| day.prompts);
        // With one place after the point, rounded up: half a prompt is one.
        let tenths = (all * 10).div_ceil(count.max(1));
        table.row(vec![
            escape(user),
            all.to_string(),
            count.to_string(),
            format!("{}.{}", tenths / 10, tenths % 10),
            most.map_or_else(String::new, |day| day.prompts.to_string()),
            most.map_or_else(String::new, |day| day.day.clone()),
        ]);
    }
    (table, users.len())
}

fn rule_table(found: &Forecast) -> (Table, usize) {
    let mut table = Table::new(&[
        ("RULE", Cut::Back),
        ("PROMPTS", Cut::Never),
        ("USERS", Cut::Never),
    ]);
    for one in found.asking.iter().take(MAX_ROWS) {
        table.row(vec![
            escape(&one.rule),
            one.prompts.to_string(),
            one.users.to_string(),
        ]);
    }
    (table, found.asking.len())
}

fn refusal_table(found: &Forecast) -> (Table, usize) {
    let mut table = Table::new(&[
        ("USER", Cut::Back),
        ("ENDPOINT", Cut::Back),
        ("TIMES", Cut::Never),
        ("WHY", Cut::Back),
    ]);
    for one in found.refused.iter().take(MAX_ROWS) {
        table.row(vec![
            escape(&one.user),
            escape(&one.endpoint),
            one.attempts.to_string(),
            escape(&one.why),
        ]);
    }
    (table, found.refused.len())
}

/// What the numbers don't say.
fn notes(found: &Forecast) -> String {
    let mut lines = Vec::new();
    if !found.missing.is_empty() {
        lines.push(format!(
            "What the policy asks and the log doesn't tell, in {} attempts. Where nothing\nelse is \
             said, the stricter outcome counts:",
            found.unsure
        ));
        lines.extend(
            found
                .missing
                .iter()
                .map(|what| format!("  {}", escape(what))),
        );
    }
    lines.push(
        "Groups are those of this host today, and each program is taken for an intact\none. The \
         log knows only of what was protected when it was written."
            .to_owned(),
    );
    lines.join("\n")
}

#[cfg(test)]
mod tests;
