// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `stile policy`: what admins do with policy files before an agent gets them.

mod check;
mod explain;
mod test;

use std::path::Path;

pub(in crate::cli) use self::check::check;
pub(in crate::cli) use self::explain::explain;
pub(in crate::cli) use self::test::test;
use super::failure::{Exit, Failure};
use crate::config::Trust;
use crate::policy::{Policy, load_as};

/// The policy of a directory, whoever owns it.
fn load(dir: &Path) -> Result<Policy, Failure> {
    match load_as(dir, Trust::Anyone) {
        Ok(loaded) => Ok(loaded.policy),
        Err(mistakes) => {
            let many = mistakes.len();
            super::output::print(&mistakes.render(true))?;
            Err(Failure::new(
                Exit::Broken,
                format!("the policy has {many} findings; correct them first"),
            ))
        }
    }
}
