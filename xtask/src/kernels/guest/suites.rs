// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Runs the suites in a guest, each in a sandbox, as `cargo xtask test` does.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::{FEATURES, PLAN};
use crate::kernels::protocol;
use crate::test::{EndToEnd, Tally};

/// What a guest is to run.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::kernels) struct Plan {
    /// The suites, in order.
    pub(in crate::kernels) suites: Vec<String>,
    /// Only tests whose name contains this.
    pub(in crate::kernels) filter: Option<String>,
    /// Where everything lies; the same there as here.
    pub(in crate::kernels) end_to_end: EndToEnd,
}

/// Runs them, and tells the host on stdout.
pub(super) fn run() -> Result<ExitCode> {
    let text = fs::read_to_string(Path::new("/").join(PLAN)).context("there is no plan")?;
    let plan: Plan = serde_json::from_str(&text).context("the plan can't be read")?;
    for feature in FEATURES {
        if !(feature.is_there)() {
            println!("{}", protocol::lacks(feature.name));
        }
    }
    let mut tally = Tally::default();
    for suite in &plan.suites {
        println!("{}", protocol::suite(suite));
        plan.end_to_end
            .run(suite, plan.filter.as_deref(), &mut tally)?;
    }
    Ok(tally.close())
}
