// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Takes over what an earlier daemon left in the kernel.

use std::collections::HashMap;

use stile_common::{GrantKey, GrantValue, protocol, scope};
use tracing::{info, warn};

use super::{Pipeline, StageError};
use crate::audit::Event;
use crate::clock::Now;
use crate::grant::Grant;
use crate::ids::{EndpointId, SocketCookie, Uid};
use crate::sys::sock_diag::{Family, TcpSocket, TcpStates, list_tcp};

/// What becomes of a grant that was found.
enum Found {
    /// It goes on.
    Live(Grant),
    /// It is over, and its connections may outlive it.
    Kept,
    /// Today's policy would not give it, or nobody knows whose it is.
    Unjustified,
}

impl Pipeline {
    /// Takes over grants that today's policy would still give, and connections that wait. No
    /// grant lasts longer than it would have.
    pub(super) fn adopt(&mut self) -> Result<(), StageError> {
        let now = Self::now();
        let grants = self.gate.grants()?;
        let sockets = live_sockets();
        let owners = sockets
            .iter()
            .map(|socket| (socket.cookie, socket.uid))
            .collect();
        for (key, value) in grants {
            match self.judge_found(&key, &value, &owners, now) {
                Found::Live(grant) => {
                    info!(grant = %grant.id(), uid = %grant.subject(), "adopted a grant");
                    self.grants.insert(grant);
                }
                Found::Kept => {}
                Found::Unjustified => {
                    let end = self.kept_end(&key, &value);
                    self.note(now, [Event::GrantRevoked { end, by: Uid(0) }]);
                    self.gate.remove_grant(&key)?;
                }
            }
        }
        self.adopt_flows(&sockets);
        self.gate.bump_epoch()?;
        for attempt in self.gate.held()? {
            self.on_attempt(attempt);
        }
        Ok(())
    }

    /// Finds the connections under adopted grants, by their owner and where they go. One that
    /// isn't found, such as that of `sudo`, is still cut by the gate.
    fn adopt_flows(&mut self, sockets: &[TcpSocket]) {
        for socket in sockets {
            let (address, port) = (socket.remote.ip(), socket.remote.port());
            let Some(endpoint) = self.policy.endpoint_at(address, port, protocol::TCP) else {
                continue;
            };
            let id = u64::from(socket.uid.0);
            let user = GrantKey {
                id,
                scope: scope::USER,
                endpoint: endpoint.id.0,
            };
            let own = GrantKey {
                id: socket.cookie.0,
                scope: scope::SOCKET,
                ..user
            };
            for key in [own, user] {
                if let Some(grant) = self.grants.id_of(&key) {
                    self.grants.add_flow(grant, socket.cookie, None);
                    break;
                }
            }
        }
    }

    fn judge_found(
        &self,
        key: &GrantKey,
        value: &GrantValue,
        owners: &HashMap<SocketCookie, Uid>,
        now: Now,
    ) -> Found {
        // A socket's grant names no user. One that is gone, or in another network namespace, has
        // no owner that could be found: its grant ends.
        let owner = match key.scope {
            scope::USER => u32::try_from(key.id).ok().map(Uid),
            scope::SOCKET => owners.get(&SocketCookie(key.id)).copied(),
            _ => None,
        };
        let Some(owner) = owner else {
            return Found::Unjustified;
        };
        let Some(terms) = self.terms_for(owner, EndpointId(key.endpoint)) else {
            return Found::Unjustified;
        };
        if now.boot.0 < value.expires_ns {
            return Grant::adopt(key, value, owner, terms).map_or(Found::Unjustified, Found::Live);
        }
        if terms.keeps() && value.cut_ns == u64::MAX {
            Found::Kept
        } else {
            Found::Unjustified
        }
    }
}

/// The TCP sockets of the daemon's own network namespace.
fn live_sockets() -> Vec<TcpSocket> {
    let listed = [Family::V4, Family::V6].map(|family| list_tcp(family, TcpStates::LIVE));
    let known = listed.into_iter().filter_map(|listed| {
        listed
            .inspect_err(|error| warn!("connections of adopted grants are not known: {error}"))
            .ok()
    });
    known.flatten().collect()
}
