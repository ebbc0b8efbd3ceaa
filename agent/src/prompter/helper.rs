// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `stile-prompt`: registers with the agent, and shows what that asks.
//!
//! It runs as the person, with the group `stile-prompt` beside (setgid), which nobody is a
//! member of: the agent takes only such a program for a prompter. With that group it can't be
//! traced or preloaded by other programs of the person. It takes nothing from its environment
//! that leads elsewhere: the system bus is where the system has it.

use std::convert::Infallible;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser};
use futures_util::StreamExt as _;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};
use zbus::Connection;
use zbus::connection::Builder;
use zbus::fdo::DBusProxy;
use zbus::names::OwnedUniqueName;

use super::Environment;
use super::choose::{Origin, Places, Session};
use super::object::{Agent, Prompter};
use crate::bus::wire::AboutDict;
use crate::bus::{NAME, PATH};
use crate::ids::Uid;
use crate::texts::Texts;

/// Where the system bus is. Never where the environment says: this program has rights that the
/// person's other programs don't have.
const SYSTEM_BUS: &str = "unix:path=/run/dbus/system_bus_socket";
/// The object that the agent calls.
const OBJECT: &str = "/org/stile/Prompter1";
/// How long the bus and the agent may take.
const PATIENCE: Duration = Duration::from_secs(25);
/// Why it ends when the bus does.
const LOST: &str = "the D-Bus system bus was lost";

/// Show stile's questions in your session
///
/// The agent asks it when a connection of yours needs proof: in a dialog, in tmux, or with a
/// notification. It is started with your session, by systemd or by your desktop; there is nothing
/// to say to it. What you type it hands to the agent, which judges it.
#[derive(Debug, Parser)]
#[command(
    name = "stile-prompt",
    version,
    after_help = "Examples:\n  systemctl --user enable --now stile-prompt    asks from now on\n  \
                  journalctl --user -u stile-prompt             what it says\n\n\
                  Exit codes:\n  0  ended as told\n  1  can't ask\n  2  wrong usage"
)]
struct Arguments {}

/// Its command line, for the man page.
pub(crate) fn command() -> clap::Command {
    Arguments::command()
}

/// Runs the helper until the bus is lost or a signal ends it.
#[must_use]
pub fn main() -> ExitCode {
    // A usage error ends here, with clap's text and 2.
    let Arguments {} = Arguments::parse();
    crate::sys::log::to_stderr();
    // Neither a core file nor a debugger shows what was typed.
    if let Err(error) = crate::sys::process::harden() {
        error!("{error}");
        return ExitCode::FAILURE;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(run()),
        Err(error) => Err(format!("can't start: {error}")),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            error!("{why}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), String> {
    let session = session();
    let agent = Agent::default();
    let object = Prompter::new(session.clone(), agent.clone());
    let joining = Builder::address(SYSTEM_BUS)
        .serve_at(OBJECT, object)
        .build();
    let bus = tokio::time::timeout(PATIENCE, joining)
        .await
        .map_err(|_| "the system bus doesn't answer".to_owned())?
        .map_err(|error| format!("no D-Bus system bus at {SYSTEM_BUS}: {error}"))?;
    tokio::select! {
        ended = stay_registered(&bus, &session, &agent) => ended.map(|never| match never {}),
        () = bus.closed() => Err(LOST.to_owned()),
        () = asked_to_end() => Ok(()),
    }
}

/// What this process knows of its session.
fn session() -> Session {
    let environment = Environment::of_process();
    let bus = environment.session_bus();
    let uid = Uid(nix::unistd::getuid().as_raw());
    Session {
        environment,
        bus,
        uid,
    }
}

async fn asked_to_end() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => (),
        _ = interrupt.recv() => (),
    }
}

/// Registers with each agent that comes.
///
/// # Errors
/// When the bus is lost, or the agent won't have it: it ends with nothing else.
async fn stay_registered(
    bus: &Connection,
    session: &Session,
    agent: &Agent,
) -> Result<Infallible, String> {
    let told = |error: zbus::Error| format!("the bus doesn't say who the agent is: {error}");
    let daemon = DBusProxy::new(bus).await.map_err(told)?;
    let mut owners = daemon
        .receive_name_owner_changed_with_args(&[(0, NAME)])
        .await
        .map_err(told)?;
    let mut owner = daemon
        .get_name_owner(NAME.try_into().map_err(told)?)
        .await
        .ok();
    loop {
        if let Some(owner) = &owner {
            // Known before it is told, so that its first call finds itself known.
            agent.set(Some(owner.clone()));
            register(bus, owner, session).await?;
        } else {
            info!("the agent isn't there; waiting for it");
            agent.set(None);
        }
        let Some(changed) = owners.next().await else {
            return Err(LOST.to_owned());
        };
        let Ok(args) = changed.args() else { continue };
        owner = args.new_owner.as_ref().map(|new| new.to_owned().into());
    }
}

async fn register(
    bus: &Connection,
    agent: &OwnedUniqueName,
    session: &Session,
) -> Result<(), String> {
    let places = Places::of(session, &Origin::default(), "").names();
    let places: Vec<_> = places.into_iter().map(str::to_owned).collect();
    let about = AboutDict {
        session: std::env::var("XDG_SESSION_ID").ok(),
        places: Some(places),
        language: Some(Texts::of_environment().language().to_owned()),
    };
    let call = bus.call_method(
        Some(agent.as_str()),
        PATH,
        Some(NAME),
        "RegisterPrompter",
        &about,
    );
    match tokio::time::timeout(PATIENCE, call).await {
        Ok(Ok(_)) => {
            info!(places = ?about.places, "registered");
            Ok(())
        }
        // It may have ended in the meantime; the next one is waited for.
        Ok(Err(zbus::Error::MethodError(name, why, _)))
            if name.as_str() == "org.stile.Agent1.Error.NoPrompter" =>
        {
            Err(why.unwrap_or_else(|| "the agent refuses".to_owned()))
        }
        Ok(Err(error)) => {
            warn!("not registered: {error}");
            Ok(())
        }
        Err(_) => {
            warn!("not registered: the agent doesn't answer");
            Ok(())
        }
    }
}
