// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `stile policy diff`: what changes between two policies, and for whom.

use std::collections::BTreeMap;
use std::path::Path;

use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{print, print_json};
use crate::cli::policy_args::PolicyDiff;
use crate::cli::text::{BAD, GOOD, HEAD, escape, styled};
use crate::compare::{Comparison, FieldChange, Item, ItemChange, OutcomeChange, Way, compare};
use crate::config::Trust;
use crate::policy::{self, Policy};

/// How wide a line may be before it is broken.
const COLUMNS: usize = 80;

/// Runs the command.
pub(in crate::cli) fn diff(args: &PolicyDiff) -> Result<Exit, Failure> {
    let (old, new) = (load(&args.old)?, load(&args.new)?);
    let found = compare(&old, &new);
    if args.format.json {
        print_json(&found)?;
    } else {
        print(&text(&found))?;
    }
    Ok(if found.is_empty() {
        Exit::Ok
    } else {
        Exit::Differ
    })
}

/// A policy that an agent could load, whoever owns its files.
pub(super) fn load(dir: &Path) -> Result<Policy, Failure> {
    match policy::load_as(dir, Trust::Anyone) {
        Ok(loaded) => Ok(loaded.policy),
        Err(mistakes) => {
            let text = format!("{} is broken:\n{}", dir.display(), mistakes.render(true));
            Err(Failure::new(Exit::Broken, text))
        }
    }
}

/// What changes, for people.
fn text(found: &Comparison) -> String {
    if found.is_empty() {
        return styled(GOOD, "nothing changes");
    }
    let mut lines = Vec::new();
    if let Some(mode) = &found.mode {
        lines.push(styled(HEAD, "The whole policy"));
        lines.extend(field(mode));
    }
    if !found.outcomes.is_empty() {
        begin(&mut lines, "For whom");
        lines.extend(outcomes(&found.outcomes));
    }
    for (head, items) in [
        ("Endpoints", &found.endpoints),
        ("Rules", &found.rules),
        ("Risk", &found.risk),
    ] {
        if !items.is_empty() {
            begin(&mut lines, head);
            lines.extend(items.iter().flat_map(item));
        }
    }
    lines.push(String::new());
    lines.push(summary(found));
    lines.join("\n")
}

fn begin(lines: &mut Vec<String>, head: &str) {
    if !lines.is_empty() {
        lines.push(String::new());
    }
    lines.push(styled(HEAD, head));
}

/// Users of whom the same is said stand on one line.
fn outcomes(changes: &[OutcomeChange]) -> Vec<String> {
    let mut order = Vec::new();
    let mut users: BTreeMap<(&str, &str, &str), Vec<String>> = BTreeMap::new();
    for change in changes {
        let key = (change.endpoint.as_str(), &*change.before, &*change.after);
        let together = users.entry(key).or_insert_with(|| {
            order.push((key, change));
            Vec::new()
        });
        together.push(match change.users.to_string() {
            everybody if everybody == "*" => "everybody else".to_owned(),
            user => user,
        });
    }
    let blocks = order.into_iter().flat_map(|(key, change)| {
        let mark = match (change.laxer, change.way) {
            (true, _) => styled(BAD, "LAXER   "),
            (false, Way::Stricter) => "stricter".to_owned(),
            (false, _) => "other   ".to_owned(),
        };
        let whom = users
            .get(&key)
            .map_or_else(String::new, |all| all.join(", "));
        let first = format!("  {mark}  {}: {}", escape(key.0), escape(&whom));
        [vec![first], arrow("            ", key.1, key.2)].concat()
    });
    blocks.collect()
}

fn item(item: &Item) -> Vec<String> {
    let (mark, more) = match item.change {
        ItemChange::Added => ('+', String::new()),
        ItemChange::Removed => ('-', String::new()),
        ItemChange::Changed => ('~', String::new()),
        ItemChange::Moved { from, to } => ('>', format!(", moved from place {from} to {to}")),
    };
    let lax = if item.laxer {
        format!("  {}", styled(BAD, "LAXER"))
    } else {
        String::new()
    };
    let mut lines = vec![format!("  {mark} {}{more}{lax}", escape(&item.name))];
    lines.extend(item.fields.iter().flat_map(field));
    lines
}

fn field(change: &FieldChange) -> Vec<String> {
    let none = "none";
    let before = change.before.as_deref().unwrap_or(none);
    let before = format!("{}: {before}", change.field);
    arrow("      ", &before, change.after.as_deref().unwrap_or(none))
}

/// `before → after`, on two lines where one is too long.
fn arrow(indent: &str, before: &str, after: &str) -> Vec<String> {
    let (before, after) = (escape(before), escape(after));
    let together = format!("{indent}{before} → {after}");
    if together.chars().count() <= COLUMNS {
        return vec![together];
    }
    vec![format!("{indent}{before}"), format!("{indent}  → {after}")]
}

fn summary(found: &Comparison) -> String {
    let mut laxer = found.outcomes.iter().filter(|change| change.laxer).count();
    for items in [&found.endpoints, &found.risk] {
        laxer += items.iter().filter(|item| item.laxer).count();
    }
    if laxer == 0 {
        return "nothing gets laxer".to_owned();
    }
    styled(
        BAD,
        &format!("what is marked LAXER lets more through: {laxer} in all"),
    )
}

#[cfg(test)]
mod tests;
