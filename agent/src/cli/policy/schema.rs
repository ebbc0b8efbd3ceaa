// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `stile policy schema`: the language of policies, for editors.

use crate::cli::failure::{Exit, Failure};
use crate::cli::output::print;
use crate::policy::schema as policy_schema;

/// Runs the command.
pub(in crate::cli) fn schema() -> Result<Exit, Failure> {
    let text = serde_json::to_string_pretty(&policy_schema())
        .map_err(|error| Failure::new(Exit::Refused, format!("can't print it: {error}")))?;
    print(&text)?;
    Ok(Exit::Ok)
}
