// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The pins that a gate has left.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use stile_common::ABI_VERSION;

use super::{Found, unless_refused};
use crate::kernel::ATTACHED;
use crate::sys::cgroup::Cgroup2;

const NONE: &str = "no gate is pinned";

/// Whose gate is pinned in this directory, if any.
pub(super) fn version(directory: &Path) -> Found {
    let versions = match names(directory) {
        Ok(versions) => versions,
        Err(found) => return found,
    };
    let own = format!("v{ABI_VERSION}");
    match versions.iter().find(|version| **version != own) {
        Some(other) => Found::Lacks(format!(
            "{} holds a gate of version {other:?}, this is {own}",
            directory.display()
        )),
        None if versions.is_empty() => Found::Has(NONE.to_owned()),
        None => Found::Has(format!("a gate of this version, {own}")),
    }
}

/// Whether all programs of a pinned gate of this version are attached, and where.
pub(super) fn attached(directory: &Path) -> Found {
    let gate = directory.join(format!("v{ABI_VERSION}"));
    let names_of_gate = match names(&gate) {
        Ok(names) => names,
        Err(found) => return found,
    };
    // The daemon names the folder of its links after the cgroup.
    let Some((folder, cgroup)) = names_of_gate
        .iter()
        .find_map(|name| Some((name, name.strip_prefix("links-")?)))
    else {
        return Found::Has(NONE.to_owned());
    };
    let links = names(&gate.join(folder)).map_or(0, |links| links.len());
    let all = ATTACHED.len();
    let text = format!("{links} of {all} programs, to {}", place(cgroup));
    if links == all {
        Found::Has(text)
    } else {
        Found::Lacks(text)
    }
}

fn place(cgroup: &str) -> String {
    let root = Cgroup2::find().and_then(|found| found.id_of(Path::new("/")));
    match root {
        Ok(id) if id.to_string() == cgroup => "the root cgroup".to_owned(),
        _ => format!("the cgroup with the id {cgroup}"),
    }
}

/// What a directory holds; nothing if it isn't there.
fn names(directory: &Path) -> Result<Vec<String>, Found> {
    match fs::read_dir(directory) {
        Ok(entries) => Ok(entries
            .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
            .collect()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(unless_refused(&error)),
    }
}
