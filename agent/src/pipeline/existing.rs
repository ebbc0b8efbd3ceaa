// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Connections that are there already: when the agent starts, and when a reload protects or
//! gates something that wasn't before.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use stile_common::{GrantKey, GrantValue, SocketState, protocol, scope, verdict};
use tracing::{info, warn};
use zerocopy::FromBytes as _;

use super::policy::user_slice;
use super::{Pipeline, StageError};
use crate::audit::{self, CloseReason, Event};
use crate::clock::Now;
use crate::decide::{KeepPermit, Question, decide_existing, observes};
use crate::ids::{EndpointId, Uid};
use crate::policy::Endpoint;
use crate::sys::netns::{NetNs, NetNsId, run_inside};
use crate::sys::sock_diag::{
    DiagError, Family, Listing, TcpSocket, TcpState, TcpStates, Transport, list,
};

/// A socket of this machine, and its network namespace if that isn't the daemon's own.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) socket: TcpSocket,
    pub(super) netns: Option<Arc<NetNs>>,
}

/// Whose a cgroup is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Part of a session: its owner's, or nobody knows whose.
    Session(Option<Uid>),
    /// A service, or anything else.
    Elsewhere,
}

/// What becomes of a connection.
enum Verdict {
    /// It is none of ours, waits already, or has what it needs.
    Leave,
    /// It may go on.
    Keep(KeepPermit),
    /// It must end.
    Close,
}

impl Pipeline {
    /// All TCP connections and connected UDP sockets of this machine that were made below the
    /// cgroup that is gated, each with the gate's verdict. What can't be listed is missed: the
    /// gate stops its packets all the same.
    pub(super) fn find_sockets(&self) -> Vec<Found> {
        let states = self.gate.socket_states();
        let mut found = Vec::new();
        for netns in self.all_namespaces() {
            let listed = match &netns {
                None => list_here(states),
                Some(netns) => match run_inside(netns, || list_here(states)) {
                    Ok(listed) => listed,
                    Err(error) => {
                        warn!("connections of a network namespace can't be listed: {error}");
                        continue;
                    }
                },
            };
            match listed {
                Ok(sockets) => found.extend(sockets.into_iter().map(|socket| Found {
                    socket,
                    netns: netns.clone(),
                })),
                Err(error) => warn!("connections that are there already aren't known: {error}"),
            }
        }
        found
    }

