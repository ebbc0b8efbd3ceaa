// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads a directory of policy files, all or nothing.

mod check;
mod doubts;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::host_doubts::{Host, Mentions};
use super::read::Draft;
use super::{Policy, PolicyVersion};
use crate::config::{
    Diagnostic, Diagnostics, FileId, Findings, Trust, parse, peek, read_text, refuse_untrusted,
};

/// Most files of a policy. Far more than anybody looks through.
const MAX_FILES: usize = 1024;

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
    let files: Vec<_> = paths
        .iter()
        .filter_map(|path| {
            let file = findings.add_file(path);
            let text = read_text(path, file, trust, &mut findings)?;
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
        mode,
        nat64: Vec::new(),
        version: PolicyVersion::of(files.iter().map(|(_, text)| &**text)),
    });
    if policy.is_some() {
        host.doubt(&mentions, &mut findings);
    }
    findings
        .finish(policy)
        .map(|(policy, warnings)| Loaded { policy, warnings })
}

/// The files to read. Whoever may write the directory could take one away, so it is judged
/// like them.
fn list(dir: &Path, trust: Trust, findings: &mut Findings) -> Vec<PathBuf> {
    let root = findings.root();
    let mut names = match toml_names(dir) {
        Ok(names) => names,
        Err(error) => {
            findings
                .file_error(root, format!("can't be read: {error}"))
                .help("nothing would be protected; put a policy there");
            return Vec::new();
        }
    };
    match fs::metadata(dir) {
        Ok(about) => {
            refuse_untrusted(dir, &about, trust, root, findings);
        }
        Err(error) => {
            findings.file_error(root, format!("can't be read: {error}"));
        }
    }
    if names.is_empty() {
        findings
            .file_error(root, "has no *.toml file: nothing would be protected")
            .help("put a policy there; the documentation has an example");
    }
    if names.len() > MAX_FILES {
        findings.file_error(root, format!("has more than {MAX_FILES} *.toml files"));
        return Vec::new();
    }
    names.sort_unstable();
    names.into_iter().map(|name| dir.join(name)).collect()
}

fn toml_names(dir: &Path) -> io::Result<Vec<OsString>> {
    fs::read_dir(dir)?
        .map(|entry| Ok(entry?.file_name()))
        .filter(|name| {
            name.as_ref().map_or(true, |name| {
                let bytes = name.as_bytes();
                bytes.ends_with(b".toml") && !bytes.starts_with(b".")
            })
        })
        // One more than allowed is enough to see that there are too many.
        .take(MAX_FILES + 1)
        .collect()
}

#[cfg(test)]
mod tests;
