// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the agent asks of Linux itself, and the only place with `unsafe`.
//!
//! Everything here is mechanism: which process, which socket, which namespace. Who may do
//! what is decided elsewhere.

pub mod boot_timer;
pub mod bpf_batch;
pub mod bpf_link;
pub mod cgroup;
pub mod child;
pub mod features;
pub mod file;
pub mod group;
pub mod holders;
pub mod log;
pub mod memory;
pub mod netns;
pub mod pidfd;
pub mod process;
pub mod replay;
pub mod slices;
pub mod sock_diag;
pub mod socket;
pub mod watch;
pub mod wiping;
