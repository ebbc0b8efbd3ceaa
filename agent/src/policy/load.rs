// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads a directory of policy files, all or nothing.

mod check;
mod doubts;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::host_doubts::{Host, Mentions};
use super::read::Draft;
use super::{Levels, Policy, PolicyVersion};
use crate::config::{
    Diagnostic, Diagnostics, FileId, Findings, Trust, parse, peek, read_text, refuse_untrusted,
};

/// Most files of a policy. Far more than anybody looks through.
const MAX_FILES: usize = 1024;

/// Most that all files of a policy may hold together, in bytes.
const MAX_SIZE: usize = 64 * 1024 * 1024;

/// A policy that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The policy.
    pub policy: Policy,
    /// What it hardly can mean, for the log and for `stile policy check`.
    pub warnings: Vec<Diagnostic>,
}

/// Reads the policy of all `*.toml` files of a directory, in the order of their names'
/// bytes; names that begin with a dot are left out, as the shell does.
///
/// # Errors
/// Lists every mistake of every file. A file, or the directory, that root doesn't own or
/// others may write is a mistake, and so is a policy that protects nothing.
pub fn load(dir: &Path) -> Result<Loaded, Diagnostics> {
    load_as(dir, Trust::RootOnly)
}

/// As [`load()`], but for a check: with [`Trust::Anyone`], whoever owns the files.
///
/// # Errors
/// Lists every mistake of every file.
pub fn load_as(dir: &Path, trust: Trust) -> Result<Loaded, Diagnostics> {
    load_on(dir, trust, &Host::default())
}

/// As [`load_as`], and doubts what this host doesn't have. An agent loads a policy that names
/// what is yet to come.
///
/// # Errors
/// Lists every mistake of every file.
pub fn load_on(dir: &Path, trust: Trust, host: &Host<'_>) -> Result<Loaded, Diagnostics> {
    let mut findings = Findings::new(dir);
    let paths = list(dir, trust, &mut findings);
    let mut read = 0;
    let files: Vec<_> = paths
        .iter()
        .filter_map(|path| {
            let file = findings.add_file(path);
            refuse_ways(path, trust, file, &mut findings);
            let text = read_text(path, file, trust, &mut findings)?;
            read += text.len();
            if read > MAX_SIZE {
                let root = findings.root();
                findings
                    .file_error(root, "is larger than 64 MiB in all")
                    .help("name networks instead of single addresses");
                return None;
            }
            Some((file, text))
        })
        .collect();
    load_files(&files, host, findings)
}

/// Reads the policy of these texts; the paths are for the messages.
///
/// # Errors
/// Lists every mistake of every text.
pub fn load_texts(texts: &[(PathBuf, String)]) -> Result<Loaded, Diagnostics> {
    let mut findings = Findings::new(Path::new("policy"));
    let files: Vec<_> = texts
        .iter()
        .map(|(path, text)| {
            let file = findings.add_file(path);
            let text: Arc<str> = Arc::from(text.as_str());
            findings.set_text(file, Arc::clone(&text));
            (file, text)
        })
        .collect();
    load_files(&files, &Host::default(), findings)
}

fn load_files(
    files: &[(FileId, Arc<str>)],
    host: &Host<'_>,
    mut findings: Findings,
) -> Result<Loaded, Diagnostics> {
    let mut draft = Draft::default();
    // What the defaults say counts in every file, also in those before.
    for (file, text) in files {
        if text.contains("defaults") {
            peek(*file, &mut findings, |top, findings| {
                draft.read_defaults(top, findings);
            });
        }
    }
    for (file, _) in files {
        parse(*file, &mut findings, |top, findings| {
            draft.read_file(top, findings)
        });
    }
    let mode = draft.defaults.mode.unwrap_or_default();
    let mentions = Mentions::of(&draft);
    let policy = check::check(draft, &mut findings).map(|checked| Policy {
        endpoints: checked.endpoints.into(),
        rules: checked.rules.into(),
        risks: checked.risks,
        thresholds: checked.thresholds,
        break_glass: checked.break_glass,
        mode,
        nat64: Vec::new(),
        levels: Levels::default(),
        version: PolicyVersion::of(files.iter().map(|(_, text)| &**text)),
    });
    if policy.is_some() {
        host.doubt(&mentions, &mut findings);
    }
    findings
        .finish(policy)
        .map(|(policy, warnings)| Loaded { policy, warnings })
}

