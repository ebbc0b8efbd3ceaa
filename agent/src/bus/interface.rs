// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The methods of `org.stile.Agent1`: who calls, what they want, and the way to the pipeline.

use tokio::sync::{mpsc, oneshot};
use zbus::fdo::DBusProxy;
use zbus::message::Header;
use zbus::names::BusName;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, interface};
use zeroize::Zeroizing;

use super::BUS_PATIENCE;
use super::desk::{Call, Desk, stopping, unidentified};
use super::people::Order;
use super::polkit::Action;
use super::prompters::Prompters;
use super::proofs::elevate;
use super::refused::Refused;
use super::wire::{
    AboutDict, AnswerDict, ChallengeDict, DecisionDict, ElevationDict, EnrollmentDict, ForDict,
    GrantDict, PrompterDict, RealmDict, StatusDict,
};
use crate::ids::{ChallengeId, GrantId, Uid};
use crate::service::{Refusal, Request};

/// The longest code that is looked at, in bytes. A TOTP code has 6 to 8 digits, a recovery
/// code some 30 characters.
const MAX_CODE: usize = 64;
/// The object on the bus.
pub(super) struct Agent {
    desk: Desk,
    prompters: Prompters,
    orders: mpsc::Sender<Order>,
    /// The group that the genuine prompter runs as.
    prompt_group: String,
}

impl Agent {
    pub(super) fn new(
        desk: Desk,
        prompters: Prompters,
        orders: mpsc::Sender<Order>,
        prompt_group: String,
    ) -> Self {
        Self {
            desk,
            prompters,
            orders,
            prompt_group,
        }
    }
}

impl Agent {
    async fn order(&self, order: Order) -> Result<(), Refused> {
        self.orders.send(order).await.map_err(|_| stopping())
    }

    /// The prompters' group. A directory that doesn't answer keeps nobody else waiting.
    async fn find_group(&self) -> Result<nix::unistd::Group, Refused> {
        let name = self.prompt_group.clone();
        let looking = tokio::task::spawn_blocking(move || nix::unistd::Group::from_name(&name));
        let untold = |why: String| Refusal::NoPrompter(format!("the group can't be told: {why}"));
        let found = tokio::time::timeout(BUS_PATIENCE, looking)
            .await
            .map_err(|late| untold(late.to_string()))?
            .map_err(|error| untold(error.to_string()))?
            .map_err(|errno| untold(errno.to_string()))?;
        let group = &self.prompt_group;
        let none = || {
            Refusal::NoPrompter(format!(
                "there is no group {group} on this host; `systemd-sysusers` makes it"
            ))
        };
        Ok(found.ok_or_else(none)?)
    }

    /// Lets only a program in that runs as the prompters' group. Nobody is a member of it; a
    /// program that is installed with it (setgid) can't be traced or preloaded by its user.
    async fn check_group(&self, call: &Call, bus: &Connection) -> Result<(), Refused> {
        let group = self.find_group().await?;
        let proxy = DBusProxy::new(bus).await?;
        let asked = proxy.get_connection_credentials(BusName::from(call.sender.as_ref()));
        let credentials = tokio::time::timeout(BUS_PATIENCE, asked)
            .await
            .map_err(|_| unidentified("it doesn't answer"))?
            .map_err(|error| unidentified(&error.to_string()))?;
        let groups = credentials.unix_group_ids();
        if groups.is_some_and(|groups| groups.contains(&group.gid.as_raw())) {
            return Ok(());
        }
        let text = format!(
            "only stile-prompt can be a prompter: this program doesn't run as group {}",
            self.prompt_group
        );
        Err(Refusal::NoPrompter(text).into())
    }
}

/// The agent that holds connections to protected endpoints until the user has proven who they
/// are. Users see and answer what is their own; root sees and ends everything.
#[interface(name = "org.stile.Agent1")]
impl Agent {
    /// How the agent stands. Everybody may ask.
    #[zbus(out_args("status"))]
    async fn status(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
    ) -> Result<StatusDict, Refused> {
        Ok(self.desk.ask(&header, bus, Request::Status).await?.into())
    }

