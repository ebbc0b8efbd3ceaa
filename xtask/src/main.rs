// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Development tasks.
fn main() {}
