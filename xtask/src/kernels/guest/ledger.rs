// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Process 1 of a guest whose power will be cut while it uses up TOTP steps.

use std::convert::Infallible;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};

use super::{LEDGER_DISK, LEDGER_PROGRAM, LIST_DISK, UNFLUSHED, init, start};

/// Uses up steps on the disk that outlives the machine. That ends only if it fails.
pub(super) fn run(store: &str, from: u64) -> Result<Infallible> {
    init::prepare()?;
    let at = Path::new(init::NEW_ROOT);
    let (store, options) = match store {
        UNFLUSHED => ("ledger", Some("barrier=0")),
        _ => (store, None),
    };
    let device = init::disk(LEDGER_DISK)?;
    mount(
        Some(device.as_str()),
        at,
        Some("ext4"),
        MsFlags::empty(),
        options,
    )
    .context("could not mount the disk")?;
    let list = init::disk(LIST_DISK)?;
    let results = start::serial_line()?;
    let child = Command::new(Path::new("/").join(LEDGER_PROGRAM))
        .arg(store)
        .arg(at.join("state"))
        .arg(list)
        .arg(from.to_string())
        .stdin(Stdio::null())
        .stdout(results.try_clone()?)
        .spawn()
        .context("could not start the program")?;
    start::ended_well(child.id())?;
    start::end_machine(&results)
}
