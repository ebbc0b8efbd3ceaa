// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The agent on the system bus, as `org.stile.Agent1`: what people ask and answer.
//!
//! Who a caller is comes from the bus daemon alone (promise S7); each call becomes one
//! [`service::Request`] to the pipeline. A bus that is missing or lost never weakens the gate:
//! nobody can answer then, so what is held runs into its time limit (promise S4).

mod client;
mod desk;
mod factor_client;
mod factors;
mod interface;
mod limit;
mod logind;
mod people;
mod polkit;
mod prompters;
mod proof_client;
mod proofs;
mod proving;
mod refused;
mod showing;
mod watch;
pub(crate) mod wire;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::sync::mpsc;
use zbus::Connection;
use zbus::connection::Builder;

pub use client::{AgentClient, ClientError};
#[cfg(test)]
pub(crate) use desk::STOPPING;
pub use factor_client::{ImportedTokens, Token};
pub use refused::Refused;
pub use watch::{Heard, Watch};

use crate::service;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use interface::fuzz_codes;

use desk::Desk;
use factors::Factors;
use interface::Agent;
#[cfg(test)]
pub(crate) use interface::testing as interface_testing;
use people::{Order, People};
use prompters::Prompters;
use proofs::Proofs;
use proving::Proving;

/// The name that the agent owns on the bus, and the interface it has there.
pub const NAME: &str = "org.stile.Agent1";
/// The object that has the interface.
pub const PATH: &str = "/org/stile/Agent1";
/// Where the system bus is if `DBUS_SYSTEM_BUS_ADDRESS` doesn't say otherwise (D-Bus
/// specification, "Well-known Message Bus Instances").
const DEFAULT_SYSTEM_BUS: &str = "unix:path=/var/run/dbus/system_bus_socket";

/// How long the bus may take to let us in, and to say who a caller is. It answers in
/// microseconds; one that takes longer than this is as good as lost.
const BUS_PATIENCE: Duration = Duration::from_secs(10);

/// The agent's place on the bus. It leaves the bus when this is dropped.
#[must_use = "the agent leaves the bus when this is dropped"]
pub struct BusService {
    connection: Connection,
    people: People,
    orders: mpsc::Receiver<Order>,
}

/// What the agent's place on the bus is to be like.
#[derive(Clone, Debug)]
pub struct BusSettings {
    /// The group that the genuine prompter runs as.
    pub prompt_group: String,
    /// The program that asks PAM.
    pub pam_helper: PathBuf,
    /// Set while somebody listens to news.
    pub watched: Arc<AtomicBool>,
}

impl BusService {
    /// Brings challenges to the people who are asked, until the bus is lost. The caller reports
    /// that, and calls [`serve`] again later.
    pub async fn work(mut self, news: &mut mpsc::Receiver<service::News>) {
        self.people.work(news, &mut self.orders).await;
    }
}

impl fmt::Debug for BusService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.connection.unique_name().map(|name| name.as_str());
        f.debug_tuple("BusService").field(&name).finish()
    }
}

/// Why the agent isn't on the bus.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// There is no bus, or it doesn't let us in.
    #[error("no D-Bus system bus at {address}: {}; is dbus running?", Plain(.cause))]
    NoBus {
        /// The address that was tried.
        address: String,
        /// What went wrong.
        #[source]
        cause: zbus::Error,
    },
    /// Somebody else has the name, most likely another stiled.
    #[error("another process owns {NAME} on the system bus; is stiled running twice?")]
    NameTaken,
    /// The bus has no policy that lets us have the name.
    #[error(
        "the system bus doesn't let this process own {NAME}; install \
         /usr/share/dbus-1/system.d/{NAME}.conf, run as root, and reload dbus"
    )]
    NameRefused(#[source] zbus::Error),
}

/// Joins the system bus and answers there until the bus is lost or the result is dropped.
///
/// `requests` is bounded by its maker; a full one is answered with [`service::Refusal::Busy`].
///
/// # Errors
/// If there is no bus, or the name can't be had. Neither is fatal to a daemon that enforces:
/// it reports the problem and tries again.
pub async fn serve(
    settings: &BusSettings,
    requests: mpsc::Sender<service::Request>,
) -> Result<BusService, BusError> {
    serve_at(&system_bus(), settings, requests).await
}

/// [`serve`] on the bus at this address.
///
/// # Errors
/// As [`serve`].
pub async fn serve_at(
    address: &str,
    settings: &BusSettings,
    requests: mpsc::Sender<service::Request>,
) -> Result<BusService, BusError> {
    let prompters = Prompters::default();
    let (orders_in, orders) = mpsc::channel(64);
    let desk = Desk::new(requests.clone());
    let factors = Factors::new(desk.clone());
    let proving = Proving::new(requests.clone(), &settings.pam_helper);
    let proofs = Proofs::new(desk.clone(), proving.clone());
    let agent = Agent::new(
        desk,
        prompters.clone(),
        orders_in,
        settings.prompt_group.clone(),
    );
    // The builder asks for the name last, so that there is no moment at which the name is
    // ours and nobody answers. It always sets DO_NOT_QUEUE; left alone it would also take the
    // name from another stiled, and let others take it from us.
    let builder = Builder::address(address)
        .serve_at(PATH, agent)
        .serve_at(PATH, factors)
        .serve_at(PATH, proofs)
        .allow_name_replacements(false)
        .replace_existing_names(false)
        .name(NAME);
    let connection = join(builder).await.map_err(|cause| match cause {
        zbus::Error::NameTaken => BusError::NameTaken,
        cause if access_denied(&cause) => BusError::NameRefused(cause),
        cause => BusError::NoBus {
            address: address.to_owned(),
            cause,
        },
    })?;
    let watched = Arc::clone(&settings.watched);
    let people = People::new(connection.clone(), requests, prompters, proving, watched);
    Ok(BusService {
        connection,
        people,
        orders,
    })
}

/// Connects; a bus that accepts and then says nothing doesn't hang us.
async fn join(builder: Builder<'_>) -> zbus::Result<Connection> {
    tokio::time::timeout(BUS_PATIENCE, builder.build())
        .await
        .unwrap_or_else(|late| Err(std::io::Error::from(late).into()))
}

fn access_denied(error: &zbus::Error) -> bool {
    matches!(error, zbus::Error::FDO(e) if matches!(**e, zbus::fdo::Error::AccessDenied(_)))
}

/// The address of the system bus, as zbus finds it ([`zbus::Address::system`]).
fn system_bus() -> String {
    std::env::var("DBUS_SYSTEM_BUS_ADDRESS").unwrap_or_else(|_| DEFAULT_SYSTEM_BUS.to_owned())
}

/// The text of an error of zbus without the name of its type.
struct Plain<'a>(&'a zbus::Error);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            zbus::Error::Connection(cause, _) => cause.fmt(f),
            zbus::Error::InputOutput(cause) => cause.fmt(f),
            other => other.fmt(f),
        }
    }
}