    /// The network namespaces of all processes; `None` is the daemon's own.
    fn all_namespaces(&self) -> Vec<Option<Arc<NetNs>>> {
        let mut known: HashSet<NetNsId> = HashSet::from([self.netns.id()]);
        let mut namespaces = vec![None];
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            // A process may end at any time, and a kernel thread has nothing to look at.
            let Ok(netns) = NetNs::of_process(pid) else {
                continue;
            };
            if known.insert(netns.id()) {
                namespaces.push(Some(Arc::new(netns)));
            }
        }
        namespaces
    }

    /// Who is asked for a socket: the owner of the session in which it was made, else its own
    /// user. `None` if it isn't gated.
    pub(super) fn subject_of(&self, found: &TcpSocket, cgroups: &Cgroups) -> Option<Option<Uid>> {
        match cgroups.place_of(found.cgroup)? {
            Place::Session(owner) => Some(owner),
            Place::Elsewhere => {
                let uid = found.uid.0;
                let is_gated = self
                    .gated
                    .iter()
                    .any(|range| (range.first..=range.last).contains(&uid));
                is_gated.then_some(Some(found.uid))
            }
        }
    }

    /// Whose each cgroup is below the one that is gated.
    pub(super) fn cgroups(&self) -> Cgroups {
        let attached = &self.options.cgroup;
        let mut cgroups = Cgroups {
            places: HashMap::new(),
            is_whole: attached == self.hierarchy.root(),
        };
        let sessions = self
            .hierarchy
            .directory_of(&user_slice(&self.hierarchy, attached));
        cgroups.add(attached, Place::Elsewhere, sessions.as_deref().ok());
        cgroups
    }

    /// The endpoint that a socket is connected to.
    fn endpoint_of(&self, socket: &TcpSocket) -> Option<&Endpoint> {
        let number = match socket.transport {
            Transport::Tcp => protocol::TCP,
            Transport::Udp => protocol::UDP,
        };
        let (address, port) = (socket.remote.ip(), socket.remote.port());
        self.policy.endpoint_at(address, port, number)
    }

    /// Deals with connections that are there already: those under a live grant are known to it
    /// from now on, those that wait go on waiting, and the others are closed or kept, as the
    /// policy says of their endpoint.
    pub(super) fn judge_existing(&mut self, found: Vec<Found>, now: Now) {
        let cgroups = self.cgroups();
        let entries = match self.gate.grants() {
            Ok(entries) => entries.into_iter().collect(),
            Err(error) => return self.storage_failed(&error.into()),
        };
        let mut kept = HashSet::new();
        let mut to_close = Vec::new();
        for found in found {
            let Some(endpoint) = self.endpoint_of(&found.socket) else {
                continue;
            };
            let Some(subject) = self.subject_of(&found.socket, &cgroups) else {
                continue;
            };
            let id = endpoint.id;
            match self.judge_one(&found, subject, endpoint, &entries, now) {
                Verdict::Leave => self.note_flow(&found, subject, id),
                Verdict::Close => to_close.push((found, subject, id)),
                Verdict::Keep(permit) => {
                    kept.insert(key_of(scope::SOCKET, found.socket.cookie.0, id));
                    if let Err(error) = self.keep(&permit, &found, subject, now) {
                        self.storage_failed(&error);
                        to_close.push((found, subject, id));
                    }
                }
            }
        }
        self.forget_kept(&entries, &kept);
        self.close_existing(to_close, now);
    }

    fn judge_one(
        &self,
        found: &Found,
        subject: Option<Uid>,
        endpoint: &Endpoint,
        entries: &HashMap<GrantKey, GrantValue>,
        now: Now,
    ) -> Verdict {
        let own = key_of(scope::SOCKET, found.socket.cookie.0, endpoint.id);
        let users = subject.map(|uid| key_of(scope::USER, u64::from(uid.0), endpoint.id));
        let keys = [Some(own), users];
        if keys.iter().flatten().any(|key| self.grants.has(key)) {
            return Verdict::Leave;
        }
        let verdict = state_of(&found.socket).map(|state| state.verdict);
        match verdict {
            Some(verdict::HELD) => Verdict::Leave,
            // Its grant is over and lets it go on (`on_expiry = "keep"`).
            Some(verdict::GRANTED)
                if keys
                    .iter()
                    .flatten()
                    .filter_map(|key| entries.get(key))
                    .any(|entry| now.boot.0 < entry.cut_ns) =>
            {
                Verdict::Leave
            }
            None | Some(verdict::EXEMPT) if self.only_observes(subject, endpoint.id, now) => {
                Verdict::Leave
            }
            None | Some(verdict::EXEMPT) => {
                decide_existing(endpoint).map_or(Verdict::Close, Verdict::Keep)
            }
            Some(_) => Verdict::Close,
        }
    }

    /// True if the policy lets everybody through here, whatever they run.
    fn only_observes(&self, subject: Option<Uid>, endpoint: EndpointId, now: Now) -> bool {
        subject.is_some_and(|subject| {
            let question = Question { subject, endpoint };
            observes(&self.policy, &self.names, question, now.wall)
        })
    }

    /// Remembers a connection under its grant, so that it ends at once when the grant does.
    fn note_flow(&mut self, found: &Found, subject: Option<Uid>, endpoint: EndpointId) {
        let cookie = found.socket.cookie;
        let own = key_of(scope::SOCKET, cookie.0, endpoint);
        let users = subject.map(|uid| key_of(scope::USER, u64::from(uid.0), endpoint));
        let grant = [Some(own), users]
            .iter()
            .flatten()
            .find_map(|key| self.grants.id_of(key));
        if let Some(grant) = grant {
            self.grants.add_flow(grant, cookie, found.netns.clone());
        }
    }

    /// Lets a connection be. It is in the log first.
    fn keep(
        &mut self,
        permit: &KeepPermit,
        found: &Found,
        subject: Option<Uid>,
        now: Now,
    ) -> Result<(), StageError> {
        let event = Event::ConnectionKept(audit::Kept {
            socket: found.socket.cookie,
            endpoint: self.endpoint_name(permit.endpoint()),
            subject: subject.map(|uid| self.subject(uid)),
            destination: self.destination_of(&found.socket, permit.endpoint()),
        });
        self.record(now, [event])?;
        self.gate.keep(permit, found.socket.cookie)?;
        Ok(())
    }

    /// Strikes out what was kept and is gone, or may not be kept any more.
    fn forget_kept(&mut self, entries: &HashMap<GrantKey, GrantValue>, kept: &HashSet<GrantKey>) {
        let stale = entries
            .iter()
            .filter(|(key, value)| is_kept_entry(key, value) && !kept.contains(key));
        for (key, _) in stale {
            if let Err(error) = self.gate.remove_grant(key) {
                self.storage_failed(&error.into());
            }
        }
    }

    fn close_existing(&mut self, to_close: Vec<(Found, Option<Uid>, EndpointId)>, now: Now) {
        let events: Vec<_> = to_close
            .iter()
            .map(|(found, subject, endpoint)| {
                Event::ConnectionClosedByStile(audit::Closed {
                    socket: found.socket.cookie,
                    endpoint: self.endpoint_name(*endpoint),
                    reason: CloseReason::Existing,
                    subject: subject.map(|uid| self.subject(uid)),
                    process: None,
                    destination: Some(self.destination_of(&found.socket, *endpoint)),
                    grant: None,
                    rule: None,
                    latency_us: None,
                })
            })
            .collect();
        if events.is_empty() {
            return;
        }
        info!(
            connections = events.len(),
            "older than their protection, and closed"
        );
        self.note(now, events);
        let found = to_close.into_iter().map(|(found, ..)| found);
        self.sockets.end_found(found.collect());
    }

    fn destination_of(&self, socket: &TcpSocket, endpoint: EndpointId) -> audit::Destination {
        audit::Destination {
            address: socket.remote.ip().to_canonical().to_string(),
            port: socket.remote.port(),
            protocol: socket.transport.to_string().to_lowercase(),
            endpoint: self.endpoint_name(endpoint),
        }
    }
}

