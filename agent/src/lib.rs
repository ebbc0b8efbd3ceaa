// SPDX-License-Identifier: Apache-2.0 OR MIT
//! stile's agent: it holds connections to protected endpoints until the user has stepped up.
//!
//! Data goes one way (`docs/architecture.md`):
//! [`kernel`] → [`classify`] → [`decide`] → [`challenge`] → [`verify`] → [`grant`] →
//! [`kernel`], and only [`pipeline`] knows all stages.

pub mod audit;
pub mod bus;
pub mod challenge;
pub mod classify;
pub mod cli;
pub mod clock;
pub mod compare;
pub mod config;
pub mod decide;
pub mod doctor;
pub mod explain;
pub mod forecast;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod grant;
pub mod history;
pub mod hosts;
pub mod ids;
pub mod kernel;
pub mod ledger;
pub mod pipeline;
pub mod policy;
pub mod prompt;
pub mod prompter;
pub mod service;
mod shared;
pub mod sys;
pub mod texts;
pub mod verify;