    /// The caller's pending challenges; all of them for root.
    #[zbus(out_args("challenges"))]
    async fn pending(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
    ) -> Result<Vec<ChallengeDict>, Refused> {
        let challenges = self.desk.ask(&header, bus, Request::Pending).await?;
        Ok(challenges.into_iter().map(Into::into).collect())
    }

    /// Answers a challenge of the caller's own with a one-time code. The result's `outcome` is
    /// `accepted` (with `until_seconds` and `released`), `wrong` (with `tries_left`) or
    /// `throttled` (with `retry_seconds`).
    #[zbus(out_args("answer"))]
    async fn answer(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
        id: u64,
        code: &str,
    ) -> Result<AnswerDict, Refused> {
        let code = bounded(code)?;
        let answer = self
            .desk
            .ask(&header, bus, |caller, reply| {
                Request::Answer(caller, ChallengeId(id), code, reply)
            })
            .await?;
        Ok(answer.into())
    }

    /// Ends a challenge of the caller's: the connections that wait on it fail at once.
    async fn deny(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
        id: u64,
    ) -> Result<(), Refused> {
        self.desk
            .ask(&header, bus, |caller, reply| {
                Request::Deny(caller, ChallengeId(id), reply)
            })
            .await
    }

    /// The caller's live grants; all of them for root.
    #[zbus(out_args("grants"))]
    async fn grants(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
    ) -> Result<Vec<GrantDict>, Refused> {
        let grants = self.desk.ask(&header, bus, Request::Grants).await?;
        Ok(grants.into_iter().map(Into::into).collect())
    }

    /// Ends the grant with this id, or with 0 all that the caller sees, and all proofs. Says how
    /// many ended; a proof counts where no grant ended with it.
    #[zbus(out_args("ended"))]
    async fn revoke(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
        id: u64,
    ) -> Result<u32, Refused> {
        let which = (id != 0).then_some(GrantId(id));
        self.desk
            .ask(&header, bus, |caller, reply| {
                Request::Revoke(caller, which, reply)
            })
            .await
    }

    /// The realms in which the caller may have to prove who they are.
    #[zbus(out_args("realms"))]
    async fn realms(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
    ) -> Result<Vec<RealmDict>, Refused> {
        let realms = self.desk.ask(&header, bus, Request::Realms).await?;
        Ok(realms.into_iter().map(Into::into).collect())
    }

    /// Takes a one-time code before anything has connected. It counts in a realm for `seconds` at
    /// most, or with 0 for as long as the rules let it; with `this_process` also for the caller's
    /// process where rules ask each by itself. The result is as that of `Answer`.
    #[zbus(out_args("answer"))]
    async fn elevate(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
        realm: &str,
        seconds: u64,
        this_process: bool,
        code: &str,
    ) -> Result<AnswerDict, Refused> {
        let what = ForDict {
            realm: Some(realm.to_owned()),
            seconds: Some(seconds),
            this_process: Some(this_process),
            ..ForDict::default()
        };
        elevate(&self.desk, &header, bus, what, code).await
    }

    /// Ends the grant with this id of another user, or with 0 all of that user's and all of their proofs. For
    /// administrators: root, and those whom polkit lets do `org.stile.revoke-others`.
    #[zbus(out_args("ended"))]
    async fn revoke_of(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
        uid: u32,
        id: u64,
    ) -> Result<u32, Refused> {
        let which = (id != 0).then_some(GrantId(id));
        self.desk
            .ask_as_admin(&header, bus, Action::RevokeOthers, |caller, reply| {
                Request::RevokeOf(caller, Uid(uid), which, reply)
            })
            .await
    }

    /// Reads the policy anew, as SIGHUP does. A broken one changes nothing, and the error lists
    /// its mistakes. For administrators: root, and those whom polkit lets do `org.stile.reload`.
    async fn reload(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
    ) -> Result<(), Refused> {
        self.desk
            .ask_as_admin(&header, bus, Action::Reload, Request::Reload)
            .await
    }

