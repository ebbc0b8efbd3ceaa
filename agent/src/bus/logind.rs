// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What logind knows of a session: whether its user sees the screen.

use std::time::Duration;

use zbus::proxy::CacheProperties;
use zbus::{Connection, OwnedObjectPath};

use crate::ids::Uid;

/// How long logind may take. It answers in microseconds, and people wait.
const PATIENCE: Duration = Duration::from_secs(1);

#[zbus::proxy(
    interface = "org.freedesktop.login1.Manager",
    default_service = "org.freedesktop.login1",
    default_path = "/org/freedesktop/login1"
)]
trait Manager {
    #[zbus(no_autostart)]
    fn get_session(&self, id: &str) -> zbus::Result<OwnedObjectPath>;
    #[zbus(no_autostart)]
    fn get_user(&self, uid: u32) -> zbus::Result<OwnedObjectPath>;
}

#[zbus::proxy(
    interface = "org.freedesktop.login1.User",
    default_service = "org.freedesktop.login1"
)]
trait User {
    /// The id and the object of the session that is the user's main one; no id without one.
    #[zbus(property)]
    fn display(&self) -> zbus::Result<(String, OwnedObjectPath)>;
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
    /// There is no such session, the user has none, or there is no logind.
    Unknown,
}

impl Presence {
    /// True unless it is known that nobody sees a dialog there. What a prompter is told on a
    /// screen that nobody sees would only be lost: it opens nothing.
    pub(super) fn sees_desktop(self) -> bool {
        matches!(self, Self::Active | Self::Unknown)
    }
}

/// Asks logind about a session of a user; about their main one if the session has no name, as
/// that of a prompter that the user's service manager has started.
pub(super) async fn presence(bus: &Connection, session: &str, uid: Uid) -> Presence {
    let asked = tokio::time::timeout(PATIENCE, ask(bus, session, uid)).await;
    match asked {
        Ok(Ok(presence)) => presence,
        Ok(Err(error)) => {
            tracing::debug!(session, %uid, "logind doesn't say: {error}");
            Presence::Unknown
        }
        Err(_) => Presence::Unknown,
    }
}

async fn ask(bus: &Connection, id: &str, uid: Uid) -> zbus::Result<Presence> {
    let manager = ManagerProxy::builder(bus)
        .cache_properties(CacheProperties::No)
        .build()
        .await?;
    let path = if id.is_empty() {
        let user = UserProxy::builder(bus)
            .path(manager.get_user(uid.0).await?)
            .cache_properties(CacheProperties::No)
            .build()
            .await?;
        let (id, path) = user.display().await?;
        if id.is_empty() {
            return Ok(Presence::Unknown);
        }
        path
    } else {
        manager.get_session(id).await?
    };
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
