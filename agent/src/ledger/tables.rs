// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What lies where in the file. A change of meaning raises [`SCHEMA`].

use redb::TableDefinition;

/// The schema that this version writes. 1 had one TOTP secret for each user, in plain text.
pub(super) const SCHEMA: u64 = 2;
/// Key of the schema version in [`META`].
pub(super) const SCHEMA_KEY: &str = "schema";

/// About the file itself.
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// The key that seals secrets, itself sealed: [`DATA_KEY`] to its bytes.
pub(super) const SEALING: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("sealing");
/// Key of the data key in [`SEALING`].
pub(super) const DATA_KEY: &str = "data-key";
/// TOTP devices: uid and id to the JSON of a `DeviceRecord`.
pub(super) const DEVICES: TableDefinition<'_, (u32, u64), &[u8]> = TableDefinition::new("devices");
/// The last used step of a user's secret, by a digest of the secret. It outlives the device.
pub(super) const STEPS: TableDefinition<'_, (u32, &[u8]), u64> = TableDefinition::new("steps");
/// Recovery codes: uid to the JSON of a `RecoveryRecord`.
pub(super) const RECOVERY: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("recovery");
/// Consecutive failures: uid and factor to the JSON of a [`super::Failures`].
pub(super) const FAILURES: TableDefinition<'_, (u32, &str), &[u8]> =
    TableDefinition::new("factor_failures");
/// Elevations: uid and id to the JSON of a [`super::NewElevation`].
pub(super) const ELEVATIONS: TableDefinition<'_, (u32, u64), &[u8]> =
    TableDefinition::new("elevations");
/// Emergencies: uid and id to the JSON of a [`super::StoredEmergency`].
pub(super) const EMERGENCIES: TableDefinition<'_, (u32, u64), &[u8]> =
    TableDefinition::new("emergencies");
/// The next unused id by kind.
pub(super) const COUNTERS: TableDefinition<'_, &str, u64> = TableDefinition::new("counters");
/// Key of the next grant id in [`COUNTERS`].
pub(super) const NEXT_GRANT: &str = "grant";
/// Key of the next elevation id in [`COUNTERS`].
pub(super) const NEXT_ELEVATION: &str = "elevation";
/// Key of the next emergency's id in [`COUNTERS`].
pub(super) const NEXT_EMERGENCY: &str = "emergency";
/// Key of the next device id in [`COUNTERS`].
pub(super) const NEXT_DEVICE: &str = "device";
