// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is done to sockets: let go on, or end.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use super::existing::Found;
use super::replays::Replays;
use crate::challenge::Waiting;
use crate::clock::BootTime;
use crate::ids::SocketCookie;
use crate::kernel::Gate;
use crate::sys::netns::{NetNs, NetNsId, run_inside};
use crate::sys::replay::SynPacket;
use crate::sys::sock_diag::{DiagError, SockDiag, TcpSocket};

/// How long the SYN of a settled socket is waited for. The gate hands it out within
/// microseconds of the attempt, or with the first retransmission a second later.
const SYN_PATIENCE: Duration = Duration::from_secs(5);

/// After this time the SYN of a connect has been captured: it leaves right after the attempt,
/// or with its first retransmission a second later.
pub(super) const SYN_DELAY: Duration = Duration::from_secs(2);

/// How often it is tried to end a refused socket: with [`SYN_PATIENCE`] in between, longer than
/// a shortage of descriptors or memory should last. It stays parked whatever comes of it.
const TRIES: u8 = 3;

/// A socket that the gate has parked, and of which the daemon has decided.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) cookie: SocketCookie,
    /// Its SYN, if the gate has handed it out.
    pub(super) syn: Option<SynPacket>,
    /// Its network namespace if that isn't the daemon's own.
    pub(super) netns: Option<Arc<NetNs>>,
    /// When it connected.
    since: BootTime,
}

impl Parked {
    pub(super) fn new(waiting: &mut Waiting, netns: Option<Arc<NetNs>>) -> Self {
        Self {
            cookie: waiting.cookie(),
            syn: waiting.syn.take(),
            netns,
            since: waiting.facts.at,
        }
    }
}

/// What was decided for a socket that can't be reached yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    GoOn,
    /// To be tried so many times more.
    End(u8),
}

/// A socket whose SYN has not arrived yet, or that could not be ended.
#[derive(Debug)]
struct Settled {
    fate: Fate,
    netns: Option<Arc<NetNs>>,
    until: BootTime,
}

/// A socket, and its network namespace if that isn't the daemon's own.
type Located = (SocketCookie, Option<Arc<NetNs>>);

/// Carries out what was decided for sockets.
#[derive(Default)]
pub(super) struct Sockets {
    replays: Replays,
    /// For the daemon's own network namespace.
    diag: Option<SockDiag>,
    /// How the kernel calls that, where it has names for them.
    netns: Option<u64>,
    settled: HashMap<SocketCookie, Settled>,
    /// When each of the settled is looked at again, the first one first. One that was dealt with
    /// meanwhile is passed over.
    queue: VecDeque<(BootTime, SocketCookie)>,
    /// How often a refused socket could not be ended.
    unended: u64,
}

impl Sockets {
    /// Opens what it takes, so that it is there when descriptors are not.
    pub(super) fn open(gate: &mut Gate) -> Self {
        let diag = SockDiag::open();
        let diag = diag.inspect_err(|error| warn!("{error}"));
        let diag = diag.ok();
        Self {
            replays: Replays::open(gate),
            netns: diag.as_ref().and_then(|diag| diag.netns_cookie().ok()),
            diag,
            ..Self::default()
        }
    }

    /// True if the network namespace with this cookie is the daemon's own.
    pub(super) fn are_in(&self, cookie: u64) -> bool {
        self.netns == Some(cookie)
    }

    /// Lets parked sockets go on, now that their grants are in the kernel.
    pub(super) fn go_on(&mut self, parked: Vec<Parked>, now: BootTime) {
        let (ready, early): (Vec<_>, Vec<_>) =
            parked.into_iter().partition(|socket| socket.syn.is_some());
        for socket in early {
            self.settle(Fate::GoOn, socket.cookie, socket.netns, now);
        }
        self.replays.send(ready, now);
    }

    /// Ends parked sockets: their clients get ECONNABORTED.
    pub(super) fn end(&mut self, parked: Vec<Parked>, now: BootTime) {
        let (ready, early): (Vec<_>, Vec<_>) =
            parked.into_iter().partition(|socket| socket.syn.is_some());
        for (netns, sockets) in by_netns(ready, |socket| &socket.netns) {
            self.destroy(&sockets, netns.as_ref(), now);
        }
        // An earlier daemon has had their SYN: they are looked for among all sockets.
        let (old, early): (Vec<_>, Vec<_>) = early
            .into_iter()
            .partition(|socket| now.since(socket.since) > SYN_DELAY);
        let old: Vec<_> = old
            .into_iter()
            .map(|socket| (socket.cookie, socket.netns))
            .collect();
        self.end_or_retry(old, TRIES, now);
        // Their SYN is on its way: the kernel finds these sockets only then.
        for socket in early {
            self.settle(Fate::End(TRIES), socket.cookie, socket.netns, now);
        }
    }

