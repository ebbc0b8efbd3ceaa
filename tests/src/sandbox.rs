// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the sandbox of `cargo xtask test` gives.

use std::path::PathBuf;

/// A user of the sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: &'static str,
    /// The uid, which is the gid too.
    pub uid: u32,
}

/// A gated user, in the group `dba`.
pub const ALICE: User = User {
    name: "alice",
    uid: 42001,
};
/// Another gated user.
pub const BOB: User = User {
    name: "bob",
    uid: 42002,
};
/// Who runs PostgreSQL: a system user, whose uid is not gated.
pub const POSTGRES: User = User {
    name: "postgres",
    uid: 942,
};
/// The administrator, whose uid is not gated.
pub const ROOT: User = User {
    name: "root",
    uid: 0,
};

/// The cgroup of the whole sandbox.
pub(crate) fn cgroup() -> PathBuf {
    path("STILE_TEST_CGROUP")
}

/// Where `stiled`, `stile` and the tests' own client are.
pub(crate) fn bin(name: &str) -> PathBuf {
    path("STILE_BIN_DIR").join(name)
}

/// Where this program of PostgreSQL's is.
///
/// # Panics
/// Outside of a sandbox.
#[must_use]
pub fn postgres_bin(name: &str) -> PathBuf {
    path("STILE_PG_BIN").join(name)
}

fn path(variable: &str) -> PathBuf {
    match std::env::var_os(variable) {
        Some(path) if std::env::var_os("STILE_SANDBOX").is_some() => path.into(),
        _ => panic!("{variable} is not set: run `cargo xtask test`, which makes a sandbox"),
    }
}
