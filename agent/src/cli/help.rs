// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What stands below the help of every command.

/// Exit codes, below the help of every command.
macro_rules! exit_codes {
    () => {
        "\
Exit codes:
  0  done
  1  refused or failed, such as a wrong code
  2  not clear what is meant
  3  nothing to do, such as no such challenge
  4  the agent or the D-Bus system bus can't be reached
  5  a broken policy or a broken audit log was found
  6  the policies that were compared differ
  126, 127  `stile run`: the command can't be run, or isn't there
  128+n  ended by signal n"
    };
}

macro_rules! after {
    ($($example:literal),+) => {
        concat!("Examples:\n", $("  ", $example, "\n",)+ "\n", exit_codes!())
    };
}

pub(super) use {after, exit_codes};
