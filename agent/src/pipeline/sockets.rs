// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is done to sockets: let go on, or end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, warn};

use super::existing::Found;
use crate::clock::BootTime;
use crate::ids::SocketCookie;
use crate::kernel::Gate;
use crate::sys::netns::{NetNs, NetNsId, run_inside};
use crate::sys::replay::{Replayer, SynPacket};
use crate::sys::sock_diag;

/// How long the SYN of a settled socket is waited for. The gate hands it out within
/// microseconds of the attempt, or with the first retransmission a second later.
const SYN_PATIENCE: Duration = Duration::from_secs(5);

/// After this time the SYN of a connect has been captured: it leaves right after the attempt,
/// or with its first retransmission a second later.
const SYN_DELAY: Duration = Duration::from_secs(2);

/// What was decided for a socket whose SYN has not arrived yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    GoOn,
    End,
}

/// What was decided for a socket, where it is, and until when its SYN is waited for.
type Settled = (Fate, Option<Arc<NetNs>>, BootTime);

/// A socket, and its network namespace if that isn't the daemon's own.
type Parked = (SocketCookie, Option<Arc<NetNs>>);

/// Carries out what was decided for sockets.
#[derive(Default)]
pub(super) struct Sockets {
    replayer: Option<Replayer>,
    settled: HashMap<SocketCookie, Settled>,
}

impl Sockets {
    /// Opens the raw sockets, and lets the gate pass them. Without them connections go on with
    /// their next retransmission.
    pub(super) fn open(gate: &mut Gate) -> Self {
        let replayer = match Replayer::new() {
            Ok(replayer) => {
                for socket in replayer.sockets() {
                    if let Err(error) = gate.exempt(socket) {
                        warn!("the gate may hold the agent's own packets: {error}");
                    }
                }
                Some(replayer)
            }
            Err(error) => {
                warn!("approved connections go on late, with their own retransmission: {error}");
                None
            }
        };
        Self {
            replayer,
            settled: HashMap::new(),
        }
    }

    /// Lets a parked socket go on, now that its grant is in the kernel.
    pub(super) fn go_on(
        &mut self,
        cookie: SocketCookie,
        syn: Option<&SynPacket>,
        netns: Option<Arc<NetNs>>,
        now: BootTime,
    ) {
        match syn {
            Some(syn) => self.replay(syn, netns.as_deref()),
            None => {
                self.settled
                    .insert(cookie, (Fate::GoOn, netns, now.after(SYN_PATIENCE)));
            }
        }
    }

    /// Ends a parked socket: its client gets ECONNABORTED. `since` is when it connected.
    pub(super) fn end(
        &mut self,
        cookie: SocketCookie,
        syn: Option<&SynPacket>,
        netns: Option<Arc<NetNs>>,
        since: BootTime,
        now: BootTime,
    ) {
        match syn {
            Some(syn) => destroy_parked(cookie, syn, netns.as_deref()),
            // An earlier daemon has had its SYN: it is looked for among all sockets.
            None if now.since(since) > SYN_DELAY => drop(self.end_all(&[(cookie, netns)])),
            // Its SYN is on its way: the kernel finds the socket only then.
            None => {
                self.settled
                    .insert(cookie, (Fate::End, netns, now.after(SYN_PATIENCE)));
            }
        }
    }

    /// Takes the SYN of a socket that was settled before it arrived. Gives it back if none was.
    pub(super) fn arrived(&mut self, cookie: SocketCookie, syn: SynPacket) -> Option<SynPacket> {
        let Some((fate, netns, _)) = self.settled.remove(&cookie) else {
            return Some(syn);
        };
        match fate {
            Fate::GoOn => self.replay(&syn, netns.as_deref()),
            Fate::End => destroy_parked(cookie, &syn, netns.as_deref()),
        }
        None
    }

    /// Settles the sockets whose SYN never came.
    pub(super) fn tidy(&mut self, now: BootTime) {
        let late = |_: &SocketCookie, settled: &mut Settled| settled.2 <= now;
        let late: Vec<_> = self.settled.extract_if(late).collect();
        let to_end = late
            .into_iter()
            .filter(|(_, (fate, ..))| *fate == Fate::End);
        let to_end: Vec<_> = to_end
            .map(|(cookie, (_, netns, _))| (cookie, netns))
            .collect();
        if !to_end.is_empty() {
            self.end_all(&to_end);
        }
    }

