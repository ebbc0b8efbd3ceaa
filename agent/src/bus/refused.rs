// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Refusals as D-Bus errors: `org.stile.Agent1.Error.*`. Their names are part of the
//! interface and don't change; their texts are for people.

use std::fmt;

use zbus::DBusError;

use crate::service::Refusal;

/// A call that the agent refused, on either side of the bus.
///
/// All down to [`Refused::Kernel`] are [`Refusal`]s; each holds the text that the agent chose.
#[derive(Debug, DBusError)]
#[zbus(prefix = "org.stile.Agent1.Error", impl_display = false)]
pub enum Refused {
    /// [`Refusal::NoSuchChallenge`].
    NoSuchChallenge(String),
    /// [`Refusal::ChallengeOver`].
    ChallengeOver(String),
    /// [`Refusal::NoSuchGrant`].
    NoSuchGrant(String),
    /// [`Refusal::NotEnrolled`].
    NotEnrolled(String),
    /// [`Refusal::AlreadyEnrolled`].
    AlreadyEnrolled(String),
    /// [`Refusal::NeedsCode`].
    NeedsCode(String),
    /// [`Refusal::WrongCode`].
    WrongCode(String),
    /// [`Refusal::Throttled`].
    Throttled(String),
    /// [`Refusal::NoSuchFactor`].
    NoSuchFactor(String),
    /// [`Refusal::NoEmergency`].
    NoEmergency(String),
    /// [`Refusal::TooManyEmergencies`].
    TooManyEmergencies(String),
    /// [`Refusal::BadReason`].
    BadReason(String),
    /// [`Refusal::NoSuchConversation`].
    NoSuchConversation(String),
    /// [`Refusal::NotTold`].
    NotTold(String),
    /// [`Refusal::BadFactor`].
    BadFactor(String),
    /// [`Refusal::Locked`].
    Locked(String),
    /// [`Refusal::NoEnrollment`].
    NoEnrollment(String),
    /// [`Refusal::CannotEnroll`].
    CannotEnroll(String),
    /// [`Refusal::NotPermitted`].
    NotPermitted(String),
    /// [`Refusal::NoSuchRealm`].
    NoSuchRealm(String),
    /// [`Refusal::NotBeforehand`].
    NotBeforehand(String),
    /// [`Refusal::NoPrompter`].
    NoPrompter(String),
    /// [`Refusal::BadPolicy`].
    BadPolicy(String),
    /// [`Refusal::Busy`].
    Busy(String),
    /// [`Refusal::Storage`].
    Storage(String),
    /// [`Refusal::Kernel`].
    Kernel(String),
    /// An argument that can't be meant, such as a code of a hundred characters.
    BadArgument(String),
    /// The bus doesn't say who the caller is.
    Unidentified(String),
    /// The agent is about to end and takes no more requests.
    Stopping(String),
    /// Not a refusal: the bus failed, or another error came back.
    #[zbus(error)]
    Bus(zbus::Error),
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let text = refusal.to_string();
        match refusal {
            Refusal::NoSuchChallenge => Self::NoSuchChallenge(text),
            Refusal::ChallengeOver(_) => Self::ChallengeOver(text),
            Refusal::NoSuchGrant => Self::NoSuchGrant(text),
            Refusal::NotEnrolled | Refusal::NoRecoveryCodes => Self::NotEnrolled(text),
            Refusal::AlreadyEnrolled(_) => Self::AlreadyEnrolled(text),
            Refusal::NeedsCode => Self::NeedsCode(text),
            Refusal::WrongCode { .. } => Self::WrongCode(text),
            Refusal::Throttled { .. } => Self::Throttled(text),
            Refusal::NoSuchFactor(_) | Refusal::NotTaken { .. } => Self::NoSuchFactor(text),
            Refusal::NoEmergency => Self::NoEmergency(text),
            Refusal::TooManyEmergencies { .. } => Self::TooManyEmergencies(text),
            Refusal::BadReason(_) => Self::BadReason(text),
            Refusal::NoSuchConversation => Self::NoSuchConversation(text),
            Refusal::NotTold(_) => Self::NotTold(text),
            Refusal::BadFactor(_) => Self::BadFactor(text),
            Refusal::Locked | Refusal::OtherLocked { .. } => Self::Locked(text),
            Refusal::NoEnrollment => Self::NoEnrollment(text),
            Refusal::CannotEnroll(_) => Self::CannotEnroll(text),
            Refusal::NotPermitted => Self::NotPermitted(text),
            Refusal::NoSuchRealm => Self::NoSuchRealm(text),
            Refusal::NotBeforehand => Self::NotBeforehand(text),
            Refusal::NoPrompter(_) => Self::NoPrompter(text),
            Refusal::BadPolicy(_) => Self::BadPolicy(text),
            Refusal::Busy => Self::Busy(text),
            Refusal::Storage(_) => Self::Storage(text),
            Refusal::Kernel(_) => Self::Kernel(text),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchChallenge(text)
            | Self::ChallengeOver(text)
            | Self::NoSuchGrant(text)
            | Self::NotEnrolled(text)
            | Self::AlreadyEnrolled(text)
            | Self::NeedsCode(text)
            | Self::WrongCode(text)
            | Self::Throttled(text)
            | Self::NoSuchFactor(text)
            | Self::NoEmergency(text)
            | Self::TooManyEmergencies(text)
            | Self::BadReason(text)
            | Self::NoSuchConversation(text)
            | Self::NotTold(text)
            | Self::BadFactor(text)
            | Self::Locked(text)
            | Self::NoEnrollment(text)
            | Self::CannotEnroll(text)
            | Self::NotPermitted(text)
            | Self::NoSuchRealm(text)
            | Self::NotBeforehand(text)
            | Self::NoPrompter(text)
            | Self::BadPolicy(text)
            | Self::Busy(text)
            | Self::Storage(text)
            | Self::Kernel(text)
            | Self::BadArgument(text)
            | Self::Unidentified(text)
            | Self::Stopping(text) => f.write_str(text),
            Self::Bus(error) => error.fmt(f),
        }
    }
}
