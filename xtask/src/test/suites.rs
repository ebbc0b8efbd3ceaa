// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which suites there are. The end-to-end ones are the test targets of `stile-tests`.

use std::fmt;
use std::process::Command;

use anyhow::{Result, bail};
use cargo_metadata::TargetKind;

use crate::workspace::Workspace;

/// The package with the end-to-end tests.
pub(crate) const TESTS: &str = "stile-tests";
pub(super) const GATE: &str = "stile-gate";
/// The package that measures. It isn't built by default, because the end-to-end tests aren't.
const BENCH: &str = "stile-bench";

/// A suite of tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Suite {
    /// The unit tests of everything that is built by default, the gate excepted, and of the bench.
    Unit,
    /// The gate's decision, free of the kernel.
    Gate,
    /// One test target of `stile-tests`; runs in the sandbox.
    EndToEnd(String),
    /// Kills and power cuts. It takes minutes, and runs only if it is named.
    Power,
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unit => "unit",
            Self::Gate => "gate",
            Self::EndToEnd(name) => name,
            Self::Power => "power",
        })
    }
}

impl Suite {
    /// The `cargo test` that builds it, and unless it is an end-to-end suite also runs it; `None`
    /// if it isn't cargo's.
    pub(super) fn cargo_test(&self, workspace: &Workspace) -> Result<Option<Command>> {
        let mut cargo = workspace.cargo();
        cargo.args(["test", "--locked", "--no-fail-fast"]);
        match self {
            Self::Unit => {
                for package in workspace.default_packages() {
                    if package != GATE {
                        cargo.args(["--package", &package]);
                    }
                }
                cargo.args(["--package", BENCH]);
            }
            Self::Gate => {
                cargo.args(["--package", GATE]);
            }
            Self::EndToEnd(name) => {
                cargo.args(["--package", TESTS, "--test", name]);
            }
            Self::Power => return Ok(None),
        }
        Ok(Some(cargo))
    }
}

/// The suites of these names; without names those that are run by default, or all, if they are
/// only listed.
pub(super) fn select(workspace: &Workspace, names: &[String], list: bool) -> Result<Vec<Suite>> {
    let mut all = all(workspace)?;
    if names.is_empty() {
        all.retain(|suite| list || *suite != Suite::Power);
        return Ok(all);
    }
    let mut chosen = Vec::new();
    for name in names {
        let before = chosen.len();
        for suite in &all {
            let group = name == "e2e" && matches!(suite, Suite::EndToEnd(_));
            if (group || suite.to_string() == *name) && !chosen.contains(suite) {
                chosen.push(suite.clone());
            }
        }
        if chosen.len() == before && !chosen.iter().any(|suite| suite.to_string() == *name) {
            let known: Vec<String> = all.iter().map(Suite::to_string).collect();
            bail!("there is no suite {name}; there are: {}", known.join(", "));
        }
    }
    Ok(chosen)
}

/// The names of the end-to-end suites among these.
pub(super) fn end_to_end(suites: &[Suite]) -> Vec<&str> {
    suites
        .iter()
        .filter_map(|suite| match suite {
            Suite::EndToEnd(name) => Some(name.as_str()),
            Suite::Unit | Suite::Gate | Suite::Power => None,
        })
        .collect()
}

fn all(workspace: &Workspace) -> Result<Vec<Suite>> {
    let mut suites = vec![Suite::Unit, Suite::Gate];
    for target in &workspace.package(TESTS)?.targets {
        if target.kind.contains(&TargetKind::Test) {
            suites.push(Suite::EndToEnd(target.name.clone()));
        }
    }
    suites.push(Suite::Power);
    Ok(suites)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn power_cuts_are_listed_but_run_only_by_name() {
        let workspace = Workspace::load().unwrap();
        let chosen = |names: &[String], list| select(&workspace, names, list).unwrap();
        assert!(!chosen(&[], false).contains(&Suite::Power));
        assert!(chosen(&[], true).contains(&Suite::Power));
        assert_eq!(chosen(&["power".to_owned()], false), [Suite::Power]);
        assert!(!chosen(&["e2e".to_owned()], false).contains(&Suite::Power));
    }
}
