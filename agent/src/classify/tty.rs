// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Controlling terminals.

use std::fmt;

/// A terminal that a person may sit at. Only these are written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TtyName {
    /// `/dev/pts/N`
    Pts(u32),
    /// `/dev/ttyN`, a virtual console.
    Console(u32),
}

/// Major number of virtual consoles and serial lines (Linux's devices.txt).
const TTY_MAJOR: u32 = 4;
/// Minor numbers from here on are serial lines.
const FIRST_SERIAL: u32 = 64;
/// First and last major number of Unix 98 pseudo-terminals.
const PTS_MAJORS: (u32, u32) = (136, 143);
/// Pseudo-terminals of one major number, before minor numbers had 20 bits.
const PTS_BY_MAJOR: u32 = 256;

impl TtyName {
    /// The terminal that field 7 of `/proc/PID/stat` names (proc_pid_stat(5)): bits 31 to 20
    /// and 7 to 0 are the minor device number, bits 15 to 8 the major one.
    #[must_use]
    pub fn from_tty_nr(number: i32) -> Option<Self> {
        let number = number.cast_unsigned();
        let major = number >> 8 & 0xfff;
        let minor = number & 0xff | number >> 12 & 0xfff00;
        Self::from_device(major, minor)
    }

    /// The terminal with this device number.
    #[must_use]
    pub fn from_device(major: u32, minor: u32) -> Option<Self> {
        let (first, last) = PTS_MAJORS;
        if (first..=last).contains(&major) {
            return Some(Self::Pts((major - first) * PTS_BY_MAJOR + minor));
        }
        let console = major == TTY_MAJOR && (1..FIRST_SERIAL).contains(&minor);
        console.then_some(Self::Console(minor))
    }
}

impl fmt::Display for TtyName {
    /// Its path below `/dev`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pts(number) => write!(f, "pts/{number}"),
            Self::Console(number) => write!(f, "tty{number}"),
        }
    }
}

/// A process's terminal at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// Which one.
    pub tty: TtyName,
    /// The process's own process group.
    pub group: u32,
    /// The group in the terminal's foreground, if there is one.
    pub foreground: Option<u32>,
}

impl Terminal {
    /// True if the process is what the person at the terminal deals with.
    #[must_use]
    pub fn is_in_foreground(&self) -> bool {
        self.foreground == Some(self.group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_become_names() {
        for (number, name) in [
            (136 << 8 | 3, "pts/3"),
            (136 << 8 | 255, "pts/255"),
            (1 << 20 | 136 << 8 | 1, "pts/257"),
            (137 << 8 | 1, "pts/257"),
            (4 << 8 | 1, "tty1"),
            (4 << 8 | 63, "tty63"),
        ] {
            assert_eq!(TtyName::from_tty_nr(number).unwrap().to_string(), name);
        }
    }

    #[test]
    fn no_terminal_serial_lines_and_other_devices_have_no_name() {
        for number in [0, -1, 4 << 8, 4 << 8 | 64, 5 << 8, 1 << 8 | 3, 144 << 8] {
            assert_eq!(TtyName::from_tty_nr(number), None, "{number}");
        }
    }
}
