// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What lies where in the file. A change of meaning raises [`SCHEMA`].

use redb::TableDefinition;

/// The schema that this version writes.
pub(super) const SCHEMA: u64 = 1;
/// Key of the schema version in [`META`].
pub(super) const SCHEMA_KEY: &str = "schema";

/// About the file itself.
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// TOTP secrets: uid to the JSON of a `TotpRecord`.
pub(super) const TOTP: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("totp");
/// The last used TOTP step of a uid. It outlives the secret.
pub(super) const STEPS: TableDefinition<'_, u32, u64> = TableDefinition::new("totp_steps");
/// Consecutive failures: uid to the JSON of a [`super::Failures`].
pub(super) const FAILURES: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("failures");
/// Elevations: uid and id to the JSON of a [`super::NewElevation`].
pub(super) const ELEVATIONS: TableDefinition<'_, (u32, u64), &[u8]> =
    TableDefinition::new("elevations");
/// The next unused id by kind.
pub(super) const COUNTERS: TableDefinition<'_, &str, u64> = TableDefinition::new("counters");
/// Key of the next grant id in [`COUNTERS`].
pub(super) const NEXT_GRANT: &str = "grant";
/// Key of the next elevation id in [`COUNTERS`].
pub(super) const NEXT_ELEVATION: &str = "elevation";
