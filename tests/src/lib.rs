// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A private world for each end-to-end test, on the real kernel.
//!
//! [`Host`] is a machine with stile on it: a cgroup of its own that the gate is attached to, a
//! system bus of its own, a protected address of its own, and the real `stiled`. On it
//! [`Client`]s of real users connect to a real [`Server`] or to [`Postgres`], and an
//! [`Authenticator`] makes the codes. Dropping the host ends and removes everything, also when
//! the test panics, and then prints what the daemon logged.
//!
//! All of this runs in the sandbox of `cargo xtask test`, and fails with that remedy anywhere
//! else.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "this is the tests' environment; what fails here fails the test, with its place"
)]

mod audit;
mod authenticator;
mod builder;
mod bus;
mod cgroup;
mod client;
mod commands;
mod crowd;
mod daemon;
mod desktop;
mod disk;
mod host;
mod installed;
mod login;
mod machine;
mod postgres;
mod probe;
mod process;
mod pty;
mod sandbox;
mod screen;
mod server;
mod sockets;
mod ssh;
mod unavailable;
mod wait;

pub use audit::{AuditLog, Records};
pub use authenticator::Authenticator;
pub use builder::Builder;
pub use client::{Client, Outcome};
pub use commands::{Enrolling, Said};
pub use crowd::{Crowd, CrowdServer, Passed, Settled};
pub use daemon::Footprint;
pub use desktop::{Desktop, missing, screenshots};
pub use disk::{Disk, Disks};
pub use host::{Host, client_program, program};
pub use installed::Installed;
pub use login::Login;
pub use machine::{Machine, Shell};
pub use postgres::Postgres;
pub use probe::{Fate, Probe, probe_program};
pub use process::Running;
pub use pty::Terminal;
pub use sandbox::{ALICE, BOB, POSTGRES, ROOT, User, postgres_bin};
pub use screen::Screen;
pub use server::Server;
pub use sockets::{wait_for_listener, wait_for_no_connect, wait_for_retry, wait_for_stuck_data};
pub use ssh::Sshd;
pub use unavailable::{cannot_run, has_mptcp, has_postgres, is_throwaway_machine, measured};
pub use wait::{PATIENCE, patience, until};
