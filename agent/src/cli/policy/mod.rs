// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `stile policy`: what admins do with policy files before an agent gets them.

mod check;

pub(in crate::cli) use self::check::check;