    /// When the next SYN is given up.
    pub(super) fn next_deadline(&self) -> Option<BootTime> {
        self.settled.values().map(|(.., until)| *until).min()
    }

    /// Ends connections by their cookies, in whatever state they are. Returns how many there
    /// were.
    pub(super) fn end_all(&self, sockets: &[Parked]) -> usize {
        let mut namespaces: HashMap<Option<NetNsId>, Vec<&Parked>> = HashMap::new();
        for socket in sockets {
            let id = socket.1.as_ref().map(|netns| netns.id());
            namespaces.entry(id).or_default().push(socket);
        }
        let mut ended = 0;
        for sockets in namespaces.into_values() {
            let netns = sockets.first().and_then(|(_, netns)| netns.clone());
            let cookies: Vec<_> = sockets.iter().map(|(cookie, _)| *cookie).collect();
            let destroy = || sock_diag::destroy_by_cookies(&cookies);
            let destroyed = match netns {
                Some(netns) => run_inside(&netns, destroy).map_err(|error| error.to_string()),
                None => Ok(destroy()),
            };
            match destroyed {
                Ok(Ok(gone)) => ended += gone.len(),
                Ok(Err(error)) => warn!("connections can't be ended; the gate cuts them: {error}"),
                Err(error) => warn!("connections can't be reached; the gate cuts them: {error}"),
            }
        }
        ended
    }

    /// Ends connections that were found: their clients get ECONNABORTED.
    pub(super) fn end_found(&self, found: &[Found]) {
        let mut namespaces: HashMap<Option<NetNsId>, Vec<&Found>> = HashMap::new();
        for one in found {
            let id = one.netns.as_ref().map(|netns| netns.id());
            namespaces.entry(id).or_default().push(one);
        }
        for found in namespaces.into_values() {
            let netns = found.first().and_then(|one| one.netns.clone());
            let destroy = || {
                let failed = found
                    .iter()
                    .filter_map(|one| sock_diag::destroy(&one.socket).err());
                failed.last()
            };
            let failed = match netns {
                Some(netns) => run_inside(&netns, destroy).map_err(|error| error.to_string()),
                None => Ok(destroy()),
            };
            match failed {
                Ok(None) => {}
                Ok(Some(error)) => warn!("connections can't be ended; the gate cuts them: {error}"),
                Err(error) => warn!("connections can't be reached; the gate cuts them: {error}"),
            }
        }
    }

    fn replay(&self, syn: &SynPacket, netns: Option<&NetNs>) {
        let sent = match netns {
            // Raw sockets belong to one namespace; another's are opened for the one packet.
            Some(netns) => run_inside(netns, || Replayer::new()?.send(syn))
                .map_err(|error| error.to_string())
                .and_then(|sent| sent.map_err(|error| error.to_string())),
            None => match &self.replayer {
                Some(replayer) => replayer.send(syn).map_err(|error| error.to_string()),
                None => return,
            },
        };
        if let Err(error) = sent {
            warn!("a SYN can't be replayed, the connection goes on late: {error}");
        }
    }
}

fn destroy_parked(cookie: SocketCookie, syn: &SynPacket, netns: Option<&NetNs>) {
    let socket = sock_diag::TcpSocket::connecting(syn.source(), syn.destination(), cookie);
    let destroy = || sock_diag::destroy(&socket);
    let destroyed = match netns {
        Some(netns) => run_inside(netns, destroy).map_err(|error| error.to_string()),
        None => Ok(destroy()),
    };
    match destroyed {
        Ok(Ok(sock_diag::Destroyed::Yes)) => {}
        Ok(Ok(sock_diag::Destroyed::Gone)) => debug!(%cookie, "the client has given up already"),
        Ok(Err(error)) => warn!("a refused connection can't be ended, it stays parked: {error}"),
        Err(error) => warn!("a refused connection can't be reached, it stays parked: {error}"),
    }
}
