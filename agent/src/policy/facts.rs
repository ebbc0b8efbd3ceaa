// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a policy may ask about a connection. Nothing is looked up before a rule asks.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use super::condition::SessionType;
use super::names::NameError;

/// An answer, or why there is none.
pub type Fact<T> = Result<T, Unknown>;

/// Why a rule can't be judged. It then counts as whatever is stricter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// The name services failed.
    Names(NameError),
    /// A fact can't be had.
    Fact(Cow<'static, str>),
}

impl Unknown {
    /// A fact can't be had, for this reason.
    pub fn because(why: impl Into<Cow<'static, str>>) -> Self {
        Self::Fact(why.into())
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Names(error) => error.fmt(f),
            Self::Fact(why) => f.write_str(why),
        }
    }
}

impl From<NameError> for Unknown {
    fn from(error: NameError) -> Self {
        Self::Names(error)
    }
}

/// What runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramFacts {
    /// The path of the file.
    pub path: PathBuf,
    /// Why the file can't be taken for what an admin put there, if so: another one runs, or others
    /// than root may write it.
    pub doubt: Option<Cow<'static, str>>,
}

/// The login session that a process belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionFacts {
    /// Whether it came over the network.
    pub remote: bool,
    /// From where, if that is known.
    pub remote_address: Option<IpAddr>,
    /// Its type.
    pub kind: SessionType,
    /// Its seat, if it has one.
    pub seat: Option<String>,
}

/// Everything that a condition can ask about one connection of one user to one endpoint.
pub trait Facts {
    /// When it is.
    fn at(&self) -> Timestamp;

    /// What connects.
    ///
    /// # Errors
    /// If it can't be told, as when the process has ended.
    fn program(&self) -> Fact<ProgramFacts>;

    /// The SHA-256 of the file that runs.
    ///
    /// # Errors
    /// If it can't be read.
    fn digest(&self) -> Fact<[u8; 32]>;

    /// The login session.
    ///
    /// # Errors
    /// If there is none, or it can't be told.
    fn session(&self) -> Fact<SessionFacts>;

    /// Whether the login session came over the network.
    ///
    /// # Errors
    /// If there is none, or it can't be told.
    fn is_remote(&self) -> Fact<bool> {
        Ok(self.session()?.remote)
    }

    /// From where the login session came; none if it didn't come over the network.
    ///
    /// # Errors
    /// If there is none, or it can't be told.
    fn remote_address(&self) -> Fact<Option<IpAddr>> {
        let session = self.session()?;
        if session.remote && session.remote_address.is_none() {
            let why = "where the session came from is not known";
            return Err(Unknown::because(why));
        }
        Ok(session.remote_address)
    }

    /// The type of the login session.
    ///
    /// # Errors
    /// If there is none, or it can't be told.
    fn session_type(&self) -> Fact<SessionType> {
        Ok(self.session()?.kind)
    }

    /// The seat of the login session, if it has one.
    ///
    /// # Errors
    /// If there is none, or it can't be told.
    fn seat(&self) -> Fact<Option<String>> {
        Ok(self.session()?.seat)
    }

    /// Whether the process has a terminal.
    ///
    /// # Errors
    /// If it can't be told.
    fn has_terminal(&self) -> Fact<bool>;

    /// The systemd unit.
    ///
    /// # Errors
    /// If it can't be told.
    fn unit(&self) -> Fact<String>;

    /// Whether the user has never got through with this program.
    ///
    /// # Errors
    /// If it can't be told.
    fn is_program_new(&self) -> Fact<bool>;

    /// Whether the user has never got through to this endpoint.
    ///
    /// # Errors
    /// If it can't be told.
    fn is_destination_new(&self) -> Fact<bool>;

    /// Whether the user has never got through from this remote address. A session that isn't
    /// remote has none, and it isn't new.
    ///
    /// # Errors
    /// If it can't be told.
    fn is_address_new(&self) -> Fact<bool>;

    /// Whether the user hardly ever gets through at this hour of the day.
    ///
    /// # Errors
    /// If it can't be told, as when too little is known of the user.
    fn is_hour_unusual(&self) -> Fact<bool>;

    /// How many wrong answers the user has given within this time, up to now.
    ///
    /// # Errors
    /// If it can't be told.
    fn failures_within(&self, time: Duration) -> Fact<u32>;

    /// How many connections to the endpoint the user has tried within this time, this one
    /// included.
    ///
    /// # Errors
    /// If it can't be told.
    fn connections_within(&self, time: Duration) -> Fact<u32>;
}

/// A connection of which nothing is known but when it is: what can be said of all connections of
/// a user at once.
#[derive(Clone, Copy, Debug)]
pub struct OnlyTime(pub Timestamp);

fn unknown<T>() -> Fact<T> {
    Err(Unknown::because("it is about no connection in particular"))
}

impl Facts for OnlyTime {
    fn at(&self) -> Timestamp {
        self.0
    }

    fn program(&self) -> Fact<ProgramFacts> {
        unknown()
    }

    fn digest(&self) -> Fact<[u8; 32]> {
        unknown()
    }

    fn session(&self) -> Fact<SessionFacts> {
        unknown()
    }

    fn has_terminal(&self) -> Fact<bool> {
        unknown()
    }

    fn unit(&self) -> Fact<String> {
        unknown()
    }

    fn is_program_new(&self) -> Fact<bool> {
        unknown()
    }

    fn is_destination_new(&self) -> Fact<bool> {
        unknown()
    }

    fn is_address_new(&self) -> Fact<bool> {
        unknown()
    }

    fn is_hour_unusual(&self) -> Fact<bool> {
        unknown()
    }

    fn failures_within(&self, _time: Duration) -> Fact<u32> {
        unknown()
    }

    fn connections_within(&self, _time: Duration) -> Fact<u32> {
        unknown()
    }
}
