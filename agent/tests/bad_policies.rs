// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Broken policies, and what is said of each: `tests/policies/bad/NAME.toml`, or a folder of files
//! that don't go together, and `NAME.expected` beside it. With `STILE_BLESS=1` what is said is
//! written there, to be read before it is committed.

#![expect(clippy::unwrap_used, reason = "these are tests")]

use std::fs;
use std::path::{Path, PathBuf};

use stile::config::Trust;
use stile::policy::load_as;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/policies/bad")
}

fn cases() -> Vec<PathBuf> {
    let entries = fs::read_dir(folder()).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut cases: Vec<_> = paths
        .filter(|path| path.extension().is_none_or(|extension| extension == "toml"))
        .collect();
    cases.sort();
    cases
}

/// What is said of a policy, one line for each finding, without the folder that it lies in.
fn said(case: &Path) -> String {
    let alone = tempfile::tempdir().unwrap();
    let dir = if case.is_dir() {
        case
    } else {
        fs::copy(case, alone.path().join(case.file_name().unwrap())).unwrap();
        alone.path()
    };
    let mistakes = load_as(dir, Trust::Anyone).unwrap_err();
    let lines: Vec<_> = mistakes
        .iter()
        .map(|one| one.to_string().replace(&format!("{}/", dir.display()), ""))
        .map(|line| line.replace(&dir.display().to_string(), "policy.d"))
        .collect();
    lines.join("\n") + "\n"
}

#[test]
fn every_broken_policy_is_refused_with_all_its_mistakes_and_their_places() {
    let cases = cases();
    assert!(cases.len() >= 20, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for case in cases {
        let expected = case.with_extension("expected");
        let said = said(&case);
        if std::env::var_os("STILE_BLESS").is_some() {
            fs::write(&expected, &said).unwrap();
        }
        let wanted = fs::read_to_string(&expected).unwrap_or_default();
        if wanted != said {
            wrong.push(format!(
                "{}\nexpected:\n{wanted}found:\n{said}",
                case.display()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
