// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is said between the bench and its workers: one JSON value a line, in both directions.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// What to connect with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Protocol {
    /// TCP: a whole handshake.
    Tcp,
    /// UDP: one socket that is connected again and again. No packet is sent.
    Udp,
}

/// A list of addresses that a worker has learned.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct List(pub(crate) usize);

/// Something that a worker does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "job", rename_all = "snake_case")]
pub(crate) enum Job {
    /// Remembers addresses; the answer is [`Answer::Learned`].
    Learn {
        /// The addresses, to be used one after the other, and then from the first one again.
        addresses: Vec<SocketAddr>,
    },
    /// Times connect() alone. Its other end is accepted and both are reset outside of the time.
    Connect {
        /// With what.
        protocol: Protocol,
        /// Where to; for TCP the port is that of the worker's own listener.
        to: List,
        /// How often.
        count: usize,
    },
    /// Times connect() where each must fail with this `errno`.
    Refused {
        /// Where to.
        to: List,
        /// How often.
        count: usize,
        /// The error.
        errno: i32,
    },
    /// Times connect, send, and the first bytes back, of an echo server.
    Reply {
        /// Where to.
        to: List,
        /// How often.
        count: usize,
    },
    /// Connects to a [`crate::server::Server`], and keeps the connection for what follows.
    Open {
        /// Where to.
        to: SocketAddr,
    },
    /// Times sending [`super::PING`] bytes on the kept connection until they are back.
    PingPong {
        /// How often.
        count: usize,
    },
    /// Times requests of HTTP/1.1 on the kept connection, each until its whole answer is there.
    Requests {
        /// How many.
        count: usize,
    },
    /// Sends data on the kept connection; the answer has nanoseconds for each MiB.
    Bulk {
        /// How much, in MiB.
        mebibytes: usize,
    },
}

/// What a worker says to a job.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub(crate) enum Answer {
    /// The list's name from now on.
    Learned {
        /// The name.
        list: List,
    },
    /// It is done, and there is nothing to tell.
    Done,
    /// What the operations of a block took, in nanoseconds.
    Took {
        /// Their median.
        median: f64,
        /// Their 99th percentile.
        p99: Option<f64>,
        /// CPU time of everything in the sandbox for each of them.
        cpu: Option<f64>,
    },
    /// It went wrong.
    Failed {
        /// How.
        why: String,
    },
}
