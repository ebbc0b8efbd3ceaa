// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The session bus, and who is behind a name on it.
//!
//! Any program of the session may send signals and calls in all directions, and take many of
//! the names. So names are resolved to unique names, which the bus gives out only once, and
//! only these are spoken and listened to.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use futures_core::Stream;
use zbus::connection::Builder;
use zbus::fdo::DBusProxy;
use zbus::message::{Message, Type};
use zbus::names::{BusName, OwnedUniqueName, UniqueName, WellKnownName};
use zbus::{Connection, MatchRule, MessageStream};

/// How long the bus, or a service on it, may take for an answer. Starting a service takes a
/// second or two.
const PATIENCE: Duration = Duration::from_secs(10);
/// The bus itself, as a sender.
const BUS: &str = "org.freedesktop.DBus";

/// Joins the bus at this address, and never one that the environment names.
///
/// # Errors
/// If there is no bus, or it doesn't answer.
pub(super) async fn join(address: &str) -> zbus::Result<Connection> {
    let joining = Builder::address(address).method_timeout(PATIENCE).build();
    tokio::time::timeout(PATIENCE, joining)
        .await
        .unwrap_or_else(|late| Err(std::io::Error::from(late).into()))
}

/// Who owns this name now; it is started if nobody does and the bus can start it.
///
/// # Errors
/// If nobody owns it in the end.
pub(super) async fn owner(bus: &Connection, name: &'static str) -> zbus::Result<OwnedUniqueName> {
    let daemon = DBusProxy::new(bus).await?;
    let name = WellKnownName::try_from(name)?;
    if !daemon.name_has_owner(BusName::from(name.as_ref())).await? {
        daemon.start_service_by_name(name.as_ref(), 0).await?;
    }
    Ok(daemon.get_name_owner(BusName::from(name)).await?)
}

/// Signals from one sender.
#[derive(Debug)]
pub(super) struct Signals {
    stream: MessageStream,
    sender: OwnedUniqueName,
}

impl Signals {
    /// Listens to the signals of this interface.
    ///
    /// # Errors
    /// If the bus refuses.
    pub(super) async fn of(
        bus: &Connection,
        sender: &UniqueName<'_>,
        interface: &'static str,
    ) -> zbus::Result<Self> {
        let rule = MatchRule::builder()
            .msg_type(Type::Signal)
            .sender(sender.to_owned())
            .interface(interface)
            .build()?;
        Self::matching(bus, rule, sender).await
    }

    /// Listens for the end of this peer.
    ///
    /// # Errors
    /// If the bus refuses.
    pub(super) async fn end_of(bus: &Connection, peer: &UniqueName<'_>) -> zbus::Result<Self> {
        let sender = UniqueName::try_from(BUS)?;
        let rule = MatchRule::builder()
            .msg_type(Type::Signal)
            .sender(sender.as_ref())
            .interface(BUS)
            .member("NameOwnerChanged")
            .arg(0, peer.as_str().to_owned())
            .build()?;
        Self::matching(bus, rule, &sender).await
    }

    async fn matching(
        bus: &Connection,
        rule: MatchRule<'_>,
        sender: &UniqueName<'_>,
    ) -> zbus::Result<Self> {
        Ok(Self {
            stream: MessageStream::for_match_rule(rule, bus, None).await?,
            sender: sender.to_owned().into(),
        })
    }

    /// The next one; `None` once the bus is lost. May be dropped at any time.
    pub(super) async fn next(&mut self) -> Option<Message> {
        loop {
            let message = poll_fn(|context| Pin::new(&mut self.stream).poll_next(context)).await?;
            // The bus writes the sender itself. Signals that somebody else sends to us alone
            // come through as well, whatever was subscribed to.
            if let Ok(message) = message
                && message
                    .header()
                    .sender()
                    .is_some_and(|s| *s == *self.sender)
            {
                return Some(message);
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A session bus of a test's own, which ends with it.
    pub(in crate::prompter) struct Bus {
        daemon: Child,
        pub(in crate::prompter) address: String,
    }

    impl Bus {
        pub(in crate::prompter) fn start() -> Self {
            let mut daemon = Command::new("dbus-daemon")
                .args(["--session", "--nofork", "--nopidfile", "--print-address"])
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .expect("dbus-daemon starts; is it installed?");
            // It says where it listens once it does.
            let mut address = String::new();
            BufReader::new(daemon.stdout.take().unwrap())
                .read_line(&mut address)
                .unwrap();
            let address = address.trim().to_owned();
            Self { daemon, address }
        }

        /// Another peer on it.
        pub(in crate::prompter) async fn peer(&self) -> Connection {
            join(&self.address).await.unwrap()
        }
    }

    impl Drop for Bus {
        fn drop(&mut self) {
            let _ = self.daemon.kill();
            let _ = self.daemon.wait();
        }
    }

    /// The name that the bus gave this peer.
    pub(in crate::prompter) fn name_of(peer: &Connection) -> OwnedUniqueName {
        peer.unique_name().unwrap().clone()
    }

    #[tokio::test]
    async fn a_name_that_nobody_has_or_can_start_has_no_owner() {
        let bus = Bus::start();
        let peer = bus.peer().await;
        owner(&peer, "org.stile.Nobody").await.unwrap_err();
        peer.request_name("org.stile.Somebody").await.unwrap();
        let found = owner(&peer, "org.stile.Somebody").await.unwrap();
        assert_eq!(found, name_of(&peer));
    }

    #[tokio::test]
    async fn there_is_no_bus_where_nobody_listens() {
        let dir = tempfile::tempdir().unwrap();
        let address = format!("unix:path={}/bus", dir.path().display());
        join(&address).await.unwrap_err();
        join("nonsense").await.unwrap_err();
    }

    #[tokio::test]
    async fn the_end_of_a_peer_is_heard_and_nobody_else_can_claim_it() {
        let bus = Bus::start();
        let (us, peer, liar) = (bus.peer().await, bus.peer().await, bus.peer().await);
        let name = name_of(&peer);
        let mut end = Signals::end_of(&us, &name).await.unwrap();
        liar.emit_signal(
            Some(name_of(&us)),
            "/org/freedesktop/DBus",
            BUS,
            "NameOwnerChanged",
            &(name.as_str(), name.as_str(), ""),
        )
        .await
        .unwrap();
        drop(peer);
        let heard = end.next().await.unwrap();
        assert_eq!(heard.header().sender().unwrap().as_str(), BUS);
    }
}