    /// Takes the SYN of a socket that was settled before it arrived. Gives it back if none was.
    pub(super) fn arrived(
        &mut self,
        cookie: SocketCookie,
        syn: SynPacket,
        now: BootTime,
    ) -> Option<SynPacket> {
        let Some(Settled { fate, netns, .. }) = self.settled.remove(&cookie) else {
            return Some(syn);
        };
        let socket = Parked {
            cookie,
            syn: Some(syn),
            netns: netns.clone(),
            since: now,
        };
        match fate {
            Fate::GoOn => self.replays.send(vec![socket], now),
            Fate::End(_) => self.destroy(&[socket], netns.as_ref(), now),
        }
        None
    }

    /// Settles the sockets whose SYN never came, and tries again what did not help at once.
    pub(super) fn tidy(&mut self, now: BootTime) {
        let diag = &mut self.diag;
        self.replays.send_due(|netns| connecting(diag, netns), now);
        let mut to_end: HashMap<u8, Vec<Located>> = HashMap::new();
        while let Some((until, cookie)) = self.queue.front().copied()
            && until <= now
        {
            self.queue.pop_front();
            // It may have been settled anew since.
            if self
                .settled
                .get(&cookie)
                .is_some_and(|settled| settled.until == until)
                && let Some(settled) = self.settled.remove(&cookie)
                && let Fate::End(tries) = settled.fate
            {
                to_end
                    .entry(tries)
                    .or_default()
                    .push((cookie, settled.netns));
            }
        }
        for (tries, sockets) in to_end {
            self.end_or_retry(sockets, tries, now);
        }
    }

    /// Ends connections that were found: their clients get ECONNABORTED.
    pub(super) fn end_found(&mut self, found: Vec<Found>) {
        for (netns, found) in by_netns(found, |one| &one.netns) {
            let sockets: Vec<_> = found.into_iter().map(|one| one.socket).collect();
            let end = |diag: &mut SockDiag| Ok(diag.destroy_each(&sockets));
            let failed = match ask(&mut self.diag, netns.as_deref(), end) {
                Ok(failed) => failed
                    .into_iter()
                    .map(|(_, error)| error.to_string())
                    .collect(),
                Err(error) => vec![error],
            };
            if let Some(error) = failed.first() {
                warn!("connections can't be ended; the gate cuts them: {error}");
                self.unended += count(&failed);
            }
        }
    }

    /// The sockets that are in their connect in the network namespace with this cookie. `None` if
    /// that can't be told, or if `netns` is another one.
    pub(super) fn connecting(
        &mut self,
        netns: Option<&NetNs>,
        cookie: u64,
    ) -> Option<HashSet<SocketCookie>> {
        let connecting = ask(&mut self.diag, netns, |diag| {
            let is_it = diag.netns_cookie().is_ok_and(|own| own == cookie);
            is_it.then(|| diag.connecting()).transpose()
        });
        let connecting = connecting.inspect_err(|error| {
            warn!("who has given a connection up can't be told: {error}");
        });
        connecting.ok().flatten()
    }

    /// When the next SYN is given up or sent once more, or the next end is tried.
    pub(super) fn next_deadline(&self) -> Option<BootTime> {
        let queued = self.queue.front().map(|(until, _)| *until);
        queued.into_iter().chain(self.replays.next_due()).min()
    }

    /// How often a refused socket could not be ended so far, and a SYN not be sent again.
    pub(super) fn failures(&self) -> [u64; 2] {
        [self.unended, self.replays.failures()]
    }

    /// Ends connections by their cookies, in whatever state they are.
    pub(super) fn end_all(&mut self, sockets: Vec<Located>) {
        self.unended += count(&self.try_to_end(sockets));
    }

    /// Ends connections by their cookies, and tries again later with those that can't be
    /// reached.
    fn end_or_retry(&mut self, sockets: Vec<Located>, tries: u8, now: BootTime) {
        let unended = self.try_to_end(sockets);
        self.retry(unended, tries, now);
    }

    fn retry(&mut self, unended: Vec<Located>, tries: u8, now: BootTime) {
        self.unended += count(&unended);
        for (cookie, netns) in unended {
            if tries > 1 {
                self.settle(Fate::End(tries - 1), cookie, netns, now);
            }
        }
    }