    /// Makes the caller's connection a prompter of the caller's: the agent will call
    /// `org.stile.Prompter1` at `/org/stile/Prompter1` there. Called again it changes what the
    /// prompter says of itself. Only a program of the prompters' group may call this.
    async fn register_prompter(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
        about: AboutDict,
    ) -> Result<(), Refused> {
        let call = self.desk.identify(&header, bus).await?;
        self.check_group(&call, bus).await?;
        let (name, uid) = (call.sender.clone(), call.caller.uid);
        tracing::info!(%uid, prompter = %name, places = ?about.places, "a prompter has come");
        self.prompters
            .register(name.clone(), uid, about)
            .map_err(|error| Refusal::NoPrompter(error.to_string()))?;
        // One that has left meanwhile leaves no trace: the bus told of it before it was there.
        let proxy = DBusProxy::new(bus).await?;
        if !proxy
            .name_has_owner(BusName::from(name.as_ref()))
            .await
            .unwrap_or(false)
        {
            self.prompters.forget(name.as_str());
        }
        self.order(Order::Came(uid)).await
    }

    /// Takes the caller's connection out of the prompters again.
    async fn unregister_prompter(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
    ) -> Result<(), Refused> {
        let call = self.desk.identify(&header, bus).await?;
        self.prompters.forget(call.sender.as_str());
        Ok(())
    }

    /// The caller's prompters; all of them for root.
    #[zbus(out_args("prompters"))]
    async fn prompters(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
    ) -> Result<Vec<PrompterDict>, Refused> {
        let caller = self.desk.identify(&header, bus).await?.caller;
        let whose = (!caller.is_admin()).then_some(caller.uid);
        let views = self.prompters.views(whose);
        Ok(views.into_iter().map(Into::into).collect())
    }

    /// From now on sends the caller's connection the signals `ChallengeRaised(a{sv})`,
    /// `ChallengeEnded(t id, s outcome)`, `GrantBegun(a{sv})`, `GrantEnded(t id, s why)` and
    /// `StatusChanged()` about what is the caller's; for root about everybody's. They go to this
    /// connection alone.
    async fn subscribe(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
    ) -> Result<(), Refused> {
        let call = self.desk.identify(&header, bus).await?;
        let (reply, room) = oneshot::channel();
        let (name, uid) = (call.sender.clone(), call.caller.uid);
        self.order(Order::Watch(name, uid, reply)).await?;
        match room.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Refusal::Busy.into()),
            Err(_) => Err(stopping()),
        }
    }

    /// Ends what `Subscribe` began.
    async fn unsubscribe(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
    ) -> Result<(), Refused> {
        let call = self.desk.identify(&header, bus).await?;
        self.order(Order::Unwatch(call.sender.clone())).await
    }

    /// A challenge was raised. To subscribers alone, as all signals.
    #[zbus(signal)]
    pub(super) async fn challenge_raised(
        emitter: &SignalEmitter<'_>,
        challenge: ChallengeDict,
    ) -> zbus::Result<()>;

    /// A challenge is over: `approved`, `denied`, `timed-out`, `withdrawn` or `failed`.
    #[zbus(signal)]
    pub(super) async fn challenge_ended(
        emitter: &SignalEmitter<'_>,
        id: u64,
        outcome: &str,
    ) -> zbus::Result<()>;

    /// A grant has begun.
    #[zbus(signal)]
    pub(super) async fn grant_begun(
        emitter: &SignalEmitter<'_>,
        grant: GrantDict,
    ) -> zbus::Result<()>;

    /// A grant is over: `expired` or `revoked`.
    #[zbus(signal)]
    pub(super) async fn grant_ended(
        emitter: &SignalEmitter<'_>,
        id: u64,
        why: &str,
    ) -> zbus::Result<()>;

    /// Something of the status has changed; `Status` tells what.
    #[zbus(signal)]
    pub(super) async fn status_changed(emitter: &SignalEmitter<'_>) -> zbus::Result<()>;

    /// Starts to enroll this user, who is the caller unless the caller is root. The secret
    /// counts only once `EnrollConfirm` has had a code made with it.
    #[zbus(out_args("enrollment"))]
    async fn enroll_begin(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
        uid: u32,
    ) -> Result<EnrollmentDict, Refused> {
        let begin = |caller, reply| Request::EnrollBegin(caller, Uid(uid), reply);
        let enrollment = self.desk.ask_about(&header, bus, Uid(uid), begin).await?;
        Ok(enrollment.into())
    }

    /// Confirms an enrollment with a first code. The result is as that of `Answer`.
    #[zbus(out_args("answer"))]
    async fn enroll_confirm(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
        uid: u32,
        code: &str,
    ) -> Result<AnswerDict, Refused> {
        let code = bounded(code)?;
        let confirm = |caller, reply| Request::EnrollConfirm(caller, Uid(uid), code, reply);
        let answer = self.desk.ask_about(&header, bus, Uid(uid), confirm).await?;
        Ok(answer.into())
    }

    /// The last decisions about the caller, newest first; for root, about everybody.
    #[zbus(out_args("decisions"))]
    async fn recent(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
    ) -> Result<Vec<DecisionDict>, Refused> {
        let decisions = self.desk.ask(&header, bus, Request::Recent).await?;
        Ok(decisions.into_iter().map(Into::into).collect())
    }

    /// The caller's proofs that still count; everybody's for root.
    #[zbus(out_args("elevations"))]
    async fn elevations(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
    ) -> Result<Vec<ElevationDict>, Refused> {
        let elevations = self.desk.ask(&header, bus, Request::Elevations).await?;
        Ok(elevations.into_iter().map(Into::into).collect())
    }
}

