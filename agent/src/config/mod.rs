// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The agent's settings, and how its TOML files are read.
//!
//! Every file of stile is read the same way: all mistakes of all files are reported at once,
//! each with its file, line and column ([`Diagnostics`]). Nothing is guessed: an unknown key
//! or a meaningless value is an error, never a default with a warning.

mod collect;
mod diagnostics;
mod duration;
mod pam;
mod read;
mod settings;
mod suggest;
mod table;

pub use diagnostics::{Diagnostic, DiagnosticView, Diagnostics, Level};
pub use duration::{DurationError, format_duration, parse_duration};
pub use pam::PamSetting;
pub use read::Trust;
pub use settings::Settings;

pub(crate) use collect::{FileId, Findings, Spot};
pub(crate) use read::{read_text, refuse_untrusted};
pub(crate) use settings::MAX_UID;
pub(crate) use suggest::closest;
pub(crate) use table::{Table, Value, parse, peek};
