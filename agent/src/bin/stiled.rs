// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The daemon.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use stile::pipeline::{Overrides, Places, run};
use stile::sys::wiping::Wiping;
use stile::sys::{log, process};

/// Secrets pass through memory that nobody else wipes.
#[global_allocator]
static MEMORY: Wiping = Wiping;

/// Holds connections to protected endpoints until their users have stepped up.
///
/// stiled is started by systemd. The gate that it puts into the kernel stays when it stops:
/// live grants run to their end, and new attempts are refused until it is back.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Signals: HUP reloads settings and policy; TERM and INT stop.\n\n        Examples:\n  stiled\n  stiled --policy ./policy.d --cgroup /sys/fs/cgroup/test\n\n        Exit codes: 0 stopped as told; 1 could not start; 2 wrong usage."
)]
struct Arguments {
    /// The agent's settings.
    #[arg(long, value_name = "FILE", default_value = "/etc/stile/stile.toml")]
    config: PathBuf,
    /// The folder of policy files, read in the order of their names.
    #[arg(long, value_name = "DIR", default_value = "/etc/stile/policy.d")]
    policy: PathBuf,
    /// Gate what is below this cgroup only, instead of everything.
    #[arg(long, value_name = "DIR")]
    cgroup: Option<PathBuf>,
    /// Directory on a bpffs for the gate's pins [default: /sys/fs/bpf/stile].
    #[arg(long, value_name = "DIR")]
    bpffs: Option<PathBuf>,
    /// Where the ledger and the audit log lie [default: /var/lib/stile].
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    log::to_stderr();
    if let Err(error) = process::harden().and_then(|()| process::raise_descriptors()) {
        tracing::warn!("{error}");
    }
    // Old kernels need it, and then say so when they load the gate.
    let _ = process::raise_memlock();
    let places = Places {
        settings: arguments.config,
        policy: arguments.policy,
    };
    let overrides = Overrides {
        cgroup: arguments.cgroup,
        bpffs: arguments.bpffs,
        state_dir: arguments.state_dir,
    };
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    match runtime.block_on(run(places, overrides)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    anstream::eprintln!("stiled: {error}");
    ExitCode::FAILURE
}
