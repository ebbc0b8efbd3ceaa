// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who, what and where: the parts that many records share.

use std::time::Duration;

use serde::Serialize;

use crate::ids::{SocketCookie, Uid};

/// Who is asked: the owner of the session, not necessarily the uid of the process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Subject {
    /// The uid.
    pub uid: Uid,
    /// The name that it had, if it had one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// The process that opened a connection, as /proc knew it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProcessFacts {
    /// Process id in the initial namespace.
    pub pid: u32,
    /// Its real uid.
    pub uid: Uid,
    /// Its program's path. None if it had ended before it could be read.
    pub exe: Option<String>,
    /// The name of the thread.
    pub comm: String,
    /// The process that started it.
    pub parent_pid: Option<u32>,
    /// That one's program.
    pub parent_exe: Option<String>,
    /// Path of its cgroup.
    pub cgroup: Option<String>,
}

/// Where a connection goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Destination {
    /// The address.
    pub address: String,
    /// The port.
    pub port: u16,
    /// `tcp`, `udp` or another name or number of the protocol.
    pub protocol: String,
    /// The protected endpoint that it belongs to.
    pub endpoint: String,
}

impl Destination {
    /// `address:port`.
    #[must_use]
    pub fn shown(&self) -> String {
        let Self { address, port, .. } = self;
        if address.contains(':') {
            format!("[{address}]:{port}")
        } else {
            format!("{address}:{port}")
        }
    }
}

/// One socket on its way to one destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Flow {
    /// The socket.
    pub socket: SocketCookie,
    /// Who is asked.
    pub subject: Subject,
    /// What opened it.
    pub process: ProcessFacts,
    /// Where it goes.
    pub destination: Destination,
}

/// A duration as the log gives it: whole microseconds.
#[must_use]
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
