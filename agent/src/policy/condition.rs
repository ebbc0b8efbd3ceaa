// SPDX-License-Identifier: Apache-2.0 OR MIT
//! When a rule holds: typed conditions, each of which can be told, explained and written down.

use std::fmt;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::pattern::Pattern;
use super::window::Window;
use crate::config::format_duration;

/// A table of conditions: it holds if all of them do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition(pub Vec<Test>);

impl Condition {
    /// True if it may hold for one connection and not for another one at the same time.
    #[must_use]
    pub fn varies(&self) -> bool {
        self.0.iter().any(Test::varies)
    }
}

/// True if any of them may hold for one connection and not for another one at the same time.
pub(super) fn vary(when: &[Condition]) -> bool {
    when.iter().any(Condition::varies)
}

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// `hours`, `days` and `tz`: the time of day and of the week.
    Time(Window),
    /// `remote`: whether the login session came over the network.
    Remote(bool),
    /// `remote_address`: where it came from; one of these networks.
    RemoteAddress(Vec<IpNet>),
    /// `session`: of which type it is; one of these.
    Session(Vec<SessionType>),
    /// `seat`: at which seat it is; one of these.
    Seat(Vec<String>),
    /// `tty`: whether the process has a terminal.
    Terminal(bool),
    /// `unit`: in which systemd unit it runs; one of these.
    Unit(Vec<Pattern>),
    /// `program_first_seen`: whether the user has not got through with this program before.
    ProgramFirstSeen(bool),
    /// `destination_first_seen`: whether the user has not got through to this endpoint before.
    DestinationFirstSeen(bool),
    /// `address_first_seen`: whether the user has not got through from this remote address
    /// before.
    AddressFirstSeen(bool),
    /// `unusual_hour`: whether the user hardly ever works at this hour of the day.
    UnusualHour(bool),
    /// `recent_failures`: how many wrong answers the user has given lately.
    Failures(AtLeast),
    /// `connections`: how many connections to the endpoint the user has tried lately.
    Connections(AtLeast),
}

impl Test {
    /// True if the answer can differ between two connections that one user makes to one
    /// endpoint at one time: then no grant for all of them can be given.
    #[must_use]
    pub fn varies(&self) -> bool {
        !matches!(self, Self::Time(_))
    }

    /// The key it is written as.
    #[must_use]
    pub fn key(&self) -> &'static str {
        match self {
            Self::Time(_) => "hours",
            Self::Remote(_) => "remote",
            Self::RemoteAddress(_) => "remote_address",
            Self::Session(_) => "session",
            Self::Seat(_) => "seat",
            Self::Terminal(_) => "tty",
            Self::Unit(_) => "unit",
            Self::ProgramFirstSeen(_) => "program_first_seen",
            Self::DestinationFirstSeen(_) => "destination_first_seen",
            Self::AddressFirstSeen(_) => "address_first_seen",
            Self::UnusualHour(_) => "unusual_hour",
            Self::Failures(_) => "recent_failures",
            Self::Connections(_) => "connections",
        }
    }
}

impl fmt::Display for Test {
    /// As it is written in a policy: `remote = true`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.key();
        match self {
            Self::Time(window) => window.fmt(f),
            Self::Remote(wanted)
            | Self::Terminal(wanted)
            | Self::ProgramFirstSeen(wanted)
            | Self::DestinationFirstSeen(wanted)
            | Self::AddressFirstSeen(wanted)
            | Self::UnusualHour(wanted) => write!(f, "{key} = {wanted}"),
            Self::RemoteAddress(nets) => write!(f, "{key} = {}", quoted(nets)),
            Self::Session(types) => write!(f, "{key} = {}", quoted(types)),
            Self::Seat(seats) => write!(f, "{key} = {}", quoted(seats)),
            Self::Unit(units) => write!(f, "{key} = {}", quoted(units)),
            Self::Failures(bound) | Self::Connections(bound) => write!(f, "{key} = {bound}"),
        }
    }
}

fn quoted(items: &[impl fmt::Display]) -> String {
    let items: Vec<_> = items.iter().map(|item| format!("\"{item}\"")).collect();
    format!("[{}]", items.join(", "))
}

/// The type of a login session, as logind has it (`org.freedesktop.login1.Session.Type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionType {
    /// A terminal, that of ssh too.
    Tty,
    /// A desktop on X11.
    X11,
    /// A desktop on Wayland.
    Wayland,
    /// A web session.
    Web,
    /// None of these.
    Unspecified,
}

impl SessionType {
    /// All of them, with the words that stand for them.
    pub const ALL: [(&'static str, Self); 5] = [
        ("tty", Self::Tty),
        ("x11", Self::X11),
        ("wayland", Self::Wayland),
        ("web", Self::Web),
        ("unspecified", Self::Unspecified),
    ];
}

impl fmt::Display for SessionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = Self::ALL.iter().find(|(_, kind)| kind == self);
        f.write_str(found.map_or("unspecified", |(word, _)| word))
    }
}

/// So many of something within a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtLeast {
    /// How many; not 0.
    pub count: u32,
    /// In how long; 1 s to [`AtLeast::LONGEST`].
    pub within: Duration,
}

impl AtLeast {
    /// The longest time that is remembered.
    pub const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
}

impl fmt::Display for AtLeast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let within = format_duration(self.within);
        write!(f, "{{ at_least = {}, within = \"{within}\" }}", self.count)
    }
}
