// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One attempt, as far as an audit log tells it.

use std::net::IpAddr;
use std::path::PathBuf;

use jiff::Timestamp;

use crate::ids::Uid;

/// Connections of one user to one endpoint, all at the same time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    pub(super) at: Timestamp,
    pub(super) uid: Uid,
    /// The name that the user had then.
    pub(super) user: Option<String>,
    /// Under which name the endpoint was protected then.
    pub(super) endpoint: String,
    /// Where exactly; none of connections that were only counted.
    pub(super) to: Option<(IpAddr, u16, u8)>,
    pub(super) process: Option<Process>,
    /// How many they are.
    pub(super) count: u64,
}

/// The process that connects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) exe: Option<PathBuf>,
    pub(super) cgroup: Option<PathBuf>,
}