/// The files to read: those of the directory, and of the folders in it whose names end with `.d`,
/// each folder in the place that its name has among the files.
fn list(dir: &Path, trust: Trust, findings: &mut Findings) -> Vec<PathBuf> {
    let root = findings.root();
    let Some(entries) = entries_of(dir, trust, root, findings) else {
        return Vec::new();
    };
    refuse_ways(dir, trust, root, findings);
    let mut paths = Vec::new();
    for path in entries {
        if !has_ending(&path, b".d") {
            paths.push(path);
            continue;
        }
        let file = findings.add_file(&path);
        let inside = entries_of(&path, trust, file, findings);
        let files = inside.into_iter().flatten();
        paths.extend(files.filter(|path| has_ending(path, b".toml")));
    }
    if paths.is_empty() {
        findings
            .file_error(root, "has no *.toml file: nothing would be protected")
            .help("put a policy there; the documentation has an example");
    }
    if paths.len() > MAX_FILES {
        findings.file_error(root, format!("has more than {MAX_FILES} *.toml files"));
        return Vec::new();
    }
    paths
}

/// What may be read of a directory, in the order of the names. Whoever may write the directory
/// could take a file away, so it is judged like them.
fn entries_of(
    dir: &Path,
    trust: Trust,
    file: FileId,
    findings: &mut Findings,
) -> Option<Vec<PathBuf>> {
    let mut names = match names_in(dir) {
        Ok(names) => names,
        Err(error) => {
            findings
                .file_error(file, format!("can't be read: {error}"))
                .help("nothing would be protected; put a policy there");
            return None;
        }
    };
    match fs::metadata(dir) {
        Ok(about) => {
            refuse_untrusted(dir, &about, trust, file, findings);
        }
        Err(error) => {
            findings.file_error(file, format!("can't be read: {error}"));
        }
    }
    names.sort_unstable();
    Some(names.into_iter().map(|name| dir.join(name)).collect())
}

/// Refuses what lies below a directory in which others than root could put something else in its
/// place: also where symbolic links lead. In a sticky directory of root's they can't.
fn refuse_ways(path: &Path, trust: Trust, file: FileId, findings: &mut Findings) {
    if trust == Trust::Anyone {
        return;
    }
    // One that can't be resolved can't be read either, and that is said there.
    let Ok(real) = fs::canonicalize(path) else {
        return;
    };
    for above in real.ancestors().skip(1) {
        let Ok(about) = fs::metadata(above) else {
            continue;
        };
        let (owner, mode) = (about.uid(), about.mode());
        let is_sticky = mode & 0o1000 != 0;
        if owner == 0 && (mode & 0o022 == 0 || is_sticky) {
            continue;
        }
        let whose = above.display();
        findings
            .file_error(
                file,
                format!(
                    "lies in {whose}, where others than root could put another file in its place \
                     (owner {owner}, mode {:04o})",
                    mode & 0o7777
                ),
            )
            .help(format!("chown root {whose} && chmod go-w {whose}"));
        return;
    }
}

fn has_ending(path: &Path, ending: &[u8]) -> bool {
    path.as_os_str().as_bytes().ends_with(ending)
}

fn names_in(dir: &Path) -> io::Result<Vec<OsString>> {
    fs::read_dir(dir)?
        .map(|entry| Ok(entry?.file_name()))
        .filter(|name| {
            name.as_ref().map_or(true, |name| {
                let bytes = name.as_bytes();
                let is_file = bytes.ends_with(b".toml");
                let is_folder = bytes.ends_with(b".d") && dir.join(name).is_dir();
                (is_file || is_folder) && !bytes.starts_with(b".")
            })
        })
        // One more than allowed is enough to see that there are too many.
        .take(MAX_FILES + 1)
        .collect()
}

#[cfg(test)]
mod tests;
