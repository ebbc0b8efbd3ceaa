// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which kernels the tests are run on. Only series are named: which point version it is, the
//! archive's package lists say on the day.

use anyhow::{Result, bail};

/// A kernel to look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Series {
    /// What it is called here and in the tables, as `6.1`.
    pub(super) name: &'static str,
    /// How the versions of its packages begin; anything, for the newest of all.
    pub(super) version: &'static str,
    /// The archive's suites that may have it.
    pub(super) suites: &'static [&'static str],
    /// Whether it is a failure if no suite has it.
    pub(super) required: bool,
    /// Whether it is in the small run.
    pub(super) small: bool,
}

/// All of them, oldest first.
pub(super) const ALL: [Series; 5] = [
    Series {
        name: "5.10",
        version: "5.10.",
        suites: &["bullseye-security", "bullseye"],
        required: true,
        small: true,
    },
    Series {
        name: "6.1",
        version: "6.1.",
        suites: &["bookworm-security", "bookworm"],
        required: true,
        small: false,
    },
    Series {
        name: "6.12",
        version: "6.12.",
        suites: &["trixie-security", "trixie"],
        required: true,
        small: false,
    },
    // Backports drop a series when the next one comes.
    Series {
        name: "6.18",
        version: "6.18.",
        suites: &["trixie-backports"],
        required: false,
        small: false,
    },
    Series {
        name: "newest",
        version: "",
        suites: &["trixie-backports", "sid"],
        required: true,
        small: true,
    },
];

/// The kernels of these names; without names all of them, or those of the small run.
pub(super) fn select(names: &[String], all: bool) -> Result<Vec<Series>> {
    if names.is_empty() {
        return Ok(ALL.into_iter().filter(|it| all || it.small).collect());
    }
    for name in names {
        if !ALL.iter().any(|series| series.name == name) {
            let known = ALL.map(|series| series.name).join(", ");
            bail!("there is no kernel {name}; there are: {known}");
        }
    }
    let chosen = |series: &Series| names.iter().any(|name| name == series.name);
    Ok(ALL.into_iter().filter(chosen).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(chosen: &[Series]) -> Vec<&str> {
        chosen.iter().map(|series| series.name).collect()
    }

    #[test]
    fn the_small_run_has_an_old_and_a_new_kernel() {
        assert_eq!(names(&select(&[], false).unwrap()), ["5.10", "newest"]);
        assert_eq!(select(&[], true).unwrap(), ALL);
    }

    #[test]
    fn kernels_are_picked_by_name() {
        let picked = select(&["newest".to_owned(), "6.1".to_owned()], false).unwrap();
        assert_eq!(names(&picked), ["6.1", "newest"]);
        let error = select(&["4.19".to_owned()], true).unwrap_err();
        assert!(error.to_string().contains("there are: 5.10, 6.1"));
    }
}
