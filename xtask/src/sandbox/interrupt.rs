// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Ctrl-C and SIGTERM: they end what runs in the sandbox; the main thread then sees its
//! command end, and takes the sandbox down in the usual way.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};

use super::cgroup::Cgroup;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static HANDLED: AtomicBool = AtomicBool::new(false);
static LIVE: Mutex<Option<Cgroup>> = Mutex::new(None);

/// From now on a signal kills what runs in this cgroup. Until the first call, signals do
/// what they always do.
pub(super) fn on_signal_kill(cgroup: &Cgroup) -> Result<()> {
    *LIVE.lock().unwrap_or_else(PoisonError::into_inner) = Some(cgroup.clone());
    if !HANDLED.swap(true, Ordering::SeqCst) {
        ctrlc::set_handler(handle).context("could not handle signals")?;
    }
    check()
}

/// The sandbox is taken down.
pub(super) fn forget() {
    *LIVE.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// # Errors
/// If a signal has come.
pub(crate) fn check() -> Result<()> {
    if INTERRUPTED.load(Ordering::SeqCst) {
        bail!("interrupted");
    }
    Ok(())
}

/// Runs on a thread of ctrlc's, not in a signal handler.
fn handle() {
    INTERRUPTED.store(true, Ordering::SeqCst);
    let live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
    match live.as_ref() {
        Some(cgroup) => cgroup.kill(),
        // Between two sandboxes there is nothing to take down.
        None => std::process::exit(130),
    }
}