/// The sockets of the calling thread's network namespace, with what the gate remembers of them.
fn list_here(states: BorrowedFd<'_>) -> Result<Vec<TcpSocket>, DiagError> {
    let connected = TcpStates::of(&[TcpState::Established]);
    let transports = [
        (Transport::Tcp, TcpStates::LIVE),
        (Transport::Udp, connected),
    ];
    let mut sockets = Vec::new();
    for family in [Family::V4, Family::V6] {
        for (transport, wanted) in transports {
            sockets.extend(list(Listing {
                family,
                transport,
                states: wanted,
                storage: Some(states),
            })?);
        }
    }
    Ok(sockets)
}

/// True for an entry of the kernel's map that lets one older connection be.
pub(super) fn is_kept_entry(key: &GrantKey, value: &GrantValue) -> bool {
    key.scope == scope::SOCKET && value.expires_ns == 0
}

fn key_of(scope: u32, id: u64, endpoint: EndpointId) -> GrantKey {
    GrantKey {
        id,
        scope,
        endpoint: endpoint.0,
    }
}

/// What the gate remembers of a socket.
fn state_of(socket: &TcpSocket) -> Option<SocketState> {
    let bytes = socket.storage.as_deref()?;
    SocketState::read_from_bytes(bytes).ok()
}

/// Whose each cgroup is, by the kernel's ids.
#[derive(Debug)]
pub(super) struct Cgroups {
    places: HashMap<u64, Place>,
    /// True if everything of the machine is below the cgroup that is gated.
    is_whole: bool,
}

impl Cgroups {
    /// Adds a directory and all below it.
    fn add(&mut self, directory: &Path, place: Place, sessions: Option<&Path>) {
        let Ok(facts) = fs::symlink_metadata(directory) else {
            return;
        };
        self.places.insert(facts.ino(), place);
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let below = entry.path();
            let place = match place {
                Place::Elsewhere if Some(below.as_path()) == sessions => Place::Session(None),
                Place::Session(None) if Some(directory) == sessions => {
                    Place::Session(owner_of(&entry.file_name().to_string_lossy()))
                }
                inherited => inherited,
            };
            self.add(&below, place, sessions);
        }
    }

    /// Where a socket was made; `None` if that isn't gated by this daemon. A cgroup that is
    /// gone can't be told from one outside.
    fn place_of(&self, cgroup: Option<u64>) -> Option<Place> {
        let known = cgroup.and_then(|id| self.places.get(&id).copied());
        known.or(self.is_whole.then_some(Place::Elsewhere))
    }
}

/// The user of a `user-UID.slice`.
pub(super) fn owner_of(slice: &str) -> Option<Uid> {
    let number = slice.strip_prefix("user-")?.strip_suffix(".slice")?;
    number.parse().ok().map(Uid)
}
