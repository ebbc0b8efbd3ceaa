// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The example policies are sound, without a doubt, and pass their cases.

#![expect(clippy::unwrap_used, reason = "these are tests")]

use std::fs;
use std::path::{Path, PathBuf};

use stile::config::Trust;
use stile::explain::case::Case;
use stile::policy::load_as;

fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/policy.d/examples");
    let entries = fs::read_dir(folder).unwrap();
    let folders = entries.map(|entry| entry.unwrap().path());
    folders.filter(|path| path.is_dir()).collect()
}

#[test]
fn every_example_is_sound_and_passes_its_cases() {
    let examples = examples();
    assert!(examples.len() >= 5, "{examples:?}");
    for example in examples {
        let loaded = load_as(&example.join("policy.d"), Trust::Anyone);
        let loaded = loaded.unwrap_or_else(|mistakes| panic!("{mistakes}"));
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
        let cases = Case::read(&example.join("cases.toml"));
        let cases = cases.unwrap_or_else(|mistakes| panic!("{mistakes}"));
        assert!(cases.len() >= 3, "{}", example.display());
        for case in cases {
            let tried = case.tried(&loaded.policy);
            let complaint = tried.complaint();
            assert!(complaint.is_empty(), "{}: {complaint}", tried.name);
        }
    }
}
