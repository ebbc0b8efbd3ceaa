// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What people are asked as a reason.

use crate::policy::ReasonAsked;

/// The reason that is asked for, for those who ask it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReasonView {
    /// `required`, `optional`, or empty if none is asked for.
    pub demand: String,
    /// What it is called, as `ticket`; empty if it has no name.
    pub name: String,
    /// The regular expression for the whole of it; empty if any text will do.
    pub pattern: String,
}

impl ReasonView {
    /// The same, where it may be left out.
    #[must_use]
    pub fn optional(mut self) -> Self {
        if !self.demand.is_empty() {
            self.demand = "optional".to_owned();
        }
        self
    }
}

impl From<Option<&ReasonAsked>> for ReasonView {
    fn from(asked: Option<&ReasonAsked>) -> Self {
        let Some(asked) = asked else {
            return Self::default();
        };
        let pattern = asked.pattern.as_ref();
        let demand = match asked.required {
            true => "required",
            false => "optional",
        };
        Self {
            demand: demand.to_owned(),
            name: asked.prompt.clone().unwrap_or_default(),
            pattern: pattern.map_or_else(String::new, |pattern| pattern.as_str().to_owned()),
        }
    }
}
