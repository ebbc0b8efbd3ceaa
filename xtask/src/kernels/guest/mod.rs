// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The part of xtask that runs inside a guest, as its process 1 and as the runner of its suites.

mod features;
mod init;
mod ledger;
mod start;
mod suites;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};

pub(super) use self::features::FEATURES;
pub(super) use self::suites::Plan;

/// Where the initramfs has the modules that are loaded first, in the order of their names.
pub(super) const BOOT_MODULES: &str = "boot-modules";
/// Where the root disk has what is to be run.
pub(super) const PLAN: &str = "stile-plan.json";
/// What the guest's init is on the root disk: a link to xtask.
pub(super) const INIT: &str = "/sbin/init";
/// The serial line to the host.
const RESULTS: &str = "/dev/ttyS1";
/// Names of the disks, which the guest tells them apart by.
pub(super) const ROOT_DISK: &str = "root";
pub(super) const MODULES_DISK: &str = "modules";

/// Names of the disks of a guest that uses up steps.
pub(super) const LEDGER_DISK: &str = "ledger";
pub(super) const LIST_DISK: &str = "acknowledged";
/// The real ledger, on a file system that never tells the disk to flush (ext4(5)).
const UNFLUSHED: &str = "unflushed";
/// The program that uses them up.
pub(super) const LEDGER_PROGRAM: &str = "stile-test-ledger";

/// A stage of a guest.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Stage {
    /// Process 1 in the initramfs: finds the disks, and becomes the next one.
    Init,
    /// Process 1 on the root disk: furnishes the machine, runs the suites, ends the machine.
    Start,
    /// Runs the suites.
    Suites,
    /// Process 1 of a guest that only uses up steps, on a disk that outlives it.
    Ledger {
        /// Where the steps are kept.
        store: String,
        /// The first fresh one.
        from: u64,
    },
}

/// Runs one. Process 1 doesn't return if all goes well; if it fails, the kernel panics, which
/// ends the machine without a word of success.
pub(crate) fn run(stage: Stage) -> Result<ExitCode> {
    match stage {
        Stage::Init => match init::run()? {},
        Stage::Start => match start::run()? {},
        Stage::Suites => suites::run(),
        Stage::Ledger { store, from } => match ledger::run(&store, from)? {},
    }
}

/// Mounts a file system that has no device, as /proc.
fn mount_kind(kind: &str, at: &str) -> Result<()> {
    mount_at(kind, kind, Path::new(at), MsFlags::empty())
}

fn mount_at(source: &str, kind: &str, at: &Path, flags: MsFlags) -> Result<()> {
    let nothing = None::<&str>;
    mount(Some(source), at, Some(kind), flags, nothing)
        .with_context(|| format!("could not mount {source} on {}", at.display()))
}
