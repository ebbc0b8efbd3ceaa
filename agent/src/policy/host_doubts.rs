// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a policy names that this host doesn't have, or not as the policy means it: users, groups
//! and programs. For a check only: an agent may be given the policy before the users.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::pattern::Pattern;
use super::read::{Draft, Located};
use super::{Names, ProgramSelector, UserSelector};
use crate::config::Findings;

/// Most files that one pattern is followed to.
const MAX_FILES: usize = 1000;
/// Longest first line of a script that is looked at; the kernel takes 256 bytes at most.
const MAX_SHEBANG: u64 = 256;

/// What is doubtful about a program, if anything is.
pub type Judge<'h> = dyn Fn(&Path) -> Option<String> + 'h;

/// What is asked of this host; nothing, if both are none.
#[derive(Clone, Copy, Default)]
pub struct Host<'h> {
    /// Who has an account here.
    pub accounts: Option<&'h dyn Names>,
    /// What is wrong with a program that is here, if anything is: others than root may write it.
    pub programs: Option<&'h Judge<'h>>,
}

/// What a policy names, with the places.
#[derive(Default)]
pub(super) struct Mentions {
    /// With whether they are excepted.
    users: Vec<(Located<UserSelector>, bool)>,
    programs: Vec<Located<ProgramSelector>>,
}

impl Mentions {
    pub(super) fn of(draft: &Draft) -> Self {
        let mut mentions = Self::default();
        let users = draft.rules.iter().filter_map(|rule| rule.users.as_ref());
        let roles = draft.roles.iter().filter_map(|role| role.users.as_ref());
        for users in users.chain(roles) {
            mentions.users.extend(users.named.iter().cloned());
        }
        for rule in &draft.rules {
            let programs = rule.programs.iter().flatten().cloned();
            let placed = programs.zip(rule.program_spots.iter().cloned());
            let placed = placed.map(|(value, spot)| Located { value, spot });
            mentions.programs.extend(placed);
        }
        mentions
    }
}

impl Host<'_> {
    /// Warns of what isn't here; of each name once.
    pub(super) fn doubt(&self, mentions: &Mentions, findings: &mut Findings) {
        if let Some(names) = self.accounts {
            let mut seen = BTreeSet::new();
            for (user, excepted) in &mentions.users {
                let (kind, name) = match &user.value {
                    UserSelector::User(name) => ("user", name),
                    UserSelector::Group(name) => ("group", name),
                    _ => continue,
                };
                if seen.insert((kind, name, *excepted)) {
                    doubt_account(names, (kind, name), user, *excepted, findings);
                }
            }
        }
        if let Some(judge) = self.programs {
            let mut seen = BTreeSet::new();
            for program in &mentions.programs {
                if seen.insert(program.value.path.as_str()) {
                    doubt_program(judge, program, findings);
                }
            }
        }
    }
}

fn doubt_account(
    names: &dyn Names,
    (kind, name): (&str, &str),
    user: &Located<UserSelector>,
    excepted: bool,
    findings: &mut Findings,
) {
    let exists = match kind {
        "group" => names.gid_of(name).map(|found| found.is_some()),
        _ => names.uid_of(name).map(|found| found.is_some()),
    };
    match exists {
        Ok(true) => {}
        Ok(false) => {
            let so = match excepted {
                true => ": nobody can tell whom the rule means, and the stricter one counts",
                false => "",
            };
            findings
                .warning(&user.spot, format!("there is no {kind} {name:?} here{so}"))
                .help("correct the name, or check where the accounts are; --no-accounts skips it");
        }
        Err(error) => {
            findings.warning(&user.spot, format!("{kind} {name:?}: {error}"));
        }
    }
}

fn doubt_program(
    judge: &dyn Fn(&Path) -> Option<String>,
    program: &Located<ProgramSelector>,
    findings: &mut Findings,
) {
    let pattern = &program.value.path;
    let found = files_of(pattern);
    if found.is_empty() {
        let message = match pattern.is_open() {
            true => format!("no file here fits \"{pattern}\""),
            false => format!("there is no file {pattern} here"),
        };
        findings
            .warning(&program.spot, message)
            .help("correct the path, or install the program; --no-programs skips this");
        return;
    }
    // One that can run is enough: a pattern may fit links to it, too.
    let doubts: Option<Vec<_>> = found.iter().map(|path| doubt_of(judge, path)).collect();
    if let Some((message, help)) = doubts.and_then(|doubts| doubts.into_iter().next()) {
        findings.warning(&program.spot, message).help(help);
    }
}

/// What is wrong with one file, and what to do about it.
fn doubt_of(judge: &dyn Fn(&Path) -> Option<String>, path: &Path) -> Option<(String, String)> {
    let shown = path.display();
    if let Ok(target) = fs::canonicalize(path)
        && target != path
    {
        let message = format!("{shown} is a symbolic link, or lies behind one: this never fits");
        return Some((message, format!("write \"{}\"", target.display())));
    }
    if !path.is_file() {
        let help = "write the path of the file that runs".to_owned();
        return Some((format!("{shown} is no file"), help));
    }
    if let Some(interpreter) = interpreter_of(path) {
        let message =
            format!("{shown} is a script: what runs is {interpreter}, so this never fits");
        let help = "rules can't tell scripts apart; name the interpreter, which any script may \
                    have, or leave the program out"
            .to_owned();
        return Some((message, help));
    }
    let doubt = judge(path)?;
    let help = "while that is so, nobody can tell whether it fits: the stricter rule counts";
    Some((
        format!("{shown} can't be trusted: {doubt}"),
        help.to_owned(),
    ))
}

/// What the kernel starts for a script; none if it is something else.
fn interpreter_of(path: &Path) -> Option<String> {
    let mut head = Vec::new();
    let file = fs::File::open(path).ok()?;
    file.take(MAX_SHEBANG).read_to_end(&mut head).ok()?;
    let line = head.strip_prefix(b"#!")?;
    let line = String::from_utf8_lossy(line.split(|byte| *byte == b'\n').next()?);
    let word = line.split_ascii_whitespace().next().unwrap_or("/bin/sh");
    Some(word.escape_default().to_string())
}

/// The files that a pattern fits, in their order, as far as they can be found.
fn files_of(pattern: &Pattern) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from("/")];
    for part in pattern.as_str().split('/').skip(1) {
        let mut next = Vec::new();
        for path in found {
            if part.contains('*') {
                next.extend(entries(&path, &Pattern::new(part)));
            } else {
                next.push(path.join(part));
            }
            next.truncate(MAX_FILES);
        }
        // A broken link is there, and named as one.
        next.retain(|path| path.symlink_metadata().is_ok());
        found = next;
    }
    found
}

fn entries(dir: &Path, wanted: &Pattern) -> Vec<PathBuf> {
    let Ok(list) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let names = list.filter_map(|entry| entry.ok().map(|entry| entry.file_name()));
    let mut paths: Vec<_> = names
        .filter(|name| wanted.fits(name.as_encoded_bytes()))
        .map(|name| dir.join(name))
        .collect();
    paths.sort_unstable();
    paths
}

#[cfg(test)]
mod tests;
