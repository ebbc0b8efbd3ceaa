// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Asks polkit whether a caller may do what is an administrator's.

use std::collections::HashMap;
use std::time::Duration;

use zbus::Connection;
use zbus::message::Header;
use zbus_polkit::policykit1::{AuthorityProxy, CheckAuthorizationFlags, Subject};

/// How long polkit may take: it may ask the user for a password.
const PATIENCE: Duration = Duration::from_secs(120);

/// What only an administrator may do; the actions of `org.stile.policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// End grants of other users.
    RevokeOthers,
    /// Read the policy anew.
    Reload,
    /// Enroll another user, or replace a factor.
    EnrollOthers,
}

impl Action {
    fn id(self) -> &'static str {
        match self {
            Self::RevokeOthers => "org.stile.revoke-others",
            Self::Reload => "org.stile.reload",
            Self::EnrollOthers => "org.stile.enroll-others",
        }
    }
}

/// True if polkit says that the sender of a call may do this; it may ask them for a password.
///
/// # Errors
/// If there is no polkit, or it doesn't answer. Nobody may then.
pub(super) async fn allows(
    bus: &Connection,
    header: &Header<'_>,
    action: Action,
) -> Result<bool, String> {
    match tokio::time::timeout(PATIENCE, check(bus, header, action)).await {
        Ok(Ok(allowed)) => Ok(allowed),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("it doesn't answer".to_owned()),
    }
}

async fn check(
    bus: &Connection,
    header: &Header<'_>,
    action: Action,
) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
    // The sender's name on the bus: polkit asks the bus whose that is, as this daemon does.
    let subject = Subject::new_for_message_header(header)?;
    let interaction = CheckAuthorizationFlags::ALLOW_USER_INTERACTION;
    let result = AuthorityProxy::new(bus)
        .await?
        .check_authorization(&subject, action.id(), &HashMap::new(), interaction, "")
        .await?;
    Ok(result.is_authorized)
}
