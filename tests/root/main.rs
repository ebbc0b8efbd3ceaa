// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The gate on the root of the cgroup2 hierarchy, as on a real machine: whatever runs there,
//! it is either gated or left alone by what it is. These tests take a machine of their own, which
//! `cargo xtask kernels` makes.

mod gated;
mod leaving;

use std::sync::{Mutex, MutexGuard, PoisonError};

use stile_tests::{Host, cannot_run, is_throwaway_machine};

/// Where systemd puts what a person runs.
const SESSION: &str = "user.slice/user-42001.slice/session-1.scope";
/// Where it puts what a person's own service manager runs, such as a rootless container.
const USERS_CONTAINER: &str =
    "user.slice/user-42001.slice/user@42001.service/user.slice/libpod-1.scope";
/// A service.
const SERVICE: &str = "system.slice/app.service";
/// A container of a service's.
const CONTAINER: &str = "system.slice/docker-0a1b2c.scope";

/// The machine, for one test at a time: there is one root. `None` on a machine that others
/// use too; the test then says so and is over.
fn machine() -> Option<MutexGuard<'static, ()>> {
    static ALONE: Mutex<()> = Mutex::new(());
    if !is_throwaway_machine() {
        cannot_run("it would gate this whole machine; `cargo xtask kernels` makes one for it");
        return None;
    }
    Some(ALONE.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A machine after its boot, with somebody logged in.
fn booted() -> Host {
    let mut builder = Host::builder().at_root();
    for cgroup in [SESSION, USERS_CONTAINER, SERVICE, CONTAINER] {
        builder = builder.cgroup(cgroup);
    }
    builder.build()
}
