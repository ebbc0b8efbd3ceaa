// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A connect that is refused at once.

use std::io::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Result, ensure};
use nix::errno::Errno;
use stile_tests::{ALICE, BOB, Host, User};

use super::{Question, Run, Section};
use crate::contest::{Contest, tried};
use crate::lane::{Lane, NO_AGENT, STILE};
use crate::peers::nftables;
use crate::report::{Goal, Table};
use crate::server::Server;
use crate::worker::List;

pub(super) const SECTION: Section = Section {
    name: "refused",
    run,
};

const TABLE: &str = "refused";

/// Nobody listens on this port.
const PORT: u16 = 7001;
const REJECTED: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 8));
const DENIED: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 9));

const POLICY: &str = r#"
[[endpoint]]
name = "rejected"
hosts = ["198.51.100.8"]
ports = [7001]

[[endpoint]]
name = "denied"
hosts = ["198.51.100.9"]
ports = [7001]

[[rule]]
name = "step-up"
endpoints = ["rejected"]
users = ["*"]
action = "step-up"
first = "reject"

[[rule]]
name = "deny"
endpoints = ["denied"]
users = ["*"]
action = "deny"
"#;

/// How many attempts one user makes. A user may make 12,288 at once, but only 64 while the ring
/// to the daemon is more than half full: that of two users is not, even if nothing is read.
const ATTEMPTS: usize = 1900;
/// Attempts that take all that a user may make.
const ALL_THERE_ARE: usize = 13_000;
/// How many each block makes when none is left.
const BEYOND: usize = 2000;

fn run(run: &mut Run) -> Result<()> {
    let host = Host::builder().policy(POLICY).quiet().build();
    let rounds = run.rounds(18);
    let count = ATTEMPTS / (rounds + 1);
    let mut rows = Vec::new();
    for (id, what, user, address) in [
        ("reject", "first = \"reject\"", ALICE, REJECTED),
        ("deny", "a rule denies", BOB, DENIED),
    ] {
        let filtered = filtered(Lane::free(NO_AGENT, user)?, address);
        let peer = run.invites(TABLE, nftables::NAME, filtered);
        let (mut contest, refusals) = contest(&host, user, address, peer, 0)?;
        let measured = contest.measure(rounds, &refusals, |worker, (list, error)| {
            worker.refused(*list, count, Error::from(*error))
        })?;
        let question = question(id, what, true);
        rows.extend(question.rows(&measured));
    }
    let throttled = || host.faults(&["throttled"]);
    let early = throttled();
    ensure!(
        early == 0,
        "{early} attempts were more than a user may make"
    );

    // From here on nearly none reaches the daemon, which is asked about 64 a second.
    let (mut contest, refusals) = contest(&host, ALICE, REJECTED, None, ALL_THERE_ARE)?;
    let beyond = contest.measure(rounds, &refusals, |worker, (list, error)| {
        worker.refused(*list, BEYOND, Error::from(*error))
    })?;
    ensure!(throttled() > 0, "no attempt was more than a user may make");
    rows.extend(question("throttled", "more than a user may try", false).rows(&beyond));
    run.tables.push(Table {
        id: TABLE.to_owned(),
        title: "A refused connect()".to_owned(),
        note: format!(
            "The call alone, against a port where nobody listens (ECONNREFUSED). Every attempt of \
             the first two is reported to the daemon: {count} in each round, so that none is more \
             than a user may make. Those of the third are, and all but 64 a second are only counted. \
             nftables resets what it refuses."
        ),
        rows,
    });
    Ok(())
}

/// With nftables, and somebody who would listen: it is not the kernel that refuses.
fn filtered(lane: Lane, address: IpAddr) -> Result<Lane> {
    let mut lane = nftables::filter(lane, &[(address, 32)])?;
    let server = Server::start(&lane.network, PORT, None)?;
    lane.keeps.push(Box::new(server));
    tried(Ok(lane), |_, worker| {
        let list = worker.learn(vec![SocketAddr::new(address, PORT)])?;
        worker.refused(list, 1, Error::from(Errno::ECONNREFUSED))
    })
}

fn question(id: &'static str, what: &'static str, guarded: bool) -> Question<'static> {
    Question {
        table: TABLE,
        id,
        what,
        unit: "ns",
        guarded,
        goal: Some(Goal::ratio_at_most(0.2)),
    }
}

/// Where a worker is refused, and with which error.
type Refusal = (List, Errno);

/// Workers that the kernel refuses, or the gate; each has made this many attempts already.
fn contest(
    host: &Host,
    user: User,
    address: IpAddr,
    peer: Option<Lane>,
    already: usize,
) -> Result<(Contest, Vec<Refusal>)> {
    let mut lanes = vec![Lane::free(NO_AGENT, user)?, Lane::gated(host, user)?];
    lanes.extend(peer);
    let mut contest = Contest::new(lanes)?;
    let refusals = contest.each(|lane, worker| {
        let list = worker.learn(vec![SocketAddr::new(address, PORT)])?;
        let error = match lane.who {
            STILE => Errno::EPERM,
            _ => Errno::ECONNREFUSED,
        };
        if already > 0 {
            worker.refused(list, already, Error::from(error))?;
        }
        Ok((list, error))
    })?;
    Ok((contest, refusals))
}
