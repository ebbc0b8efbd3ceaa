// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Grants of single connections: where conditions are judged for each connection by itself. They
//! end with their connection, and after a restart they are found again with it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, warn};

use super::Pipeline;
use super::existing::Found;
use super::sockets::{by_netns, inside};
use crate::audit::Event;
use crate::classify::{Process, ProcessId};
use crate::clock::Now;
use crate::ids::{GrantId, SocketCookie};
use crate::sys::holders::holders_of;
use crate::sys::netns::NetNs;
use crate::sys::sock_diag::{DiagError, Family, Listing, list};

/// How often connections that are over are looked for. The kernel's map has room for as many as
/// one user may begin in this time.
const SWEEP: Duration = Duration::from_secs(10);

/// A grant of one connection, and where that is.
type Single = (GrantId, SocketCookie, Option<Arc<NetNs>>);

impl Pipeline {
    /// Ends the grants of single connections that are over. They would let nothing through any
    /// more, for no other socket has that cookie; but they take room.
    pub(super) fn end_spent(&mut self, now: Now) {
        if now.boot < self.swept.after(SWEEP) {
            return;
        }
        self.swept = now.boot;
        let singles: Vec<Single> = self.singles();
        for (netns, singles) in by_netns(singles, |single| &single.2) {
            let live = match netns {
                None => live_cookies().map_err(|error| error.to_string()),
                Some(netns) => inside(&netns, live_cookies),
            };
            let live = match live {
                Ok(live) => live,
                Err(error) => {
                    warn!("connections that are over can't be told from others: {error}");
                    continue;
                }
            };
            let spent = singles
                .iter()
                .filter(|(_, cookie, _)| !live.contains(cookie));
            for (id, ..) in spent {
                self.end_one(*id, now);
            }
        }
        self.note(now, []);
    }

    fn singles(&self) -> Vec<Single> {
        let alone = self.grants.iter().filter(|live| live.grant.terms().alone);
        alone
            .filter_map(|live| {
                let (cookie, netns) = live.flows.iter().next()?;
                Some((live.grant.id(), *cookie, netns.clone()))
            })
            .collect()
    }

    fn end_one(&mut self, id: GrantId, now: Now) {
        let Some(live) = self.grants.remove(id) else {
            return;
        };
        debug!(grant = %id, "the connection of a grant is over");
        let end = self.grant_end(&live);
        self.append(now, Event::GrantSpent(end));
        if let Err(error) = self.gate.remove_grant(&live.grant.key()) {
            self.storage_failed(&error.into());
        }
    }

    /// Who holds the sockets of these connections now: what made them is not known any more after
    /// a restart.
    pub(super) fn holders(&self, found: &[Found]) -> HashMap<SocketCookie, ProcessId> {
        let sockets = found.iter().map(|found| &found.socket);
        let cookies: HashMap<u32, SocketCookie> = sockets
            .filter(|socket| socket.inode != 0)
            .map(|socket| (socket.inode, socket.cookie))
            .collect();
        let holders = holders_of(|inode| cookies.contains_key(&inode));
        let known = holders.into_iter().filter_map(|(inode, pid)| {
            let process = Process::holding(&self.procfs, pid).ok()?;
            Some((*cookies.get(&inode)?, process.id()))
        });
        known.collect()
    }
}

fn live_cookies() -> Result<HashSet<SocketCookie>, DiagError> {
    let mut live = HashSet::new();
    for family in [Family::V4, Family::V6] {
        let sockets = list(Listing::live_tcp(family))?;
        live.extend(sockets.iter().map(|socket| socket.cookie));
    }
    Ok(live)
}
