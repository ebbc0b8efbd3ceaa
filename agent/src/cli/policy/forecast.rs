// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `stile policy forecast`.
use crate::cli::args::PolicyForecast;
use crate::cli::failure::{Exit, Failure};

/// Runs the command.
pub(in crate::cli) fn forecast(_args: &PolicyForecast) -> Result<Exit, Failure> {
    Ok(Exit::Ok)
}