    /// Ends connections by their cookies, with one look at the tables of each network
    /// namespace. Returns those of the namespaces where that failed.
    fn try_to_end(&mut self, sockets: Vec<Located>) -> Vec<Located> {
        let mut unended = Vec::new();
        for (netns, sockets) in by_netns(sockets, |(_, netns)| netns) {
            let cookies: Vec<_> = sockets.iter().map(|(cookie, _)| *cookie).collect();
            let end = |diag: &mut SockDiag| diag.destroy_by_cookies(&cookies);
            let destroyed = ask(&mut self.diag, netns.as_deref(), end);
            if let Err(error) = destroyed {
                warn!("connections can't be ended; the gate cuts them: {error}");
                unended.extend(sockets);
            }
        }
        unended
    }

    fn settle(
        &mut self,
        fate: Fate,
        cookie: SocketCookie,
        netns: Option<Arc<NetNs>>,
        now: BootTime,
    ) {
        let until = now.after(SYN_PATIENCE);
        self.settled.insert(cookie, Settled { fate, netns, until });
        self.queue.push_back((until, cookie));
    }

    /// Ends parked sockets of one network namespace, each by the addresses in its SYN.
    fn destroy(&mut self, parked: &[Parked], netns: Option<&Arc<NetNs>>, now: BootTime) {
        let sockets: Vec<_> = parked
            .iter()
            .filter_map(|socket| {
                let syn = socket.syn.as_ref()?;
                let (from, to) = (syn.source(), syn.destination());
                let cookie = socket.cookie;
                Some(TcpSocket::connecting(from, to, cookie, syn.interface()))
            })
            .collect();
        let end = |diag: &mut SockDiag| Ok(diag.destroy_each(&sockets));
        let unended: Vec<SocketCookie> = match ask(&mut self.diag, netns.map(Arc::as_ref), end) {
            Ok(failed) => {
                if let Some((_, error)) = failed.first() {
                    let count = failed.len();
                    warn!("{count} refused connections can't be ended, they stay parked: {error}");
                }
                failed.into_iter().map(|(cookie, _)| cookie).collect()
            }
            Err(error) => {
                warn!("refused connections can't be reached, they stay parked: {error}");
                sockets.iter().map(|socket| socket.cookie).collect()
            }
        };
        let unended = unended.into_iter().map(|cookie| (cookie, netns.cloned()));
        self.retry(unended.collect(), TRIES, now);
    }
}

/// The sockets of a network namespace that are in their connect; none where they can't be told.
fn connecting(diag: &mut Option<SockDiag>, netns: Option<&NetNs>) -> HashSet<SocketCookie> {
    ask(diag, netns, SockDiag::connecting).unwrap_or_else(|error| {
        warn!("connections that were let go on are not looked after: {error}");
        HashSet::new()
    })
}

/// Asks the kernel about the sockets of a network namespace; the daemon's own is none, and has
/// `diag`.
fn ask<T: Send>(
    diag: &mut Option<SockDiag>,
    netns: Option<&NetNs>,
    ask: impl FnOnce(&mut SockDiag) -> Result<T, DiagError> + Send,
) -> Result<T, String> {
    let Some(netns) = netns else {
        let open = diag.take().map_or_else(SockDiag::open, Ok);
        let mut open = open.map_err(|error| error.to_string())?;
        // After an error it is opened anew: who knows what else would come through it.
        let answer = ask(&mut open).map_err(|error| error.to_string())?;
        *diag = Some(open);
        return Ok(answer);
    };
    inside(netns, || ask(&mut SockDiag::open()?))
}

/// Runs `work` in this network namespace.
pub(super) fn inside<T: Send, E: std::fmt::Display + Send>(
    netns: &NetNs,
    work: impl FnOnce() -> Result<T, E> + Send,
) -> Result<T, String> {
    let done = run_inside(netns, work).map_err(|error| error.to_string())?;
    done.map_err(|error| error.to_string())
}

/// A network namespace, and sockets in it.
type Group<T> = (Option<Arc<NetNs>>, Vec<T>);

/// Sockets by their network namespaces: each is entered once.
pub(super) fn by_netns<T>(
    sockets: Vec<T>,
    netns_of: impl Fn(&T) -> &Option<Arc<NetNs>>,
) -> Vec<Group<T>> {
    let mut groups: HashMap<Option<NetNsId>, Group<T>> = HashMap::new();
    for socket in sockets {
        let netns = netns_of(&socket);
        let id = netns.as_ref().map(|netns| netns.id());
        let group = groups
            .entry(id)
            .or_insert_with(|| (netns.clone(), Vec::new()));
        group.1.push(socket);
    }
    groups.into_values().collect()
}

pub(super) fn count<T>(list: &[T]) -> u64 {
    list.len() as u64
}
