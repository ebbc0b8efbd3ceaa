// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which programs a rule speaks of.

use std::fmt;
use std::os::unix::ffi::OsStrExt as _;

use super::facts::{Fact, Facts, ProgramFacts, Unknown};
use super::pattern::Pattern;

/// A program: the file that runs, not what it was called by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramSelector {
    /// The absolute path of the file, as the kernel knows it: symbolic links are resolved.
    pub path: Pattern,
    /// The SHA-256 of its content, if the rule wants to be that sure.
    pub sha256: Option<[u8; 32]>,
}

impl ProgramSelector {
    /// True if this is what runs. A file of that path which others than root may have written, or
    /// whose content is another, can't be told to be the program or not: it is in doubt.
    ///
    /// # Errors
    /// If it is in doubt.
    pub(super) fn selects(&self, program: &ProgramFacts, facts: &dyn Facts) -> Fact<bool> {
        if !self.path.fits(program.path.as_os_str().as_bytes()) {
            return Ok(false);
        }
        if let Some(doubt) = &program.doubt {
            return Err(Unknown::Fact(doubt.clone()));
        }
        match self.sha256 {
            None => Ok(true),
            Some(wanted) if facts.digest()? == wanted => Ok(true),
            Some(_) => Err(Unknown::because("its content has another SHA-256")),
        }
    }
}

impl fmt::Display for ProgramSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.fmt(f)
    }
}
