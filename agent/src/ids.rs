// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The ids of stile's things, each a type of its own, so that none is taken for another.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A numeric user id. Never a name: names can change hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Uid(pub u32);

/// A numeric group id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Gid(pub u32);

/// An endpoint, as the kernel's maps name it.
///
/// It is made from the endpoint's name, so that a grant that outlives the daemon still means
/// the same endpoint after a restart with another policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EndpointId(pub u32);

impl EndpointId {
    /// The id of the endpoint with this name: the first four bytes of its SHA-256, never 0
    /// (which stands for "any endpoint" in a grant). Two names of one policy that share an
    /// id are an error of that policy.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        let digest = Sha256::digest(name.as_bytes());
        let id = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
        Self(id.max(1))
    }
}

/// A socket, as the kernel names it (`SO_COOKIE`). Unique until the machine reboots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SocketCookie(pub u64);

/// A grant. Counts up in the ledger; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GrantId(pub u64);

/// An elevation. Counts up in the ledger; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ElevationId(pub u64);

/// A device that makes codes. Counts up in the ledger; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeviceId(pub u64);

/// A challenge, short enough to be typed. Counts up while the daemon runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChallengeId(pub u64);

macro_rules! display_number {
    ($($type:ident),+) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}
display_number!(
    Uid,
    Gid,
    SocketCookie,
    GrantId,
    ElevationId,
    DeviceId,
    ChallengeId
);

#[cfg(test)]
mod tests {
    use super::EndpointId;

    #[test]
    fn the_id_of_an_endpoint_depends_on_its_name_alone() {
        assert_eq!(
            EndpointId::from_name("prod-db"),
            EndpointId::from_name("prod-db")
        );
        assert_ne!(
            EndpointId::from_name("prod-db"),
            EndpointId::from_name("prod-db2")
        );
        assert_ne!(EndpointId::from_name("").0, 0);
    }
}
