// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Only a right code, once, from the right person, is proof.

mod codes;
mod enrolling;
mod late;
mod others;
