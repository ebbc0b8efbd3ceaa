// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What an administrator writes.

use std::path::{Path, PathBuf};

use crate::config::{Diagnostics, Level, Settings};
use crate::ids::{Gid, Uid};
use crate::policy::{NameError, Names, compile, load_texts};

/// Name services that know nobody.
struct Nobody;

impl Names for Nobody {
    fn uid_of(&self, _: &str) -> Result<Option<Uid>, NameError> {
        Ok(None)
    }
    fn name_of(&self, _: Uid) -> Result<Option<String>, NameError> {
        Ok(None)
    }
    fn gid_of(&self, _: &str) -> Result<Option<Gid>, NameError> {
        Ok(None)
    }
    fn groups_of(&self, _: Uid) -> Result<Vec<Gid>, NameError> {
        Ok(Vec::new())
    }
    fn members_of(&self, _: &str) -> Result<Vec<Uid>, NameError> {
        Ok(Vec::new())
    }
}

/// A policy file.
pub(super) fn policy(data: &[u8]) {
    let text = String::from_utf8_lossy(data).into_owned();
    match load_texts(&[(PathBuf::from("fuzz.toml"), text.clone())]) {
        Ok(loaded) => {
            assert!(!loaded.policy.endpoints.is_empty(), "it protects nothing");
            // Checked when it was loaded: it fits into the kernel's tables.
            let tables = compile(&loaded.policy, &Nobody);
            assert!(tables.is_ok(), "it was loaded and can't be compiled");
            for warning in &loaded.warnings {
                assert_eq!(warning.level(), Level::Warning);
            }
        }
        Err(mistakes) => check(&mistakes, &text),
    }
}

/// The agent's settings.
pub(super) fn settings(data: &[u8]) {
    let text = String::from_utf8_lossy(data).into_owned();
    match Settings::load_text(Path::new("fuzz.toml"), &text) {
        Ok(settings) => {
            let sound = |range: &stile_common::UidRange| range.first <= range.last;
            assert!(settings.gated_uids.iter().all(sound));
            assert!(!settings.gated_uids.is_empty(), "nobody is gated");
            assert!(settings.bpffs.is_absolute() && settings.state_dir.is_absolute());
        }
        Err(mistakes) => check(&mistakes, &text),
    }
}

/// Every mistake of a file's text has a place in it, and can be shown.
fn check(mistakes: &Diagnostics, text: &str) {
    let lines = text.split('\n').count();
    let views = mistakes.views();
    assert!(views.iter().any(|view| view.level == Level::Error));
    for view in views {
        assert!(!view.message.contains("for no reason"), "{}", view.message);
        match view.line.zip(view.column) {
            Some((line, column)) => assert!((1..=lines).contains(&line) && column >= 1),
            // Only what a whole policy lacks, or what is too much of it, has no place.
            None => assert_ne!(
                (view.level, &*view.file),
                (Level::Error, "fuzz.toml"),
                "{}",
                view.message
            ),
        }
    }
    assert!(!mistakes.to_string().is_empty());
}
