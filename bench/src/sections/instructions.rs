// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How many instructions the agent's hot paths take, as callgrind counts them: the same on a busy
//! machine as on a quiet one.

use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{Run, Section};
use crate::hot::Path;
use crate::lane::STILE;
use crate::report::check::INSTRUCTIONS;
use crate::report::{Row, Table};

pub(super) const SECTION: Section = Section {
    name: INSTRUCTIONS,
    run,
};

/// A path is done so many times, and so many times, and the difference counts: what comes before
/// and after is in both.
const FEW: u64 = 20;
const MANY: u64 = 320;

fn run(run: &mut Run) -> Result<()> {
    if let Err(error) = Command::new("valgrind").arg("--version").output() {
        run.misses(
            "instructions of the hot paths",
            format!("valgrind: {error}; install it"),
        );
        return Ok(());
    }
    let mut rows = Vec::new();
    for (path, what) in Path::ALL {
        let between = count(path, MANY)? - count(path, FEW)?;
        rows.push(Row {
            id: format!("{INSTRUCTIONS}/{}/{STILE}", path.name()),
            what: what.to_owned(),
            who: STILE.to_owned(),
            unit: "count".to_owned(),
            median: (between / (MANY - FEW) as f64).round(),
            p99: None,
            cpu: None,
            ratio: None,
            rounds: 1,
            goal: None,
        });
    }
    run.tables.push(Table {
        id: INSTRUCTIONS.to_owned(),
        title: "Instructions of the hot paths".to_owned(),
        note: "In user space, by callgrind, for each operation; tables are in memory, and what \
               the kernel does for reading and writing isn't in it."
            .to_owned(),
        rows,
    });
    Ok(())
}

/// Instructions of the whole program while it does the path so many times.
fn count(path: Path, times: u64) -> Result<f64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .arg("hot")
        .arg(path.name())
        .arg(format!("--count={times}"))
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!(
            "callgrind of {} ended with {}: {said}",
            path.name(),
            output.status
        );
    }
    collected(&said).with_context(|| format!("callgrind counted nothing: {said}"))
}

/// The number of its line `==4711== Collected : 123`.
fn collected(said: &str) -> Option<f64> {
    let line = said.lines().find(|line| line.contains("Collected :"))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_read_from_what_callgrind_says() {
        let said = "==12== Events    : Ir\n==12== Collected : 215471\n==12== \n";
        assert_eq!(collected(said), Some(215_471.0));
        assert_eq!(collected("==12== killed\n"), None);
    }
}
