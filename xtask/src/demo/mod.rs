// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The demo: a real PostgreSQL behind a real gate, in a sandbox.
//!
//! This part runs outside: it sets up and opens the sandbox. [`stage`] builds the scene
//! inside; [`auto`] plays it by itself and checks every step, [`tmux`] lets a person play.
//! [`desktop`] plays another scene: the dialog of a desktop.

mod audit_log;
mod auto;
mod burst;
mod client;
mod desktop;
mod phone;
mod stage;
mod tmux;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::host::{self, Consent};
use crate::sandbox::{self, Sandbox};
use crate::workspace::Workspace;
use crate::{ebpf, say, services};

/// How to run the demo.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Play it without a person, check each step, and measure.
    #[arg(long)]
    auto: bool,
    /// Play it on a desktop: a real dialog on an X server of its own, which xdotool types into.
    /// Leaves pictures in target/screenshots.
    #[arg(long, conflicts_with = "auto")]
    desktop: bool,
    /// Install missing packages without asking.
    #[arg(long)]
    yes: bool,
}

/// The parts that run inside the sandbox; xtask starts them itself.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Part {
    /// Build the scene and play it.
    Stage(StageOptions),
    /// Open connections, and tell when each one is through.
    Burst(burst::Options),
    /// Print the code that a phone would show now.
    Code {
        /// The file with the secret.
        secret: PathBuf,
    },
}

/// What the inside has to know.
#[derive(Debug, clap::Args)]
pub(crate) struct StageOptions {
    /// The folder with `stiled` and `stile`.
    #[arg(long)]
    bin: PathBuf,
    /// The folder with PostgreSQL's programs.
    #[arg(long)]
    postgres: PathBuf,
    /// The bus policy of the agent.
    #[arg(long)]
    bus_policy: PathBuf,
    /// The sandbox's folder.
    #[arg(long)]
    folder: PathBuf,
    /// The sandbox's cgroup.
    #[arg(long)]
    cgroup: PathBuf,
    /// This xtask, where every user may run it.
    #[arg(long)]
    xtask: PathBuf,
    /// Play without a person.
    #[arg(long)]
    auto: bool,
}

/// Runs the demo.
///
/// # Errors
/// If something is missing, or if a step of `--auto` was not seen.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let consent = Consent::new(options.yes);
    ebpf::build(&workspace, consent)?;
    if options.desktop {
        let programs = desktop::prepare(&workspace, consent)?;
        needs_root(" --desktop")?;
        return desktop::play(&workspace, &programs);
    }
    say::step("building the agent (release)");
    let bin = workspace.build_agent(true)?;
    say::step("looking for what the demo needs");
    let postgres = services::postgres(consent)?;
    services::program("dbus-daemon", "dbus-daemon", consent)?;
    if !options.auto {
        services::program("tmux", "tmux", consent)?;
    }
    needs_root(if options.auto { " --auto" } else { "" })?;

    let sandbox = Sandbox::new(workspace.target())?;
    let xtask = std::env::current_exe().context("could not find xtask itself")?;
    let mut command = sandbox.command(&xtask)?;
    command
        .args(["demo-part", "stage", "--bin"])
        .arg(sandbox.path_inside(&bin))
        .arg("--postgres")
        .arg(postgres)
        .arg("--bus-policy")
        .arg(
            workspace
                .root
                .join("packaging/dbus-1/org.stile.Agent1.conf"),
        )
        .arg("--folder")
        .arg(sandbox.folder())
        .arg("--cgroup")
        .arg(sandbox.cgroup())
        .arg("--xtask")
        .arg(sandbox.path_inside(&xtask));
    if options.auto {
        command.arg("--auto");
    }
    let status = sandbox
        .spawn(&mut command)?
        .wait()
        .context("could not wait for the demo")?;
    drop(sandbox);
    sandbox::check_interrupt()?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn needs_root(options: &str) -> Result<()> {
    if !host::is_root() {
        bail!(
            "the demo needs root for its sandbox; everything is built now, so run \
             `sudo -E env PATH=$PATH cargo xtask demo{options}`"
        );
    }
    Ok(())
}

/// Runs a part of the demo, inside.
pub(crate) fn run_part(part: &Part) -> Result<()> {
    match part {
        Part::Stage(options) => {
            let stage = stage::Stage::build(options)?;
            if options.auto {
                auto::play(&stage)
            } else {
                tmux::play(&stage)
            }
        }
        Part::Burst(options) => burst::open(options),
        Part::Code { secret } => phone::print_code(secret),
    }
}
