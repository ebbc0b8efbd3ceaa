// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the programs say while they run.

use tracing_subscriber::EnvFilter;

/// Writes it to stderr, as much as `STILE_LOG` says.
///
/// The journal brings its own time; a terminal doesn't need one either.
pub fn to_stderr() {
    let filter = EnvFilter::try_from_env("STILE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let colour = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colour)
        .without_time()
        .with_target(false)
        .init();
}
