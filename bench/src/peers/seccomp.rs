// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The floor under what asks a supervisor about each connect(2), by seccomp's user notifications.

/// Its name in the tables.
pub(crate) const NAME: &str = "seccomp";

/// Why it isn't measured.
pub(crate) const WHY_NOT: &str = "every Rust library for seccomp_unotify(2) either binds the C \
    library libseccomp, which all builds of the workspace would then need, or asks its callers for \
    unsafe code, which the bench has none of";
