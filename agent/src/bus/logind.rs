// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What logind knows of a session: whether its user sees the screen.

use std::time::Duration;

use zbus::Connection;
use zbus::proxy::CacheProperties;

/// How long logind may take. It answers in microseconds, and people wait.
const PATIENCE: Duration = Duration::from_secs(1);

#[zbus::proxy(
    interface = "org.freedesktop.login1.Manager",
    default_service = "org.freedesktop.login1",
    default_path = "/org/freedesktop/login1"
)]
trait Manager {
    #[zbus(no_autostart)]
    fn get_session(&self, id: &str) -> zbus::Result<zbus::OwnedObjectPath>;
}

#[zbus::proxy(
    interface = "org.freedesktop.login1.Session",
    default_service = "org.freedesktop.login1"
)]
trait Session {
    #[zbus(property)]
    fn active(&self) -> zbus::Result<bool>;
    #[zbus(property)]
    fn locked_hint(&self) -> zbus::Result<bool>;
}

/// Whether somebody sits in front of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// It is on the screen, and unlocked.
    Active,
    /// Its screen is locked.
    Locked,
    /// Another session is on the screen.
    Away,
    /// There is no such session, or no logind.
    Unknown,
}

impl Presence {
    /// True unless it is known that nobody sees a dialog there. What a prompter is told on a
    /// screen that nobody sees would only be lost: it opens nothing.
    pub(super) fn sees_desktop(self) -> bool {
        matches!(self, Self::Active | Self::Unknown)
    }
}

/// Asks logind about a session.
pub(super) async fn presence(bus: &Connection, session: &str) -> Presence {
    if session.is_empty() {
        return Presence::Unknown;
    }
    let asked = tokio::time::timeout(PATIENCE, ask(bus, session)).await;
    match asked {
        Ok(Ok(presence)) => presence,
        Ok(Err(error)) => {
            tracing::debug!(session, "logind doesn't say: {error}");
            Presence::Unknown
        }
        Err(_) => Presence::Unknown,
    }
}

async fn ask(bus: &Connection, id: &str) -> zbus::Result<Presence> {
    let manager = ManagerProxy::builder(bus)
        .cache_properties(CacheProperties::No)
        .build()
        .await?;
    let path = manager.get_session(id).await?;
    let session = SessionProxy::builder(bus)
        .path(path)
        .cache_properties(CacheProperties::No)
        .build()
        .await?;
    if session.locked_hint().await? {
        return Ok(Presence::Locked);
    }
    Ok(match session.active().await? {
        true => Presence::Active,
        false => Presence::Away,
    })
}