/// The code, if it isn't longer than any code is. The message that it came in belongs to zbus;
/// the allocator wipes it ([`crate::sys::wiping`]).
pub(super) fn bounded(code: &str) -> Result<Zeroizing<String>, Refused> {
    if code.len() > MAX_CODE {
        return Err(Refused::BadArgument(format!(
            "that is no code: it is longer than {MAX_CODE} bytes"
        )));
    }
    Ok(Zeroizing::new(code.to_owned()))
}

/// The codes that calls with these bodies would hand on: `Answer` (`ts`) and `EnrollConfirm`
/// (`us`), in either byte order.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn fuzz_codes(body: &[u8]) -> Vec<Zeroizing<String>> {
    use zbus::wire::serialized::{Context, Data};
    use zbus::wire::{BE, LE};
    let mut codes = Vec::new();
    for context in [Context::new(LE, 0), Context::new(BE, 0)] {
        let data = Data::new(body, context);
        if let Ok(((_, code), _)) = data.deserialize::<(u64, &str)>() {
            codes.extend(bounded(code));
        }
        if let Ok(((_, code), _)) = data.deserialize::<(u32, &str)>() {
            codes.extend(bounded(code));
        }
    }
    codes
}

/// The interfaces as D-Bus describes them, as they are packaged.
#[cfg(test)]
pub(crate) mod testing {
    use std::fs;
    use std::path::Path;

    use zbus::object_server::Interface;

    const FOLDER: &str = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../packaging/dbus-1/interfaces"
    );
    const HEAD: &str = "<!DOCTYPE node PUBLIC \"-//freedesktop//DTD D-BUS Object Introspection \
                        1.0//EN\"\n \"http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd\">\n\
                        <!-- SPDX-License-Identifier: Apache-2.0 OR MIT -->\n";

    /// Holds the packaged description against what the object says of itself; with
    /// `STILE_BLESS=1` writes it anew.
    pub(crate) fn is_as_packaged(name: &str, object: &impl Interface) {
        let mut said = format!("{HEAD}<node>\n");
        object.introspect_to_writer(&mut said, 2);
        said += "</node>\n";
        let path = Path::new(FOLDER).join(format!("{name}.xml"));
        if std::env::var_os("STILE_BLESS").is_some() {
            fs::write(&path, &said).unwrap();
        }
        let packaged = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            packaged == said,
            "{}: STILE_BLESS=1 writes it anew",
            path.display()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packaged_description_is_that_of_the_agent() {
        let (requests, _requests) = mpsc::channel(1);
        let (orders, _orders) = mpsc::channel(1);
        let agent = Agent::new(
            Desk::new(requests),
            Prompters::default(),
            orders,
            String::new(),
        );
        testing::is_as_packaged("org.stile.Agent1", &agent);
    }
}
