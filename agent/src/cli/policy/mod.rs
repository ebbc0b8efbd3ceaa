// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `stile policy`: what admins do with policy files before an agent gets them.

mod check;
mod diff;
mod explain;
mod forecast;
mod schema;
mod test;

pub(in crate::cli) use self::check::check;
pub(in crate::cli) use self::diff::diff;
pub(in crate::cli) use self::explain::explain;
pub(in crate::cli) use self::forecast::forecast;
pub(in crate::cli) use self::schema::schema;
pub(in crate::cli) use self::test::test;
