// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `stile detach`: takes the gate down.

use super::args::Detach;
use super::failure::{Exit, Failure};
use super::output::print;
use crate::config::Settings;
use crate::kernel;

/// Runs the command.
pub(super) fn run(args: &Detach) -> Result<Exit, Failure> {
    let pins = match &args.bpffs {
        Some(pins) => pins.clone(),
        None => {
            Settings::load(&args.config)
                .map_err(|found| Failure::new(Exit::Broken, found.render(true)))?
                .bpffs
        }
    };
    let removed =
        kernel::detach(&pins).map_err(|error| Failure::new(Exit::Refused, error.to_string()))?;
    if removed == 0 {
        print(&format!("there is no gate at {}", pins.display()))?;
        return Ok(Exit::Nothing);
    }
    print("the gate is down: protected endpoints are open until stiled is started again")?;
    Ok(Exit::Ok)
}
